package notify_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/dispatch"
	"github.com/go-redlock/redlock/internal/memnode"
	"github.com/go-redlock/redlock/internal/notify"
	"github.com/go-redlock/redlock/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	timeout = 80 * time.Millisecond // of a node
	grace   = 3 * time.Millisecond  // for a majority of notices
	long    = time.Minute
	year    = 365 * 24 * time.Hour
)

var keys, _ = wire.Keys("", "a")

// A node is a node whose notices the test sends itself.
type node struct {
	*memnode.Node
	trip time.Duration // of a request
	far  time.Duration // a round trip, as connections tell

	ahead time.Duration // its clock is; year: it does not tell

	mu            sync.Mutex
	refuses       bool // a subscription breaks at once
	subscriptions int  // under way
	times         []time.Time
	ready         func()
	heard         func(wire.Notice) // of the latest
	left          []uint64          // tickets of the places that were left
	channel       string            // of the latest subscription
}

func (n *node) Do(ctx context.Context, calls []wire.Call) {
	time.Sleep(n.trip)
	n.mu.Lock()
	for i := range calls {
		if r := calls[i].Request; r.Verb == wire.Leave {
			n.left = append(n.left, r.Ticket)
		}
	}
	n.mu.Unlock()
	n.Node.Do(ctx, calls)
}

// Time is asked by the Notifier.
func (n *node) Time() (time.Time, bool) { return time.Now().Add(n.ahead), n.ahead != year }

// RoundTrip is asked by the dispatcher.
func (n *node) RoundTrip() time.Duration { return n.far }

func (n *node) Listen(ctx context.Context, channel string, ready func(), heard func(wire.Notice)) error {
	n.mu.Lock()
	n.times = append(n.times, time.Now())
	if n.refuses {
		n.mu.Unlock()
		return errors.New("refused")
	}
	n.subscriptions++
	n.ready, n.heard, n.channel = ready, heard, channel
	n.mu.Unlock()
	ready()
	<-ctx.Done()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.subscriptions--
	return ctx.Err()
}

// A harness is a Notifier and all that it needs.
type harness struct {
	*notify.Notifier
	nodes    []*node
	used     bool        // this process uses every lock
	occupied []time.Time // when a lock was looked at
	taken    bool        // such a lock is held
	reserved []int       // nodes that have reserved the lock although nobody waits for it
}

// play runs a test of a Notifier with that many nodes, in virtual time.
func play(t *testing.T, count int, set func(*node), test func(*testing.T, *harness)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &harness{}
		nodes := make([]wire.Node, count)
		for i := range nodes {
			n := &node{Node: memnode.New(string(rune('1' + i)))}
			if set != nil {
				set(n)
			}
			h.nodes, nodes[i] = append(h.nodes, n), n
		}
		d := dispatch.New(nodes, dispatch.Hooks{
			Full: func(int) bool { return false }, Alive: func(int) {}, Duplicate: func(int, int) {},
			Heard: func(int, wire.Verb, *wire.Reply, time.Duration, time.Time) {},
		})
		h.Notifier = notify.New(d, count/2+1, clock.System{}, slog.New(slog.DiscardHandler), notify.Hooks{
			Timeout:  func() time.Duration { h.probe(); return timeout },
			Unused:   func(string, bool) (wire.KeySet, bool) { h.probe(); return keys, !h.used },
			Reserved: func(_ string, _ bool, node int) bool { h.probe(); h.reserved = append(h.reserved, node); return false },
			Occupied: func(context.Context, int, wire.KeySet) bool {
				h.probe()
				h.occupied = append(h.occupied, time.Now())
				return h.taken
			},
		})
		test(t, h)
		h.Close()
		d.Drain(nil)
		d.Retire()
		d.Join()
	})
}

// probe would hang if a mutex of the Notifier were held.
func (h *harness) probe() { h.Freed("probe") }

// enter opens an entry, with subscriptions, and makes an attempt that is queued. The entry is for a
// lock if no slots are given.
func (h *harness) enter(t *testing.T, slots ...wire.KeySet) *notify.Entry {
	t.Helper()
	if len(slots) == 0 {
		slots = append(slots, keys)
	}
	e := h.Enter(false, time.Time{}, slots...)
	if !h.Subscribe(t.Context(), timeout) || !e.Ready() {
		t.Fatal("not subscribed")
	}
	synctest.Wait() // the other nodes too
	h.attempt(e)
	return e
}

