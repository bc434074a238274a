// Package redlockotel makes OpenTelemetry metrics and traces from the events of a [redlock.Locker].
//
//	telemetry, err := redlockotel.New()
//	locks, err := redlock.New(nodes, redlock.WithObserver(telemetry))
//
// # Metrics
//
// Durations are in seconds. All metrics but those of nodes have the attribute redlock.kind, which
// is lock, shared or permit (see [redlock.Kind]), and redlock.lock with [WithNames].
//
//	redlock.attempts                redlock.verdict  attempts to take a lock
//	redlock.attempt.duration                         from before the first request to the decision
//	redlock.fence.repairs                            second requests for the fencing token
//	redlock.wait.duration                            from the call to the lease
//	redlock.failures                redlock.verdict  calls that gave up without a lease
//	redlock.validity                                 what was left of a lease when its caller got it
//	redlock.leases                                   leases that are held
//	redlock.hold.duration                            from a lease's beginning to its end
//	redlock.renewals                redlock.verdict  renewals and calls of Extend
//	redlock.leases.in_danger                         leases whose renewals fail: a third is left
//	redlock.leases.lost                              leases that ended early, or were gone at Unlock
//	redlock.releases                redlock.verdict  calls of Unlock
//	redlock.node.requests           server.address, server.port, redlock.verb, redlock.verdict
//	redlock.node.duration           server.address, server.port: how long its round trips took
//	redlock.node.releases.dropped   server.address, server.port, redlock.reason
//
// The counters that alerts use (in_danger, lost, failures with no_quorum and too_late) begin at
// zero: at once for the kind lock, or with [WithNames] and for other kinds at the first attempt. If
// a series began with its first event, a backend would see no rise in it.
//
// # Traces
//
// The trace of the context given to Lock, TryLock, Do or TryDo gets:
//
//   - the span redlock.lock, from the call to the lease or the error;
//   - the span redlock.hold, from the lease to the end of its release, or to its loss, with the
//     events redlock.renewed, redlock.danger, redlock.lost and redlock.released;
//   - an event redlock.attempt for each attempt, on the caller's own span.
//
// Spans that the program starts while it holds the lock are children of redlock.hold if their
// context comes from [Telemetry.Context].
//
// The spans have the lock's whole name, as redlock.lock, redlock.kind and the fencing token; those
// of a permit also redlock.slot and redlock.permits. A span that ended in an error has the status
// Error; ErrHeld does not count as an error.
//
// # Verdicts
//
// The verdicts of calls are ok, held, no_quorum, too_late, lost, released, closed, deadline,
// canceled and other. The verdicts of nodes are ok, held, gone, raised, quarantined, refused and
// unavailable. Neither metrics nor traces contain an owner id.
//
// If a release was given up, its key lasts until the TTL. The reason is backlog (the node did not
// answer, and too many releases wait for it) or refused (the node refused the release until the TTL
// was over).
package redlockotel

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/outcome"
)

const scope = "github.com/go-redlock/redlock/redlockotel"

// Telemetry observes one or more Lockers. It is safe for concurrent use.
type Telemetry struct {
	meters  metric.MeterProvider
	tracers trace.TracerProvider
	name    func(string) string

	instruments
	known  sync.Map // the labels of locks whose series have begun
	tracer trace.Tracer
	holds  sync.Map // the spans of the leases that are held, by the lease's context
}

var _ redlock.ContextObserver = (*Telemetry)(nil)

// An Option sets up [Telemetry].
type Option func(*Telemetry)

// WithMeterProvider sets the meter provider. The default is the global one.
func WithMeterProvider(p metric.MeterProvider) Option { return func(t *Telemetry) { t.meters = p } }

// WithTracerProvider sets the tracer provider. The default is the global one.
func WithTracerProvider(p trace.TracerProvider) Option { return func(t *Telemetry) { t.tracers = p } }

// WithNames adds the attribute redlock.lock to metrics. Its value is what label returns for the
// lock's name, for instance "invoice" for "invoice:42". label must be safe for concurrent use, and
// return few different values: each one adds a series to every metric. Traces always have the whole
// name.
func WithNames(label func(name string) string) Option { return func(t *Telemetry) { t.name = label } }

// New makes Telemetry, for [redlock.WithObserver]. It fails only if the meter provider refuses an
// instrument.
func New(opts ...Option) (*Telemetry, error) {
	t := &Telemetry{meters: otel.GetMeterProvider(), tracers: otel.GetTracerProvider()}
	for _, o := range opts {
		o(t)
	}
	t.tracer = t.tracers.Tracer(scope)
	if err := t.make(t.meters.Meter(scope)); err != nil {
		return nil, fmt.Errorf("redlockotel: %w", err)
	}
	if t.name == nil {
		t.start(context.Background(), "", redlock.KindLock)
	}
	return t, nil
}

// Observe implements [redlock.Observer]. A Locker calls ObserveContext instead.
func (t *Telemetry) Observe(e redlock.Event) { t.ObserveContext(context.Background(), e) }

// ObserveContext implements [redlock.ContextObserver].
func (t *Telemetry) ObserveContext(ctx context.Context, e redlock.Event) {
	t.measure(ctx, e)
	t.trace(ctx, e)
}

