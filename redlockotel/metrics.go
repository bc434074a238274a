package redlockotel

import (
	"context"
	"errors"
	"net"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/outcome"
)

// instruments are the metrics.
type instruments struct {
	attempts, repairs, failures, renewals, danger, losses, releases, requests, dropped metric.Int64Counter
	attempt, wait, validity, hold, latency                                             metric.Float64Histogram
	leases                                                                             metric.Int64UpDownCounter
}

// The buckets of the histograms: of round trips, and of what may last for hours.
var (
	short = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1}
	long  = []float64{.001, .005, .01, .05, .1, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600}
)

func (i *instruments) make(m metric.Meter) error {
	var errs []error
	counter := func(to *metric.Int64Counter, name, unit, about string) {
		c, err := m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(about))
		*to, errs = c, append(errs, err)
	}
	histogram := func(to *metric.Float64Histogram, name, about string, buckets []float64) {
		h, err := m.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(about),
			metric.WithExplicitBucketBoundaries(buckets...))
		*to, errs = h, append(errs, err)
	}
	counter(&i.attempts, "redlock.attempts", "{attempt}", "Attempts to take a lock.")
	counter(&i.repairs, "redlock.fence.repairs", "{request}", "Second requests for the fencing token.")
	counter(&i.failures, "redlock.failures", "{call}", "Calls that gave up without a lease.")
	counter(&i.renewals, "redlock.renewals", "{renewal}", "Renewals and calls of Extend.")
	counter(&i.danger, "redlock.leases.in_danger", "{lease}", "Leases whose renewals failed until a third of the TTL was left.")
	counter(&i.losses, "redlock.leases.lost", "{lease}", "Leases that ended before they were unlocked, or were found gone then.")
	counter(&i.releases, "redlock.releases", "{release}", "Calls of Unlock.")
	counter(&i.requests, "redlock.node.requests", "{request}", "What each node answered.")
	counter(&i.dropped, "redlock.node.releases.dropped", "{release}", "Releases that were given up: the key lasts until its TTL.")
	histogram(&i.attempt, "redlock.attempt.duration", "From before the first request to the decision.", short)
	histogram(&i.wait, "redlock.wait.duration", "From the call to the lease.", long)
	histogram(&i.validity, "redlock.validity", "What was left of a lease when its caller got it.", long)
	histogram(&i.hold, "redlock.hold.duration", "From the beginning of a lease to its release or loss.", long)
	histogram(&i.latency, "redlock.node.duration", "How long the node's round trips took.", short)
	var err error
	i.leases, err = m.Int64UpDownCounter("redlock.leases", metric.WithUnit("{lease}"), metric.WithDescription("Leases that are held."))
	return errors.Join(append(errs, err)...)
}

// measure counts e.
func (t *Telemetry) measure(ctx context.Context, e redlock.Event) {
	switch e := e.(type) {
	case redlock.NodeEvent:
		t.requests.Add(ctx, 1, attributes(node(e.Node, attribute.String("redlock.verb", e.Verb.String()),
			attribute.String("redlock.verdict", outcome.OfNode(e.Verdict)))...))
		t.latency.Record(ctx, e.Latency.Seconds(), attributes(node(e.Node)...))
	case redlock.AttemptEvent:
		t.start(ctx, e.Name, e.Kind)
		t.attempts.Add(ctx, 1, t.of(e.Name, e.Kind, verdict(e.Err)))
		t.attempt.Record(ctx, e.Took.Seconds(), t.of(e.Name, e.Kind))
		t.repairs.Add(ctx, int64(e.Repairs), t.of(e.Name, e.Kind))
	case redlock.AcquiredEvent:
		t.wait.Record(ctx, e.Wait.Seconds(), t.of(e.Name, e.Kind))
		t.validity.Record(ctx, e.Validity.Seconds(), t.of(e.Name, e.Kind))
		t.leases.Add(ctx, 1, t.of(e.Name, e.Kind))
		context.AfterFunc(ctx, func() { t.leases.Add(ctx, -1, t.of(e.Name, e.Kind)) })
	case redlock.FailedEvent:
		t.failures.Add(ctx, 1, t.of(e.Name, e.Kind, verdict(e.Err)))
	case redlock.RenewedEvent:
		t.renewals.Add(ctx, 1, t.of(e.Name, e.Kind, verdict(e.Err)))
	case redlock.DangerEvent:
		t.danger.Add(ctx, 1, t.of(e.Name, e.Kind))
	case redlock.LostEvent:
		t.lost(ctx, e.Name, e.Kind)
		t.held(ctx, e.Name, e.Kind, e.Held)
	case redlock.ReleasedEvent:
		t.releases.Add(ctx, 1, t.of(e.Name, e.Kind, verdict(e.Err)))
		t.held(ctx, e.Name, e.Kind, e.Held)
		if errors.Is(e.Err, redlock.ErrLost) {
			t.lost(ctx, e.Name, e.Kind)
		}
	case redlock.DroppedEvent:
		t.dropped.Add(ctx, 1, attributes(node(e.Node, attribute.String("redlock.reason", outcome.OfDropped(e.Err)))...))
	}
}

// start begins the series of a lock that alerts use, at zero.
func (t *Telemetry) start(ctx context.Context, lock string, kind redlock.Kind) {
	var label string
	if t.name != nil {
		label = t.name(lock)
	}
	if _, known := t.known.LoadOrStore([2]string{label, string(kind)}, true); known {
		return
	}
	t.losses.Add(ctx, 0, t.of(lock, kind))
	t.danger.Add(ctx, 0, t.of(lock, kind))
	for _, err := range []error{redlock.ErrNoQuorum, redlock.ErrTooLate} {
		t.failures.Add(ctx, 0, t.of(lock, kind, verdict(err)))
	}
}

func (t *Telemetry) lost(ctx context.Context, lock string, kind redlock.Kind) {
	t.losses.Add(ctx, 1, t.of(lock, kind))
}

func (t *Telemetry) held(ctx context.Context, lock string, kind redlock.Kind, d time.Duration) {
	t.hold.Record(ctx, d.Seconds(), t.of(lock, kind))
}

// of returns the attributes of a measurement for what has that name.
func (t *Telemetry) of(lock string, kind redlock.Kind, more ...attribute.KeyValue) metric.MeasurementOption {
	more = append(more, kindOf(kind))
	if t.name != nil {
		more = append(more, lockKey.String(t.name(lock)))
	}
	return attributes(more...)
}

func attributes(kv ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(kv...))
}

// node returns attributes for a node's address, and the attributes in more, by the semantic
// conventions for servers.
func node(addr string, more ...attribute.KeyValue) []attribute.KeyValue {
	host, port, err := net.SplitHostPort(addr)
	number, bad := strconv.Atoi(port)
	if err != nil || bad != nil { // a whole cluster, a socket, or what WithAddr says
		return append(more, attribute.String("server.address", addr))
	}
	return append(more, attribute.String("server.address", host), attribute.Int("server.port", number))
}