// attempt makes an attempt, which is refused and queued.
func (h *harness) attempt(e *notify.Entry) *wire.Request {
	r := &wire.Request{Verb: wire.Acquire, Lock: keys.Lock}
	e.Stamp(r, clock.Present(clock.System{}))
	return r
}

// pass makes these nodes report that the lock is reserved for this process.
func (h *harness) pass(nodes ...int) {
	for _, i := range nodes {
		h.nodes[i].heard(wire.Notice{Lock: keys.Lock})
	}
}

// left returns how many nodes were asked to forget this process.
func (h *harness) left() (count int) {
	synctest.Wait()
	for _, n := range h.nodes {
		n.mu.Lock()
		count += len(n.left)
		n.mu.Unlock()
	}
	return count
}

// subscriptions returns how many subscriptions there are.
func (h *harness) subscriptions() (count int) {
	synctest.Wait()
	for _, n := range h.nodes {
		n.mu.Lock()
		count += n.subscriptions
		n.mu.Unlock()
	}
	return count
}

// wait returns how long the entry waited.
func wait(t *testing.T, e *notify.Entry, fallback time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	if !e.Wait(t.Context(), fallback) {
		t.Error("the wait was cut short")
	}
	return time.Since(began)
}

func TestAMajorityOfNoticesWakesAtOnce(t *testing.T) {
	t.Parallel()
	play(t, 5, nil, func(t *testing.T, h *harness) {
		e := h.enter(t)
		h.pass(0, 1, 4)
		if took := wait(t, e, long); took != 0 {
			t.Errorf("it took %v", took)
		}
		e.Leave(false)
	})
}

// All these nodes have a slot for the waiter, although releases have reached them in different
// orders. To wait longer would not make them agree.
func TestAMajorityOfNoticesOfDifferentSlotsWakesAtOnce(t *testing.T) {
	t.Parallel()
	play(t, 5, nil, func(t *testing.T, h *harness) {
		slots, err := wire.SlotKeys("", "a", 2)
		if err != nil {
			t.Fatal(err)
		}
		e := h.enter(t, slots...)
		for range 3 { // nor does it count as a miss
			h.attempt(e)
			for i, slot := range []int{0, 1, 0} {
				h.nodes[i].heard(wire.Notice{Lock: slots[slot].Lock})
			}
			if took := wait(t, e, long); took != 0 {
				t.Errorf("it took %v", took)
			}
			if slot, told := e.Told(); slot != 0 || !told {
				t.Errorf("slot %d, %t; most nodes have reserved slot 0", slot, told)
			}
		}
		h.attempt(e)
		h.nodes[0].heard(wire.Notice{Lock: slots[0].Lock})
		if took := wait(t, e, long); took != grace {
			t.Errorf("after a majority it took %v", took)
		}
		e.Leave(false)
	})
}

func TestFewerNoticesWakeAfterTheGrace(t *testing.T) {
	t.Parallel()
	play(t, 5, nil, func(t *testing.T, h *harness) {
		e := h.enter(t)
		h.pass(0, 1, 2)
		h.attempt(e)    // since when nothing has failed
		h.pass(2, 2, 2) // one node counts once
		time.Sleep(time.Millisecond)
		h.pass(3) // which does not lengthen the grace
		if took := wait(t, e, long); took != grace-time.Millisecond {
			t.Errorf("it took %v", took)
		}
		e.Leave(false)
	})
}

// Otherwise two processes that were notified by half of the nodes each would take the halves from
// one another forever.
func TestTheGraceGrowsAtRandomWithEachAttemptThatNoMajorityHadNotified(t *testing.T) {
	t.Parallel()
	play(t, 4, nil, func(t *testing.T, h *harness) {
		e := h.enter(t)
		var took []time.Duration
		for range 12 {
			h.attempt(e)
			h.pass(0, 1)
			took = append(took, wait(t, e, long))
		}
		if slices.Min(took) < grace || slices.Max(took) < 3*grace || slices.Max(took) >= 33*grace {
			t.Errorf("the waits were %v", took)
		}
		if slices.Sort(took); len(slices.Compact(took)) < 6 {
			t.Errorf("they are hardly random: %v", took)
		}
		h.attempt(e)
		h.pass(0, 1, 2)
		wait(t, e, long)
		h.attempt(e)
		h.pass(0)
		if again := wait(t, e, long); again != grace {
			t.Errorf("after a majority it took %v", again)
		}
		e.Leave(false)
	})
}

