package dispatch_test

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/dispatch"
	"github.com/go-redlock/redlock/internal/memnode"
	"github.com/go-redlock/redlock/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A receiver records its answers.
type receiver struct {
	hook    func()
	answers atomic.Int64
}

func (r *receiver) Wanted(*wire.Request) bool {
	r.hook()
	return true
}

func (r *receiver) Answered(int, *wire.Request, wire.Reply) {
	r.hook()
	r.answers.Add(1)
}

// A function that is called with a lock held could not ask the lines, or send on them.
func TestWhatGoesUpComesWithNoLockHeld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := memnode.New("node")
		var d *dispatch.Dispatcher
		var duplicates, more atomic.Int64
		ask := func() {
			for _, ln := range d.Lines() {
				ln.Silence(clock.IO())
				ln.Connects()
			}
		}
		second := &receiver{hook: ask}
		send := func(r *receiver) {
			for _, ln := range d.Lines() {
				until := clock.IO().Add(time.Second)
				ln.Send(dispatch.Call{To: r, Request: &wire.Request{Verb: wire.Inspect, Lock: "a"}, Until: until, Within: time.Second})
			}
		}
		d = dispatch.New([]wire.Node{node, node}, dispatch.Hooks{ // one server at two addresses
			Full:  func(int) bool { ask(); return false },
			Alive: func(int) { ask() },
			Heard: func(int, wire.Verb, *wire.Reply, time.Duration, time.Time) {
				if more.Add(1) == 1 {
					send(second)
				}
			},
			Duplicate: func(int, int) { ask(); duplicates.Add(1) },
		})
		first := &receiver{hook: ask}
		send(first)
		if !d.Drain(nil) || first.answers.Load() != 2 || second.answers.Load() != 2 {
			t.Errorf("%d and %d answers, want 2 each", first.answers.Load(), second.answers.Load())
		}
		if duplicates.Load() != 1 {
			t.Errorf("%d nodes lost their vote, want one", duplicates.Load())
		}
		d.Retire()
		d.Join()
	})
}

func TestANodeThatIsFullIsSentNoNewLocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := dispatch.New([]wire.Node{memnode.New("node")}, dispatch.Hooks{
			Full:  func(int) bool { return true },
			Alive: func(int) {},
			Heard: func(_ int, v wire.Verb, _ *wire.Reply, _ time.Duration, _ time.Time) {
				if dispatch.Takes(v) {
					t.Errorf("%v was sent", v)
				}
			},
		})
		r := &receiver{hook: func() {}}
		for _, v := range []wire.Verb{wire.Acquire, wire.Rejoin, wire.Inspect} {
			until := clock.IO().Add(time.Second)
			d.Lines()[0].Send(dispatch.Call{To: r, Request: &wire.Request{Verb: v, Lock: "a", TTL: time.Second}, Until: until, Within: time.Second})
		}
		if d.Drain(nil); r.answers.Load() != 3 {
			t.Errorf("%d answers, want 3", r.answers.Load())
		}
		d.Retire()
		d.Join()
	})
}

// Calls that are sent together leave in one round trip to each node, and no call leaves before the
// last one was sent.
func TestCallsSentTogetherShareARoundTrip(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var trips []int // how many calls each had
		node := memnode.New("node").Through(func(m memnode.Message) memnode.Fate {
			trips = append(trips, len(m.Requests))
			return memnode.Fate{}
		})
		d := dispatch.New([]wire.Node{node}, dispatch.Hooks{
			Full:  func(int) bool { return false },
			Alive: func(int) {},
			Heard: func(int, wire.Verb, *wire.Reply, time.Duration, time.Time) {},
		})
		to := &receiver{hook: func() {}}
		send := func() {
			until := clock.IO().Add(time.Second)
			call := dispatch.Call{To: to, Request: &wire.Request{Verb: wire.Inspect, Lock: "a"}, Until: until, Within: time.Second, Waits: true}
			if d.Lines()[0].Send(call) != nil {
				t.Error("the sender is to make the round trip itself")
			}
			synctest.Wait()
		}
		d.Together(func() {
			send()
			d.Together(send)
			send()
			if trips != nil {
				t.Errorf("%v were sent too soon", trips)
			}
		})
		if !d.Drain(nil) || to.answers.Load() != 3 || len(trips) != 1 || trips[0] != 3 {
			t.Errorf("%d answers to %v", to.answers.Load(), trips)
		}
		d.Retire()
		d.Join()
	})
}

// A patient call begins no round trip of its own: it is sent with another call, or at Depart. And
// its node may take the whole node timeout, however long the call has waited.
func TestAPatientCallWaitsForCompanyAndHasItsTimeAfterwards(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const within = time.Second
		var trips []int
		node := memnode.New("node").Through(func(m memnode.Message) memnode.Fate {
			trips = append(trips, len(m.Requests))
			return memnode.Fate{DelayBack: within * 3 / 4}
		})
		d := dispatch.New([]wire.Node{node}, dispatch.Hooks{
			Full:  func(int) bool { return false },
			Alive: func(int) {},
			Heard: func(_ int, _ wire.Verb, r *wire.Reply, _ time.Duration, _ time.Time) {
				if r.Verdict == wire.Unavailable {
					t.Errorf("a call failed: %v", r.Err)
				}
			},
		})
		to := &receiver{hook: func() {}}
		send := func(patient bool) {
			d.Lines()[0].Send(dispatch.Call{
				To: to, Request: &wire.Request{Verb: wire.Inspect, Lock: "a"},
				Until: clock.IO().Add(within), Within: within, Patient: patient,
			})
			synctest.Wait()
		}
		send(true)
		send(true)
		time.Sleep(within / 2)
		if len(trips) != 0 {
			t.Errorf("%v went alone", trips)
		}
		d.Depart()
		time.Sleep(within)
		send(true)
		send(false)
		time.Sleep(within)
		if to.answers.Load() != 4 || !slices.Equal(trips, []int{2, 2}) {
			t.Errorf("%d answers to %v", to.answers.Load(), trips)
		}
		d.Retire()
		d.Join()
	})
}
