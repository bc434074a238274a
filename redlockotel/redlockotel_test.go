package redlockotel_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/observertest"
	"github.com/go-redlock/redlock/pool"
	"github.com/go-redlock/redlock/redlockotel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A bench is Telemetry with the real SDKs, which record what they get.
type bench struct {
	*redlockotel.Telemetry
	reader *sdkmetric.ManualReader
	spans  *tracetest.SpanRecorder
	traces *sdktrace.TracerProvider
}

func newBench(t *testing.T, more ...redlockotel.Option) *bench {
	t.Helper()
	b := &bench{reader: sdkmetric.NewManualReader(), spans: tracetest.NewSpanRecorder()}
	b.traces = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(b.spans))
	telemetry, err := redlockotel.New(append([]redlockotel.Option{
		redlockotel.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(b.reader))),
		redlockotel.WithTracerProvider(b.traces),
		redlockotel.WithNames(observertest.Kind),
	}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	b.Telemetry = telemetry
	return b
}

// total sums a metric up over the series that have all those attributes; a histogram counts its
// samples.
func (b *bench) total(t *testing.T, name string, attrs ...attribute.KeyValue) (sum int64) {
	t.Helper()
	for _, v := range b.series(t, name, attrs...) {
		sum += v
	}
	return sum
}

// series returns the values of a metric's series that have all those attributes.
func (b *bench) series(t *testing.T, name string, attrs ...attribute.KeyValue) (values []int64) {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := b.reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	fits := func(s attribute.Set) bool {
		return !slices.ContainsFunc(attrs, func(kv attribute.KeyValue) bool {
			v, ok := s.Value(kv.Key)
			return !ok || v != kv.Value
		})
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != name {
				continue
			}
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					if fits(p.Attributes) {
						values = append(values, p.Value)
					}
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					if fits(p.Attributes) {
						values = append(values, int64(p.Count))
					}
				}
			}
		}
	}
	return values
}

func TestEveryEventIsCounted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, e := range []redlock.Event{
		redlock.NodeEvent{Node: "a:6379", Verb: pool.Acquire, Verdict: pool.OK, Latency: time.Millisecond},
		redlock.NodeEvent{Node: "b:6379", Verb: pool.Release, Verdict: pool.Unavailable, Latency: time.Second},
		redlock.AttemptEvent{Name: "job:1", Err: redlock.ErrHeld, Took: time.Millisecond},
		redlock.AttemptEvent{Name: "job:2", Took: time.Millisecond, Repairs: 2},
		redlock.AcquiredEvent{Name: "job:2", Wait: time.Second, Validity: 9 * time.Second},
		redlock.FailedEvent{Name: "job:1", Err: errors.Join(redlock.ErrNoQuorum, context.Canceled)},
		redlock.RenewedEvent{Name: "job:2"},
		redlock.RenewedEvent{Name: "job:2", Err: redlock.ErrNoQuorum},
		redlock.DangerEvent{Name: "job:2"},
		redlock.LostEvent{Name: "job:2", Held: time.Minute},
		redlock.ReleasedEvent{Name: "job:3", Held: time.Minute},
		redlock.ReleasedEvent{Name: "job:4", Held: time.Minute, Err: redlock.ErrLost},
		redlock.DroppedEvent{Node: "b:6379"},
		redlock.DroppedEvent{Node: "b:6379", Err: errors.New("NOPERM")},
	} {
		b.Observe(e)
	}
	job := attribute.String("redlock.lock", "job")
	verdict := func(v string) attribute.KeyValue { return attribute.String("redlock.verdict", v) }
	node, port := func(n string) attribute.KeyValue { return attribute.String("server.address", n) }, attribute.Int("server.port", 6379)
	for _, c := range []struct {
		metric string
		want   int64
		attrs  []attribute.KeyValue
	}{
		{"redlock.attempts", 1, []attribute.KeyValue{job, verdict("held")}},
		{"redlock.attempts", 1, []attribute.KeyValue{job, verdict("ok")}},
		{"redlock.attempt.duration", 2, []attribute.KeyValue{job}},
		{"redlock.fence.repairs", 2, []attribute.KeyValue{job}},
		{"redlock.wait.duration", 1, []attribute.KeyValue{job}},
		{"redlock.failures", 1, []attribute.KeyValue{job, verdict("no_quorum")}},
		{"redlock.validity", 1, []attribute.KeyValue{job}},
		{"redlock.hold.duration", 3, []attribute.KeyValue{job}},
		{"redlock.renewals", 1, []attribute.KeyValue{job, verdict("ok")}},
		{"redlock.renewals", 1, []attribute.KeyValue{job, verdict("no_quorum")}},
		{"redlock.leases.in_danger", 1, []attribute.KeyValue{job}},
		{"redlock.leases.lost", 2, []attribute.KeyValue{job}},
		{"redlock.releases", 1, []attribute.KeyValue{job, verdict("ok")}},
		{"redlock.releases", 1, []attribute.KeyValue{job, verdict("lost")}},
		{"redlock.node.requests", 1, []attribute.KeyValue{node("a"), port, attribute.String("redlock.verb", "acquire"), verdict("ok")}},
		{"redlock.node.requests", 1, []attribute.KeyValue{node("b"), port, attribute.String("redlock.verb", "release"), verdict("unavailable")}},
		{"redlock.node.duration", 1, []attribute.KeyValue{node("b"), port}},
		{"redlock.node.releases.dropped", 1, []attribute.KeyValue{node("b"), port, attribute.String("redlock.reason", "backlog")}},
		{"redlock.node.releases.dropped", 1, []attribute.KeyValue{node("b"), port, attribute.String("redlock.reason", "refused")}},
	} {
		if got := b.total(t, c.metric, c.attrs...); got != c.want {
			t.Errorf("%s%v is %d, want %d", c.metric, c.attrs, got, c.want)
		}
	}
}