func TestNoticesFromBeforeAnAttemptDoNotCountForTheNext(t *testing.T) {
	t.Parallel()
	play(t, 3, nil, func(t *testing.T, h *harness) {
		e := h.enter(t)
		h.pass(0, 1)
		h.attempt(e)
		if took := wait(t, e, time.Second); took != time.Second {
			t.Errorf("notices of both nodes woke it after %v", took)
		}
		h.attempt(e)
		h.pass(0)
		h.attempt(e)
		h.pass(1)
		if took := wait(t, e, long); took < grace {
			t.Errorf("one notice each of two attempts woke it after %v", took)
		}
		e.Leave(false)
	})
}

func TestTheNextInLineLooksWhetherTheOneBeforeItIsDead(t *testing.T) {
	t.Parallel()
	for _, taken := range []bool{false, true} {
		play(t, 3, nil, func(t *testing.T, h *harness) {
			h.taken = taken
			e := h.enter(t)
			began := time.Now()
			h.nodes[1].heard(wire.Notice{Lock: keys.Lock, Next: 10 * time.Millisecond})
			took, want := wait(t, e, time.Second), 10*time.Millisecond+grace
			if len(h.occupied) != 1 || h.occupied[0].Sub(began) != want {
				t.Errorf("taken=%v: it looked at %v", taken, h.occupied)
			}
			if taken {
				want = time.Second
			}
			if took != want {
				t.Errorf("taken=%v: it tried after %v", taken, took)
			}
			e.Leave(false)
		})
	}
}

func TestAWaiterTriesWithoutNotices(t *testing.T) {
	t.Parallel()
	play(t, 3, nil, func(t *testing.T, h *harness) {
		e := h.enter(t)
		if took := wait(t, e, 4*time.Second); took != 4*time.Second {
			t.Errorf("it took %v", took)
		}
		h.Freed("another")
		h.Freed(keys.Lock) // by this process
		if took := wait(t, e, 4*time.Second); took != 0 {
			t.Errorf("it took %v though the lock was freed", took)
		}
		e.Leave(false)
	})
}

