package redlockotel_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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

func TestATraceGivesNoOwnerAway(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	masters, nodes := memnode.Cluster(3)
	locks, err := redlock.New(nodes, redlock.WithObserver(b))
	if err != nil {
		t.Fatal(err)
	}
	lease, err := locks.Lock(t.Context(), "job")
	if err != nil {
		t.Fatal(err)
	}
	var owner string
	for _, m := range masters { // one of them may not have it yet
		if o, _, found := m.Get("job"); found {
			owner = o
		}
	}
	if _, err := locks.TryLock(t.Context(), "job"); err == nil {
		t.Fatal("it was locked twice")
	}
	if err := lease.Unlock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := locks.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, s := range b.spans.Ended() {
		if text := fmt.Sprint(s.Name(), s.Attributes(), s.Events(), s.Status()); owner == "" || strings.Contains(text, owner) {
			t.Errorf("a span gives the owner away: %s", text)
		}
	}
}