// A backend sees no rise in a series that begins with its first event.
func TestWhatAlertsRestOnBeginsAtZero(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func() (*bench, []attribute.KeyValue){
		"with names": func() (*bench, []attribute.KeyValue) {
			b := newBench(t)
			b.Observe(redlock.AttemptEvent{Name: "job:1"})
			return b, []attribute.KeyValue{attribute.String("redlock.lock", "job")}
		},
		"without": func() (*bench, []attribute.KeyValue) {
			return newBench(t, redlockotel.WithNames(nil)), nil
		},
	} {
		b, attrs := begin()
		for _, metric := range []string{"redlock.leases.lost", "redlock.leases.in_danger", "redlock.failures"} {
			if len(b.series(t, metric, attrs...)) == 0 {
				t.Errorf("%s: %s has not begun", name, metric)
			}
		}
	}
}

// span returns the one span of that name that has ended.
func (b *bench) span(t *testing.T, name string) sdktrace.ReadOnlySpan {
	t.Helper()
	var found []sdktrace.ReadOnlySpan
	for _, s := range b.spans.Ended() {
		if s.Name() == name {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d spans %s have ended, want 1", len(found), name)
	}
	return found[0]
}

func events(s sdktrace.ReadOnlySpan) (names []string) {
	for _, e := range s.Events() {
		names = append(names, e.Name)
	}
	return names
}

func TestATraceGoesOnFromItsCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		ctx, caller := b.traces.Tracer("test").Start(t.Context(), "caller")
		lease, end := context.WithCancelCause(context.WithoutCancel(ctx))

		time.Sleep(2 * time.Second) // of virtual time: the wait
		b.ObserveContext(ctx, redlock.AttemptEvent{Name: "job", Err: redlock.ErrHeld})
		b.ObserveContext(ctx, redlock.AttemptEvent{Name: "job"})
		b.ObserveContext(lease, redlock.AcquiredEvent{Name: "job", Fence: 7, Wait: 2 * time.Second})
		time.Sleep(3 * time.Second)
		b.ObserveContext(lease, redlock.RenewedEvent{Name: "job", Left: time.Second})
		b.ObserveContext(lease, redlock.DangerEvent{Name: "job", Left: time.Second})
		end(redlock.ErrLost)
		b.ObserveContext(lease, redlock.LostEvent{Name: "job", Held: 3 * time.Second})
		caller.End()

		if got := events(b.span(t, "caller")); !slices.Equal(got, []string{"redlock.attempt", "redlock.attempt"}) {
			t.Errorf("the caller's span has the events %v", got)
		}
		lock, hold := b.span(t, "redlock.lock"), b.span(t, "redlock.hold")
		for _, s := range []sdktrace.ReadOnlySpan{lock, hold} {
			if s.Parent().SpanID() != caller.SpanContext().SpanID() {
				t.Errorf("%s is not a child of its caller's span", s.Name())
			}
			if !slices.Contains(s.Attributes(), attribute.Int64("redlock.fence", 7)) {
				t.Errorf("%s has no fencing token: %v", s.Name(), s.Attributes())
			}
		}
		if took := lock.EndTime().Sub(lock.StartTime()); took != 2*time.Second {
			t.Errorf("redlock.lock took %v, want the wait of 2s", took)
		}
		if took := hold.EndTime().Sub(hold.StartTime()); took != 3*time.Second {
			t.Errorf("redlock.hold took %v, want 3s", took)
		}
		if got := events(hold); !slices.Equal(got, []string{"redlock.renewed", "redlock.danger", "redlock.lost"}) {
			t.Errorf("redlock.hold has the events %v", got)
		}
		if hold.Status().Code != codes.Error {
			t.Errorf("the loss is no error in the trace: %v", hold.Status())
		}
		synctest.Wait()
		if n := b.total(t, "redlock.leases"); n != 0 {
			t.Errorf("%d leases are counted after the loss", n)
		}
	})
}

func TestTheSpanOfALeaseEndsWithItsLocker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		lease, end := context.WithCancelCause(t.Context())
		b.ObserveContext(lease, redlock.AcquiredEvent{Name: "job"})
		end(redlock.ErrClosed)
		synctest.Wait()
		if s := b.span(t, "redlock.hold"); s.Status().Code != codes.Error {
			t.Errorf("status %v", s.Status())
		}
	})
}

func TestAHeldLockIsNoErrorInATrace(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.ObserveContext(t.Context(), redlock.FailedEvent{Name: "job", Err: redlock.ErrHeld})
	if s := b.span(t, "redlock.lock"); s.Status().Code == codes.Error {
		t.Errorf("status %v", s.Status())
	}
}