func TestAWaitEndsWithItsContextAndWithTheNotifier(t *testing.T) {
	t.Parallel()
	play(t, 3, nil, func(t *testing.T, h *harness) {
		e := h.enter(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if e.Wait(ctx, long) || time.Since(began) != time.Second {
			t.Errorf("it went on, or ended after %v", time.Since(began))
		}
		e.Leave(false)
	})
	synctest.Test(t, func(t *testing.T) {
		d := dispatch.New([]wire.Node{memnode.New("1")}, dispatch.Hooks{})
		n := notify.New(d, 1, clock.System{}, slog.New(slog.DiscardHandler), notify.Hooks{
			Timeout: func() time.Duration { return timeout },
		})
		e := n.Enter(false, time.Time{}, keys)
		time.AfterFunc(time.Second, n.Close)
		began := time.Now()
		if e.Wait(t.Context(), long) || time.Since(began) != time.Second {
			t.Errorf("it went on, or ended after %v", time.Since(began))
		}
		if n.Subscribe(t.Context(), long) || n.Subscribed() {
			t.Error("it subscribed though it was closed")
		}
	})
}

func TestAnAttemptIsStampedWithWhenTheWaitBegan(t *testing.T) {
	t.Parallel()
	play(t, 3, nil, func(t *testing.T, h *harness) {
		began := time.Now()
		e := h.enter(t)
		time.Sleep(time.Second)
		r := h.attempt(e)
		if r.Queue != keys.Queue || r.Inbox != h.Channel(false) || r.Ticket != uint64(began.UnixMicro()) || r.Age != time.Second {
			t.Errorf("the request is %+v", r)
		}
		e.Leave(false)
	})
}

func TestAnEntryThatLeavesLeavesItsOwnPlaceOnly(t *testing.T) {
	t.Parallel()
	play(t, 3, nil, func(t *testing.T, h *harness) {
		e := h.enter(t)
		first := h.attempt(e).Ticket
		e.Leave(true)
		time.Sleep(time.Microsecond)
		next := h.Enter(false, time.Time{}, keys)
		if !next.Ready() {
			t.Error("it may not queue")
		}
		if second := h.attempt(next).Ticket; second == first {
			t.Error("its place cannot be told from the one before")
		}
		if h.left() != 3 || h.nodes[0].left[0] != first || h.nodes[2].left[0] != first {
			t.Errorf("%d nodes were told to forget %v, not %d", h.left(), h.nodes[0].left, first)
		}
		next.Leave(false)                             // its attempt had the lock
		h.Enter(false, time.Time{}, keys).Leave(true) // it never queued
		if h.left() != 3 {
			t.Error("the nodes were told of an entry that they had dropped, or cannot know")
		}
	})
}

// The ticket is the time by the clocks of a majority of the nodes, or otherwise by the process's
// own clock.
func TestTicketsGoByTheMedianOfTheNodesClocks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ahead []time.Duration // of the nodes' clocks; a year: it does not tell
		want  time.Duration
	}{
		{[]time.Duration{time.Hour, -time.Hour, time.Second}, time.Second},
		{[]time.Duration{year, time.Minute, time.Hour}, time.Hour},
		{[]time.Duration{year, year, time.Hour}, 0},
	} {
		i := 0
		set := func(n *node) { n.ahead = c.ahead[i]; i++ }
		play(t, 3, set, func(t *testing.T, h *harness) {
			e := h.Enter(false, time.Time{}, keys)
			if got := time.Until(time.UnixMicro(int64(h.attempt(e).Ticket))); got != c.want { //nolint:gosec // far below
				t.Errorf("%v: it is %v off, not %v", c.ahead, got, c.want)
			}
			e.Leave(false)
		})
	}
}

// A distant process says so in its inbox, and waits for the notices of all nodes, which come from
// different distances.
func TestDistanceSetsTheReservationAndTheGrace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		far    time.Duration
		suffix string
		grace  time.Duration
	}{
		{time.Millisecond, "", grace},
		{1200 * time.Microsecond, ".6", grace}, // no release reserves the lock for less than 5 ms
		// an answer may take five round trips until they are measured
		{12 * time.Millisecond, ".60", 20 * time.Millisecond},
		{time.Second, fmt.Sprintf(".%d", timeout.Milliseconds()), 5 * time.Second / 3},
	} {
		play(t, 3, func(n *node) { n.far = c.far }, func(t *testing.T, h *harness) {
			e := h.enter(t)
			if ch := h.Channel(false); !strings.HasSuffix(ch[len("redlock:inbox:"):], c.suffix) || c.suffix == "" && strings.Contains(ch, ".") || ch != h.nodes[2].channel {
				t.Errorf("%v: the channel is %s, on a node %s", c.far, ch, h.nodes[2].channel)
			}
			h.pass(0, 1)
			h.attempt(e)
			h.pass(2)
			if took := wait(t, e, long); took != c.grace {
				t.Errorf("%v: it waited for %v", c.far, took)
			}
			e.Leave(false)
		})
	}
}

func TestAReservationThatNobodyWantsIsPassedOn(t *testing.T) {
	t.Parallel()
	play(t, 3, nil, func(t *testing.T, h *harness) {
		h.enter(t).Leave(false)
		h.nodes[1].heard(wire.Notice{Lock: keys.Lock, Next: time.Second}) // that is no reservation
		h.used = true                                                     // by a holder
		h.pass(1)
		if h.left() != 0 || !slices.Equal(h.reserved, []int{1}) {
			t.Errorf("it was passed on though it is none, or somebody here may want it, who was told %v", h.reserved)
		}
		h.used = false
		h.pass(1)
		synctest.Wait()
		if h.left() != 1 || len(h.nodes[1].left) != 1 {
			t.Errorf("%d nodes were told", h.left())
		}
	})
}

