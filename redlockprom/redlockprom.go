// Package redlockprom makes Prometheus metrics from the events of a [redlock.Locker].
//
//	metrics := redlockprom.New()
//	prometheus.MustRegister(metrics)
//	locks, err := redlock.New(nodes, redlock.WithObserver(metrics))
//
// # Metrics
//
// Durations are in seconds. The label lock is empty, and so absent, unless [WithNames] says
// otherwise. The label kind is lock, shared or permit: see [redlock.Kind].
//
//	redlock_attempts_total{lock,kind,verdict}      attempts to take a lock
//	redlock_attempt_duration_seconds{lock,kind}    from before the first request to the decision
//	redlock_fence_repairs_total{lock,kind}         second requests for the fencing token
//	redlock_wait_duration_seconds{lock,kind}       from the call to the lease
//	redlock_failures_total{lock,kind,verdict}      calls that gave up without a lease
//	redlock_validity_seconds{lock,kind}            what was left of a lease when its caller got it
//	redlock_leases{lock,kind}                      leases that are held
//	redlock_hold_duration_seconds{lock,kind}       from a lease's beginning to its end
//	redlock_renewals_total{lock,kind,verdict}      renewals and calls of Extend
//	redlock_leases_in_danger_total{lock,kind}      leases whose renewals fail: a third is left
//	redlock_leases_lost_total{lock,kind}           leases that ended early, or were gone at Unlock
//	redlock_releases_total{lock,kind,verdict}      calls of Unlock
//	redlock_node_requests_total{node,verb,verdict} what each node answered
//	redlock_node_duration_seconds{node}            how long its round trips took
//	redlock_dropped_releases_total{node,reason}    releases that were given up
//	redlock_pending_requests                       what is under way: see [Metrics.Watch]
//
// # Verdicts
//
// The verdicts of calls are ok, held, no_quorum, too_late, lost, released, closed, deadline,
// canceled and other. The verdicts of nodes are ok, held, gone, raised, quarantined, refused and
// unavailable. The metrics contain no owner id.
//
// The reason why a release was given up is backlog (the node did not answer, and too many releases
// wait for it) or refused (the node refused the release until the TTL was over).
//
// # What to watch
//
// Watch redlock_leases_lost_total, because work may have overlapped;
// redlock_leases_in_danger_total, which rises first; and nodes that are unavailable or refuse: as
// long as they are a minority, nothing else shows them. deploy/prometheus has rules for alerts.
//
// Prometheus sees no rise in a series that begins with its first event. So the series that alerts
// use begin at zero: the series of a lock at the first attempt to take it (of kind lock without
// [WithNames], at once), the series of a node at the first request to it.
package redlockprom

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/outcome"
	"github.com/go-redlock/redlock/pool"
)

// Metrics observes one or more Lockers, and is a collector for a Prometheus registry. It is safe
// for concurrent use.
type Metrics struct {
	name  func(string) string
	known sync.Map // of series: the labels and nodes whose series have begun

	attempts, repairs, failures, renewals, danger, losses, releases, requests, dropped *prometheus.CounterVec
	attempt, wait, validity, hold, latency                                             *prometheus.HistogramVec
	leases                                                                             *prometheus.GaugeVec
	lockers                                                                            lockers
}

var (
	_ redlock.ContextObserver = (*Metrics)(nil)
	_ prometheus.Collector    = (*Metrics)(nil)
)

// An Option sets up [Metrics].
type Option func(*Metrics)

// WithNames sets the label lock to what label returns for the lock's name, for instance "invoice"
// for "invoice:42". label must be safe for concurrent use, and return few different values: each
// one adds a time series to every metric. Without WithNames the label lock is empty.
func WithNames(label func(name string) string) Option {
	return func(m *Metrics) { m.name = label }
}

// New makes Metrics. Give them to [redlock.WithObserver] and register them with a Prometheus
// registry. For a prefix or constant labels use [prometheus.WrapRegistererWithPrefix] and
// [prometheus.WrapRegistererWith].
func New(opts ...Option) *Metrics {
	m := &Metrics{
		attempts: counter("attempts_total", "Attempts to take a distributed lock, by how they ended.", "lock", "kind", "verdict"),
		repairs:  counter("fence_repairs_total", "Second requests to nodes for a fencing token, needed where clocks differ.", "lock", "kind"),
		failures: counter("failures_total", "Calls of Lock, TryLock, Do and TryDo that gave up without a lease, by their verdict.", "lock", "kind", "verdict"),
		renewals: counter("renewals_total", "Renewals of leases and calls of Extend, by how they ended.", "lock", "kind", "verdict"),
		danger:   counter("leases_in_danger_total", "Leases of distributed locks whose renewals failed until a third of the TTL was left.", "lock", "kind"),
		losses:   counter("leases_lost_total", "Leases of distributed locks that ended before they were unlocked, or were found gone then: work may have overlapped.", "lock", "kind"),
		releases: counter("releases_total", "Calls of Unlock, by how they ended.", "lock", "kind", "verdict"),
		requests: counter("node_requests_total", "Requests to each lock node, by what it answered.", "node", "verb", "verdict"),
		dropped:  counter("dropped_releases_total", "Releases of lock keys that were given up: the key lasts until its TTL.", "node", "reason"),

		attempt:  histogram("attempt_duration_seconds", "Duration of attempts to take a distributed lock, from before the first request to the decision.", short, "lock", "kind"),
		wait:     histogram("wait_duration_seconds", "Time callers waited for a distributed lock, from the call to the lease.", long, "lock", "kind"),
		validity: histogram("validity_seconds", "Validity left of a lease when its caller got it.", long, "lock", "kind"),
		hold:     histogram("hold_duration_seconds", "Time leases were held, from their beginning to their release or loss.", long, "lock", "kind"),
		latency:  histogram("node_duration_seconds", "Duration of round trips to each lock node.", short, "node"),

		leases: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "redlock", Name: "leases", Help: "Leases of distributed locks that are held.",
		}, []string{"lock", "kind"}),
	}
	for _, o := range opts {
		o(m)
	}
	if m.name == nil {
		m.name = func(string) string { return "" }
		m.lock("", redlock.KindLock)
	}
	return m
}

