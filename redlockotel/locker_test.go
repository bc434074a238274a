package redlockotel_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/observertest"
	"github.com/go-redlock/redlock/redlockotel"
	"github.com/go-redlock/redlock/redlocktest"
)

func TestWhatALockerDoesIsTracedAndCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		q := redlocktest.New(t, 5)
		locks := q.Locker(redlock.WithObserver(b))
		release := q.Hold("job")
		time.AfterFunc(time.Minute, release)

		ctx, caller := b.traces.Tracer("test").Start(t.Context(), "caller")
		lease, err := locks.Lock(ctx, "job", redlock.WithRenewal(redlock.Forever))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second) // one renewal
		if n := b.total(t, "redlock.leases"); n != 1 {
			t.Errorf("%d leases are counted, want 1", n)
		}
		if err := lease.Unlock(t.Context()); err != nil {
			t.Fatal(err)
		}
		caller.End()
		synctest.Wait()

		lock, hold := b.span(t, "redlock.lock"), b.span(t, "redlock.hold")
		if took := lock.EndTime().Sub(lock.StartTime()); took != time.Minute {
			t.Errorf("redlock.lock took %v, want the wait of a minute", took)
		}
		if took := hold.EndTime().Sub(hold.StartTime()); took != 5*time.Second {
			t.Errorf("redlock.hold took %v, want 5s", took)
		}
		if lock.SpanContext().TraceID() != caller.SpanContext().TraceID() || hold.SpanContext().TraceID() != caller.SpanContext().TraceID() {
			t.Error("the spans are not in the caller's trace")
		}
		if got := fmt.Sprint(events(hold)); got != "[redlock.renewed redlock.released]" {
			t.Errorf("redlock.hold has the events %v", got)
		}
		if got := events(b.span(t, "caller")); len(got) < 2 {
			t.Errorf("the caller's span has the events %v, want one for each attempt", got)
		}
		for name, want := range map[string]int64{
			"redlock.leases": 0, "redlock.releases": 1, "redlock.wait.duration": 1, "redlock.hold.duration": 1, "redlock.renewals": 1,
		} {
			if got := b.total(t, name); got != want {
				t.Errorf("%s is %d, want %d", name, got, want)
			}
		}
		if b.total(t, "redlock.node.requests") == 0 || b.total(t, "redlock.node.duration") == 0 {
			t.Error("the nodes' requests are not counted")
		}
	})
}

// A program's own spans show what it does under the lock.
func TestSpansUnderALockAreChildrenOfItsHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		q := redlocktest.New(t, 5)
		locks := q.Locker(redlock.WithObserver(b))
		tracer := b.traces.Tracer("test")
		ctx, caller := tracer.Start(t.Context(), "caller")
		work := func(ctx context.Context, lease *redlock.Lease, span string) {
			_, own := tracer.Start(b.Context(ctx, lease), span)
			own.End()
		}
		var ended, other *redlock.Lease
		err := locks.Do(ctx, "job", func(ctx context.Context, lease *redlock.Lease) error {
			ended = lease
			work(ctx, lease, "under the lock")
			if own, ok := locks.FromContext(b.Context(ctx, lease), "job"); !ok || own != lease {
				t.Error("the context has lost its lease")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		work(ctx, ended, "after it")
		if other, err = q.Locker().Lock(ctx, "job"); err != nil {
			t.Fatal(err)
		}
		work(ctx, other, "without the observer")
		work(ctx, new(redlock.Lease), "without a lease")
		caller.End()
		synctest.Wait()
		if got, want := b.span(t, "under the lock").Parent().SpanID(), b.span(t, "redlock.hold").SpanContext().SpanID(); got != want {
			t.Errorf("the parent of what is done under the lock is %v, not redlock.hold, %v", got, want)
		}
		for _, span := range []string{"after it", "without the observer", "without a lease"} {
			if b.span(t, span).Parent().SpanID() != caller.SpanContext().SpanID() {
				t.Errorf("%s: it is not the caller's child", span)
			}
		}
	})
}