func TestSubscriptionsEndAfterIdleTimeAndAreMadeAnew(t *testing.T) {
	t.Parallel()
	play(t, 3, nil, func(t *testing.T, h *harness) {
		h.enter(t).Leave(false)
		time.Sleep(4 * time.Second)
		e := h.enter(t) // which keeps them
		time.Sleep(10 * time.Second)
		if n := h.subscriptions(); n != 3 || !h.Subscribed() {
			t.Errorf("%d subscriptions are left while one waits", n)
		}
		e.Leave(false)
		time.Sleep(4 * time.Second)
		if n := h.subscriptions(); n != 3 {
			t.Errorf("%d subscriptions are left after 4s", n)
		}
		time.Sleep(2 * time.Second)
		if n := h.subscriptions(); n != 0 || h.Subscribed() {
			t.Errorf("%d subscriptions are left after 6s", n)
		}
		e = h.enter(t)
		if n := h.subscriptions(); n != 3 || !h.Subscribed() {
			t.Errorf("%d subscriptions were made anew", n)
		}
		h.pass(0, 1)
		if took := wait(t, e, long); took != 0 {
			t.Errorf("their notices woke nobody for %v", took)
		}
		e.Leave(false)
	})
}

// If a node confirms a subscription that has ended already, that says nothing about the present
// ones.
func TestAnEarlierSubscriptionConfirmsNothing(t *testing.T) {
	t.Parallel()
	play(t, 3, nil, func(t *testing.T, h *harness) {
		h.enter(t).Leave(false)
		var late []func()
		for _, n := range h.nodes {
			late = append(late, n.ready)
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
		for _, n := range h.nodes {
			n.refuses = true
		}
		e := h.Enter(false, time.Time{}, keys)
		time.AfterFunc(timeout/2, func() {
			for _, ready := range late {
				ready()
			}
		})
		if h.Subscribe(t.Context(), timeout) || e.Ready() {
			t.Error("it may queue though no node can notify it")
		}
		e.Leave(false)
	})
}

func TestAMajorityOfSubscriptionsIsWaitedForOnceOnly(t *testing.T) {
	t.Parallel()
	down := func(n *node) { n.refuses = n.Addr() != "3" }
	play(t, 3, down, func(t *testing.T, h *harness) {
		e := h.Enter(false, time.Time{}, keys)
		for _, want := range []time.Duration{timeout, 0} {
			began := time.Now()
			if h.Subscribe(t.Context(), timeout) || e.Ready() || time.Since(began) != want {
				t.Errorf("one of three nodes was enough, or it took %v", time.Since(began))
			}
		}
		h.nodes[1].mu.Lock()
		h.nodes[1].refuses = false
		h.nodes[1].mu.Unlock()
		time.Sleep(6 * time.Second)
		if !h.Subscribe(t.Context(), timeout) || !e.Ready() {
			t.Error("two of three nodes were not enough")
		}
		e.Leave(false)
	})
}

func TestASubscriptionThatFailsIsTriedAgainWithPausesThatGrow(t *testing.T) {
	t.Parallel()
	play(t, 1, func(n *node) { n.refuses = true }, func(t *testing.T, h *harness) {
		e := h.Enter(false, time.Time{}, keys)
		h.Subscribe(t.Context(), timeout)
		time.Sleep(time.Minute)
		synctest.Wait()
		times := h.nodes[0].times
		for i := range len(times) - 1 {
			want := min(50*time.Millisecond<<i, 5*time.Second)
			if pause := times[i+1].Sub(times[i]); pause != want {
				t.Errorf("pause %d is %v, not %v", i, pause, want)
			}
		}
		if len(times) < 15 {
			t.Errorf("it was tried %d times in a minute", len(times))
		}
		e.Leave(false)
	})
}

func TestAReservationLastsForAPartOfTheNodeTimeout(t *testing.T) {
	t.Parallel()
	for timeout, want := range map[time.Duration]time.Duration{
		time.Millisecond: 5 * time.Millisecond, 167 * time.Millisecond: 10 * time.Millisecond,
	} {
		if got := notify.Reservation(timeout); got != want {
			t.Errorf("%v: %v, not %v", timeout, got, want)
		}
	}
}

// A process has two places for a lock: one for readers, one for all others. A notice goes to the
// place whose inbox was told.
func TestANoticeGoesToThePlaceWhoseInboxWasTold(t *testing.T) {
	t.Parallel()
	play(t, 1, nil, func(t *testing.T, h *harness) {
		alone := h.enter(t)
		shared := h.Enter(true, time.Time{}, keys)
		var r wire.Request
		shared.Stamp(&r, clock.Present(clock.System{}))
		if r.Inbox != wire.ReadersInbox(h.Channel(false)) || r.Inbox != h.Channel(true) {
			t.Errorf("readers wait with the inbox %q", r.Inbox)
		}
		h.nodes[0].heard(wire.Notice{Lock: keys.Lock, Reader: true})
		if took := wait(t, alone, time.Second); took != time.Second {
			t.Errorf("the reader's notice woke the other after %v", took)
		}
		if took := wait(t, shared, time.Second); took != 0 {
			t.Errorf("it woke the reader after %v", took)
		}
		shared.Stamp(&r, clock.Present(clock.System{}))
		h.nodes[0].heard(wire.Notice{Lock: keys.Lock})
		if took := wait(t, shared, time.Second); took != time.Second {
			t.Errorf("the other's notice woke the reader after %v", took)
		}
		if took := wait(t, alone, time.Second); took != 0 {
			t.Errorf("it woke the other after %v", took)
		}
		alone.Leave(false)
		shared.Leave(false)
	})
}

// All nodes may tell a waiter that readers have the lock. It asks once, after the readers that were
// told before it.
func TestAWaiterThatIsToldThatReadersHaveTheLockAsksOnce(t *testing.T) {
	t.Parallel()
	play(t, 5, nil, func(t *testing.T, h *harness) {
		e := h.enter(t)
		h.nodes[0].heard(wire.Notice{Lock: keys.Lock, Shared: true})
		time.Sleep(2 * time.Millisecond)
		for _, n := range h.nodes {
			n.heard(wire.Notice{Lock: keys.Lock, Shared: true})
			n.heard(wire.Notice{Lock: keys.Lock, Next: time.Minute})
		}
		if took := wait(t, e, long); took != grace-2*time.Millisecond || len(h.occupied) > 0 {
			t.Errorf("it asked after %v, and looked %d times", took, len(h.occupied))
		}
		h.attempt(e)
		if took := wait(t, e, time.Second); took != time.Second {
			t.Errorf("it asked again after %v", took)
		}
		h.nodes[0].heard(wire.Notice{Lock: keys.Lock, Shared: true})
		if took := wait(t, e, long); took != grace {
			t.Errorf("it asked the next time after %v", took)
		}
		e.Leave(false)
	})
}

// Nobody waits any more behind an inbox that is told that readers have the lock: the node must not
// keep its place. A process that uses the lock otherwise neither leaves nor asks.
func TestAPlaceThatIsNotWantedAnyMoreIsLeftWhenReadersHaveTheLock(t *testing.T) {
	t.Parallel()
	play(t, 1, nil, func(t *testing.T, h *harness) {
		h.enter(t).Leave(false)
		h.nodes[0].heard(wire.Notice{Lock: keys.Lock, Shared: true})
		if n := h.left(); n != 1 {
			t.Errorf("%d requests to leave, not one", n)
		}
		h.used = true
		h.nodes[0].heard(wire.Notice{Lock: keys.Lock, Shared: true})
		if n := h.left(); n != 1 || len(h.reserved) > 0 {
			t.Errorf("%d requests to leave, reserved on %v", n, h.reserved)
		}
	})
}

// A reader that is second in the queue asks without a look: that the lock is taken says nothing.
func TestAReaderAsksWithoutALookFirst(t *testing.T) {
	t.Parallel()
	play(t, 1, nil, func(t *testing.T, h *harness) {
		h.enter(t).Leave(false)
		e := h.Enter(true, time.Time{}, keys)
		h.taken = true
		h.nodes[0].heard(wire.Notice{Lock: keys.Lock, Reader: true, Next: time.Second})
		if took := wait(t, e, long); took != time.Second+grace || len(h.occupied) > 0 {
			t.Errorf("it asked after %v, and looked %d times", took, len(h.occupied))
		}
		e.Leave(false)
	})
}