// trace writes e into the trace that ctx belongs to.
func (t *Telemetry) trace(ctx context.Context, e redlock.Event) {
	switch e := e.(type) {
	case redlock.AttemptEvent:
		if span := trace.SpanFromContext(ctx); span.IsRecording() {
			span.AddEvent("redlock.attempt", trace.WithAttributes(
				name(e.Name), kindOf(e.Kind), verdict(e.Err), seconds("redlock.duration", e.Took), attribute.Int("redlock.fence.repairs", e.Repairs)))
		}
	case redlock.AcquiredEvent:
		t.waited(ctx, e.Wait, append(slot(e), name(e.Name), kindOf(e.Kind), fence(e.Fence), verdict(nil), seconds("redlock.validity", e.Validity))...).End()
		t.begin(ctx, e)
	case redlock.FailedEvent:
		span := t.waited(ctx, e.Wait, name(e.Name), kindOf(e.Kind), verdict(e.Err))
		if !errors.Is(e.Err, redlock.ErrHeld) {
			span.SetStatus(codes.Error, e.Err.Error())
		}
		span.End()
	case redlock.RenewedEvent:
		t.note(ctx, "redlock.renewed", verdict(e.Err), seconds("redlock.left", e.Left))
	case redlock.DangerEvent:
		t.note(ctx, "redlock.danger", seconds("redlock.left", e.Left))
	case redlock.LostEvent:
		t.note(ctx, "redlock.lost", seconds("redlock.hold", e.Held))
		t.end(ctx, redlock.ErrLost)
	case redlock.ReleasedEvent:
		t.note(ctx, "redlock.released", verdict(e.Err), seconds("redlock.hold", e.Held))
		t.end(ctx, e.Err)
	}
}

// waited returns the span of a call that took so long and ends now.
func (t *Telemetry) waited(ctx context.Context, d time.Duration, attrs ...attribute.KeyValue) trace.Span {
	_, span := t.tracer.Start(ctx, "redlock.lock", trace.WithTimestamp(time.Now().Add(-d)), trace.WithAttributes(attrs...))
	return span
}

// begin starts the span of a lease, whose context is ctx. The span ends when the lease is released
// or lost; no event reports that Close ended it.
func (t *Telemetry) begin(ctx context.Context, e redlock.AcquiredEvent) {
	_, span := t.tracer.Start(ctx, "redlock.hold", trace.WithAttributes(append(slot(e), name(e.Name), kindOf(e.Kind), fence(e.Fence))...))
	if !span.IsRecording() {
		return
	}
	t.holds.Store(ctx, span)
	if ctx.Err() != nil { // it was lost at once, and that event came before
		t.end(ctx, context.Cause(ctx))
		return
	}
	context.AfterFunc(ctx, func() {
		if cause := context.Cause(ctx); errors.Is(cause, redlock.ErrClosed) {
			t.end(ctx, cause)
		}
	})
}

// note adds an event to the lease's span.
func (t *Telemetry) note(ctx context.Context, event string, attrs ...attribute.KeyValue) {
	if span, ok := t.holds.Load(ctx); ok {
		span.(trace.Span).AddEvent(event, trace.WithAttributes(attrs...)) //nolint:forcetypeassert // only begin stores them
	}
}

// end ends the lease's span.
func (t *Telemetry) end(ctx context.Context, err error) {
	stored, ok := t.holds.LoadAndDelete(ctx)
	if !ok {
		return
	}
	span := stored.(trace.Span) //nolint:forcetypeassert // see note
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

// Context returns a copy of ctx in which the lease's span redlock.hold is the current one, so that
// spans that are started with it, or with contexts made from it, are the children of that span. ctx
// is usually the context that Do or TryDo gave to its function, or that of [redlock.Lease.Bind].
//
// It returns ctx itself if the lease has no such span: it has ended, is not sampled, or comes
// from a Locker that has another observer.
func (t *Telemetry) Context(ctx context.Context, lease *redlock.Lease) context.Context {
	if span, ok := t.holds.Load(lease.Context()); ok {
		return trace.ContextWithSpan(ctx, span.(trace.Span)) //nolint:forcetypeassert // see note
	}
	return ctx
}

// lockKey is the attribute for the lock, in metrics and in traces.
const lockKey = attribute.Key("redlock.lock")

func name(n string) attribute.KeyValue { return lockKey.String(n) }

// kindOf tells a lock, a shared lock and a permit apart.
func kindOf(k redlock.Kind) attribute.KeyValue {
	return attribute.String("redlock.kind", string(k))
}

// slot is which permit of its semaphore a lease has; nothing for a lock.
func slot(e redlock.AcquiredEvent) []attribute.KeyValue {
	if e.Permits == 0 {
		return nil
	}
	return []attribute.KeyValue{attribute.Int("redlock.slot", e.Slot), attribute.Int("redlock.permits", e.Permits)}
}

// fence fits: tokens are below 2^53.
func fence(token uint64) attribute.KeyValue { return attribute.Int64("redlock.fence", int64(token)) }

func verdict(err error) attribute.KeyValue {
	return attribute.String("redlock.verdict", outcome.Of(err))
}

func seconds(key string, d time.Duration) attribute.KeyValue {
	return attribute.Float64(key, d.Seconds())
}
