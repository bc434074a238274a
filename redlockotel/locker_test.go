package redlockotel_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/memnode"
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

// An owner id begins with this, and what is shown must not have it.
var ownerID = regexp.MustCompile(`[0-9a-f]{32}`)

// live has a Locker take, renew, lose, release and fail to get locks, under the observer's eyes.
func live(t *testing.T, observer redlock.Observer) {
	t.Helper()
	masters, nodes := memnode.Cluster(3)
	var lockers []*redlock.Locker
	for range 2 {
		l, err := redlock.New(nodes, redlock.WithObserver(observer), redlock.WithRenewal(redlock.Forever), redlock.WithHolder("web-1"))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close(context.WithoutCancel(t.Context()))
		lockers = append(lockers, l)
	}
	lock := func(name string) *redlock.Lease {
		lease, err := lockers[0].Lock(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // for the answers that came after the decision
		if owner, _, _ := masters[0].Get(name); !ownerID.MatchString(owner) {
			t.Fatalf("an owner id does not look as this test thinks: %q", owner)
		}
		return lease
	}
	released, gone, starved := lock("job:released"), lock("job:gone"), lock("job:starved")
	if _, err := lockers[1].TryLock(t.Context(), "job:gone"); !errors.Is(err, redlock.ErrHeld) {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Second) // a renewal each
	if err := released.Unlock(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, m := range masters {
		m.Delete("job:gone")
	}
	if err := gone.Extend(t.Context()); !errors.Is(err, redlock.ErrLost) {
		t.Fatal(err)
	}
	masters[0].Kill()
	masters[1].Freeze()
	if _, err := lockers[1].TryLock(t.Context(), "job:none"); !errors.Is(err, redlock.ErrNoQuorum) {
		t.Fatal(err)
	}
	<-starved.Done()
	masters[1].Thaw()
	masters[0].Start(true)
	synctest.Wait()
}

func TestNeitherTraceNorMetricsGiveAnOwnerAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		live(t, b)
		spans := b.spans.Ended()
		if len(spans) < 8 {
			t.Errorf("%d spans only", len(spans))
		}
		for _, s := range spans {
			if text := fmt.Sprint(s.Name(), s.Attributes(), s.Events(), s.Status()); ownerID.MatchString(text) {
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
		if !strings.Contains(string(text), "no_quorum") || ownerID.Match(text) {
			t.Errorf("the metrics give an owner away, or are not all there: %s", text)
		}
	})
}