// lock returns the labels for what has that name, and more labels, and begins the series that
// alerts use.
func (m *Metrics) lock(name string, kind redlock.Kind, more ...string) []string {
	labels := []string{m.name(name), string(kind)}
	if _, known := m.known.LoadOrStore(series{lock: labels[0], kind: kind}, true); !known {
		m.losses.WithLabelValues(labels...)
		m.danger.WithLabelValues(labels...)
		for _, err := range []error{redlock.ErrNoQuorum, redlock.ErrTooLate} {
			m.failures.WithLabelValues(labels[0], labels[1], outcome.Of(err))
		}
	}
	return append(labels, more...)
}

// node begins the series of a node that alerts use.
func (m *Metrics) node(addr string) {
	if _, known := m.known.LoadOrStore(series{node: addr}, true); known {
		return
	}
	for _, v := range []redlock.Verdict{pool.Unavailable, pool.Refused, pool.Quarantined} {
		m.requests.WithLabelValues(addr, pool.Acquire.String(), outcome.OfNode(v))
	}
	for _, err := range []error{nil, pool.ErrTooOld} { // any error counts as a refusal
		m.dropped.WithLabelValues(addr, outcome.OfDropped(err))
	}
}

// A series identifies series that have begun: those of a lock's labels, or of a node.
type series struct {
	lock, node string
	kind       redlock.Kind
}

// The buckets of the classic histograms: for round trips, and for what may last for hours. A
// registry that supports native histograms gets those too.
var (
	short = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1}
	long  = []float64{.001, .005, .01, .05, .1, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600}
)

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "redlock", Name: name, Help: help}, labels)
}

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "redlock", Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
	}, labels)
}

// Describe implements [prometheus.Collector].
func (m *Metrics) Describe(to chan<- *prometheus.Desc) {
	for _, c := range m.all() {
		c.Describe(to)
	}
}

// Collect implements [prometheus.Collector].
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	for _, c := range m.all() {
		c.Collect(to)
	}
}

func (m *Metrics) all() []prometheus.Collector {
	return []prometheus.Collector{
		m.attempts, m.repairs, m.failures, m.renewals, m.danger, m.losses, m.releases, m.requests, m.dropped,
		m.attempt, m.wait, m.validity, m.hold, m.latency, m.leases, &m.lockers,
	}
}

// ObserveContext implements [redlock.ContextObserver]. It counts a lease as held from its
// AcquiredEvent until ctx, which is the lease's context, ends.
func (m *Metrics) ObserveContext(ctx context.Context, e redlock.Event) {
	if e, ok := e.(redlock.AcquiredEvent); ok {
		held := m.leases.WithLabelValues(m.lock(e.Name, e.Kind)...)
		held.Inc()
		context.AfterFunc(ctx, held.Dec)
	}
	m.Observe(e)
}

// Observe implements [redlock.Observer].
func (m *Metrics) Observe(e redlock.Event) {
	switch e := e.(type) {
	case redlock.NodeEvent:
		m.node(e.Node)
		m.requests.WithLabelValues(e.Node, e.Verb.String(), outcome.OfNode(e.Verdict)).Inc()
		m.latency.WithLabelValues(e.Node).Observe(e.Latency.Seconds())
	case redlock.AttemptEvent:
		lock := m.lock(e.Name, e.Kind)
		m.attempts.WithLabelValues(m.lock(e.Name, e.Kind, outcome.Of(e.Err))...).Inc()
		m.attempt.WithLabelValues(lock...).Observe(e.Took.Seconds())
		m.repairs.WithLabelValues(lock...).Add(float64(e.Repairs))
	case redlock.AcquiredEvent:
		lock := m.lock(e.Name, e.Kind)
		m.wait.WithLabelValues(lock...).Observe(e.Wait.Seconds())
		m.validity.WithLabelValues(lock...).Observe(e.Validity.Seconds())
	case redlock.FailedEvent:
		m.failures.WithLabelValues(m.lock(e.Name, e.Kind, outcome.Of(e.Err))...).Inc()
	case redlock.RenewedEvent:
		m.renewals.WithLabelValues(m.lock(e.Name, e.Kind, outcome.Of(e.Err))...).Inc()
	case redlock.DangerEvent:
		m.danger.WithLabelValues(m.lock(e.Name, e.Kind)...).Inc()
	case redlock.LostEvent:
		lock := m.lock(e.Name, e.Kind)
		m.losses.WithLabelValues(lock...).Inc()
		m.hold.WithLabelValues(lock...).Observe(e.Held.Seconds())
	case redlock.ReleasedEvent:
		lock := m.lock(e.Name, e.Kind)
		m.releases.WithLabelValues(m.lock(e.Name, e.Kind, outcome.Of(e.Err))...).Inc()
		m.hold.WithLabelValues(lock...).Observe(e.Held.Seconds())
		if errors.Is(e.Err, redlock.ErrLost) {
			m.losses.WithLabelValues(lock...).Inc()
		}
	case redlock.DroppedEvent:
		m.dropped.WithLabelValues(e.Node, outcome.OfDropped(e.Err)).Inc()
	}
}