// Otherwise a backend could not lead from a metric to the traces of the same lock.
func TestMetricsAndTracesNameALockByOneAttribute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, redlockotel.WithNames(func(name string) string { return name }))
		locks := redlocktest.New(t, 5).Locker(redlock.WithObserver(b))
		if err := locks.Do(t.Context(), "job", func(context.Context, *redlock.Lease) error { return nil }); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		job := attribute.String("redlock.lock", "job")
		for _, metric := range []string{"redlock.attempts", "redlock.wait.duration", "redlock.hold.duration", "redlock.releases"} {
			if n := b.total(t, metric, job); n != 1 {
				t.Errorf("%s is %d under %v", metric, n, job)
			}
		}
		for _, span := range []string{"redlock.lock", "redlock.hold"} {
			if got := b.span(t, span).Attributes(); !slices.Contains(got, job) {
				t.Errorf("%s has %v", span, got)
			}
		}
	})
}

func TestNeitherTraceNorMetricsGiveAnOwnerAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		observertest.Live(t, b)
		spans := b.spans.Ended()
		if len(spans) < 8 {
			t.Errorf("%d spans only", len(spans))
		}
		for _, s := range spans {
			if text := fmt.Sprint(s.Name(), s.Attributes(), s.Events(), s.Status()); observertest.OwnerID.MatchString(text) {
				t.Errorf("a span gives the owner away: %s", text)
			}
		}
		for _, name := range []string{"redlock.renewals", "redlock.leases.in_danger", "redlock.leases.lost", "redlock.failures", "redlock.releases"} {
			if b.total(t, name) == 0 {
				t.Errorf("the scene lacks %s", name)
			}
		}
		var all metricdata.ResourceMetrics
		if err := b.reader.Collect(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(all.ScopeMetrics)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "no_quorum") || observertest.OwnerID.Match(text) {
			t.Errorf("the metrics give an owner away, or are not all there: %s", text)
		}
	})
}

func TestTheSpansOfAPermitTellItsSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		locks := redlocktest.New(t, 5).Locker(redlock.WithObserver(b))
		permit, err := locks.Semaphore("jobs", 3).Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := permit.Unlock(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, name := range []string{"redlock.lock", "redlock.hold"} {
			text := fmt.Sprint(b.span(t, name).Attributes())
			if !strings.Contains(text, "\"redlock.slot\":") || !strings.Contains(text, "\"redlock.permits\":3") {
				t.Errorf("%s: %s", name, text)
			}
		}
	})
}

func TestSpansTellALockAReadersAndAPermitApart(t *testing.T) {
	t.Parallel()
	for kind, take := range map[redlock.Kind]func(context.Context, *redlock.Locker) (*redlock.Lease, error){
		redlock.KindLock: func(ctx context.Context, l *redlock.Locker) (*redlock.Lease, error) { return l.Lock(ctx, "a") },
		redlock.KindShared: func(ctx context.Context, l *redlock.Locker) (*redlock.Lease, error) {
			return l.Mutex("a").Shared().Lock(ctx)
		},
		redlock.KindPermit: func(ctx context.Context, l *redlock.Locker) (*redlock.Lease, error) {
			return l.Semaphore("a", 2).Acquire(ctx)
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			le, err := take(t.Context(), redlocktest.New(t, 5).Locker(redlock.WithObserver(b)))
			if err != nil {
				t.Fatal(err)
			}
			if err := le.Unlock(t.Context()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			for _, name := range []string{"redlock.lock", "redlock.hold"} {
				if text := fmt.Sprint(b.span(t, name).Attributes()); !strings.Contains(text, fmt.Sprintf("redlock.kind\":%q", kind)) && !strings.Contains(text, "redlock.kind "+string(kind)) {
					t.Errorf("%s of a %s: %s", name, kind, text)
				}
			}
		})
	}
}
