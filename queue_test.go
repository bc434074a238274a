package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/clustertest"
	"github.com/go-redlock/redlock/internal/memnode"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// Of all goroutines that wait for one name, only one contends on the servers. A hand-over inside
// the process costs no round trip.
func TestHandOverInsideAProcessCostsNoRoundTrip(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		l := c.Locker(t)
		first := mustLock(t, l, "a")
		next := lockInBackground(t.Context(), l, "a")
		synctest.Wait()
		last := lockInBackground(t.Context(), l, "a")
		before := c.Sent()
		second := handOver(t, first, next)
		if n := c.Sent(wire.Acquire); n != 5 {
			t.Errorf("%d acquires for two leases", n)
		}
		if n := c.Sent() - before; n != 5 { // a block of tokens for the whole turn
			t.Errorf("the first hand-over took %d requests", n)
		}
		before = c.Sent()
		third := handOver(t, second, last)
		if n := c.Sent() - before; n != 0 {
			t.Errorf("the second hand-over took %d requests", n)
		}
		if !errors.Is(first.Err(), redlock.ErrReleased) || third.Err() != nil {
			t.Errorf("first %v, third %v", first.Err(), third.Err())
		}
		mustUnlock(t, third)
		c.WantNoLocks(t)
	})
}

// The lease whose lock was handed on is released: its Extend and Unlock change nothing.
func TestFormerLeaseTouchesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t)
		former := mustLock(t, l, "a", redlock.WithRenewal(redlock.Forever))
		next := handOver(t, former, lockInBackground(t.Context(), l, "a"))
		before := c.Sent()
		for range 3 {
			if err := former.Unlock(t.Context()); !errors.Is(err, redlock.ErrReleased) {
				t.Errorf("Unlock: %v", err)
			}
			if err := former.Extend(t.Context()); !errors.Is(err, redlock.ErrReleased) {
				t.Errorf("Extend: %v", err)
			}
		}
		time.Sleep(8 * time.Second) // and its renewal does not go on
		if n := c.Sent() - before; n != 0 {
			t.Errorf("the former lease sent %d requests", n)
		}
		if former.Context().Err() == nil || former.Until().After(time.Now()) || former.Fence() >= next.Fence() {
			t.Errorf("former %v, next %v", former, next)
		}
		if next.Err() != nil {
			t.Errorf("the next lease: %v", next.Err())
		}
		mustUnlock(t, next)
	})
}

// takeTurns takes the lock again and again, each time for that long, until the context ends.
func takeTurns(ctx context.Context, t *testing.T, l *redlock.Locker, hold time.Duration, turn func(*redlock.Lease)) {
	t.Helper()
	for {
		le, err := l.Lock(ctx, "a")
		if err != nil {
			return
		}
		turn(le)
		time.Sleep(hold)
		mustUnlock(t, le)
	}
}

// Goroutines of a process get the lock in the order in which they came, and get equally many turns.
func TestWaitersInAProcessHaveEqualTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		l := c.Locker(t)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		turns := make([]int, 16)
		var all sync.WaitGroup
		var last token
		for i := range turns {
			all.Go(func() {
				takeTurns(ctx, t, l, 500*time.Microsecond, func(le *redlock.Lease) {
					last.follow(t, le)
					turns[i]++
				})
			})
		}
		all.Wait()
		least, most, sum := slices.Min(turns), slices.Max(turns), 0
		for _, n := range turns {
			sum += n
		}
		if most-least > 1+most/10 {
			t.Errorf("turns: %v", turns)
		}
		if handOvers := sum - c.Sent(wire.Acquire)/5; handOvers < sum*3/4 {
			t.Errorf("%d of %d turns were handed over", handOvers, sum)
		}
	})
}

// The turn of a process is bounded, so another process gets the lock.
func TestTurnOfAProcessIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(200 * time.Microsecond)
		busy, other := c.Locker(t), c.Locker(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { takeTurns(ctx, t, busy, time.Millisecond, func(*redlock.Lease) {}) })
		}
		var worst time.Duration
		for range 50 {
			time.Sleep(7 * time.Millisecond)
			var le *redlock.Lease
			worst = max(worst, took(func() { le = mustLock(t, other, "a") }))
			mustUnlock(t, le)
		}
		if worst > 100*time.Millisecond {
			t.Errorf("the other process waited for %v", worst)
		}
		cancel()
		all.Wait()
	})
}

func TestLocksUnderDifferentTermsAreNotHandedOver(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]redlock.MutexOption{
		"TTL":       {redlock.WithTTL(5 * time.Second)},
		"holder":    {redlock.WithHolder("other")},
		"retention": {redlock.WithFenceRetention(2 * time.Hour)},
		"min hold":  {redlock.WithMinHold(time.Second)},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(3)
			l := c.Locker(t)
			next := handOver(t, mustLock(t, l, "a"), lockInBackground(t.Context(), l, "a", opts...))
			if n := c.Sent(wire.Acquire); n != 6 {
				t.Errorf("%s: %d acquires for two leases on three nodes", name, n)
			}
			if name == "TTL" && c.Masters[0].TTL("a") > 5*time.Second {
				t.Errorf("the key lives for %v", c.Masters[0].TTL("a"))
			}
			mustUnlock(t, next)
		})
	}
}

// The lease of a goroutine to which the lock was handed ends at the deadline on the nodes, not a
// TTL after the hand-over.
func TestHandOverTakesOverTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t)
		first := mustLock(t, l, "a")
		until := first.Until()
		next := lockInBackground(t.Context(), l, "a")
		time.Sleep(5 * time.Millisecond)
		le := handOver(t, first, next)
		if !le.Until().Equal(until) {
			t.Errorf("the deadline moved by %v", le.Until().Sub(until))
		}
		c.Freeze(0, 1, 2)
		<-le.Done()
		if !time.Now().Equal(until) || !errors.Is(le.Err(), redlock.ErrLost) {
			t.Errorf("the lease ended at %v from the deadline: %v", time.Since(until), le.Err())
		}
		c.Thaw(0, 1, 2)
	})
}

// If the nodes tell the previous holder that the lock is gone, the lease of the next holder ends.
func TestLossThatTheOneBeforeIsToldEndsTheLeaseOfTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t, redlock.WithoutFencing())
		first := lockEverywhere(t, l, "a")
		next := lockInBackground(t.Context(), l, "a")
		synctest.Wait()
		c.Delete("a")
		c.Latency(4 * time.Millisecond)
		extended := make(chan error)
		go func() { extended <- first.Extend(t.Context()) }()
		synctest.Wait()
		le, asked := handOver(t, first, next), time.Now()
		if err := <-extended; !errors.Is(err, redlock.ErrReleased) {
			t.Errorf("Extend: %v", err)
		}
		<-le.Done()
		if !errors.Is(le.Err(), redlock.ErrLost) || time.Since(asked) > 4*time.Millisecond {
			t.Errorf("%v after %v", le.Err(), time.Since(asked))
		}
	})
}

// The same happens while the tokens for the next holder are being reserved, when neither has a
// lease.
func TestLossThatIsToldDuringAHandOverEndsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gone, reserved := make(chan struct{}), make(chan struct{})
		var acquired atomic.Int32
		var nodes []pool.Node
		for i := range 3 {
			n := memnode.New(fmt.Sprintf("node%d:6379", i))
			nodes = append(nodes, wire.Seal(scripted{n.Addr(), func(ctx context.Context, r *wire.Request) wire.Reply {
				switch r.Verb {
				case wire.Acquire:
					acquired.Add(1)
				case wire.Extend:
					<-gone
					return wire.Reply{Verdict: wire.Gone, Server: n.Addr() + "#1"}
				case wire.Repair:
					<-reserved
				default:
				}
				return ask(ctx, n, r)
			}}))
		}
		l := over(t, nodes)
		first, next := mustLock(t, l, "a"), lockInBackground(t.Context(), l, "a")
		time.Sleep(time.Millisecond)
		extended := make(chan error)
		go func() { extended <- first.Extend(t.Context()) }()
		synctest.Wait()
		mustUnlock(t, first)
		<-extended
		synctest.Wait()
		close(gone)
		synctest.Wait()
		close(reserved)
		r := <-next
		if r.err != nil {
			t.Fatal(r.err)
		}
		if acquired.Load() == 3 && r.lease.Err() == nil {
			t.Error("a majority has told that the lock is gone, and the next one's lease is valid")
		}
	})
}

// With less than half of the TTL left, and after a loss, the lock is taken on the nodes again.
func TestLockThatIsNearItsEndIsNotHandedOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t, redlock.WithTTL(15*time.Millisecond))
		le := mustLock(t, l, "a")
		next := lockInBackground(t.Context(), l, "a")
		time.Sleep(8 * time.Millisecond)
		le = handOver(t, le, next)
		if time.Until(le.Until()) < 12*time.Millisecond {
			t.Errorf("the next lease: %v", le)
		}
		mustUnlock(t, le)
	})
}

func TestLossWakesTheNextWaiter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t, redlock.WithTTL(time.Second))
		lost := mustLock(t, l, "a")
		r := <-lockInBackground(t.Context(), l, "a")
		if r.err != nil || lost.Err() == nil || r.at.Before(lost.Until()) {
			t.Errorf("%v, %v", r.err, lost.Err())
		}
		if d := r.at.Sub(lost.Until()); d > 500*time.Millisecond {
			t.Errorf("the next waiter has it %v after the loss", d)
		}
		mustUnlock(t, r.lease)
	})
}

// A waiter whose context ends leaves the queue, and those behind it are not affected.
func TestWaiterThatLeavesDisturbsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t)
		le := mustLock(t, l, "a", redlock.WithRenewal(redlock.Forever))
		var waiting []waiter
		var leave []context.CancelFunc
		for range 6 {
			ctx, cancel := context.WithCancel(t.Context())
			waiting, leave = append(waiting, lockInBackground(ctx, l, "a")), append(leave, cancel)
			synctest.Wait()
		}
		for _, i := range []int{0, 3, 5} { // the first, one in the middle, the last
			leave[i]()
			r := <-waiting[i]
			if !errors.Is(r.err, context.Canceled) || !errors.Is(r.err, redlock.ErrHeld) {
				t.Errorf("waiter %d: %v", i, r.err)
			}
		}
		mustUnlock(t, le)
		var last token
		for _, i := range []int{1, 2, 4} {
			next := waiting[i].lease(t)
			last.follow(t, next)
			mustUnlock(t, next)
		}
		for _, cancel := range leave {
			cancel()
		}
	})
}

// A waiter takes little memory beside its goroutine, and no requests.
func TestThousandWaitersTakeLittle(t *testing.T) { //nolint:paralleltest // it measures memory, or counts goroutines
	synctest.Test(t, func(t *testing.T) {
		const waiters = 1000
		c := clustertest.New(5)
		one, other := c.Locker(t), c.Locker(t)
		le := mustLock(t, other, "a", redlock.WithRenewal(redlock.Forever))
		ctx, cancel := context.WithCancel(t.Context())
		results := make(chan error, waiters)
		start := make(chan struct{})
		m := one.Mutex("a")
		for range waiters {
			go func() {
				<-start
				_, err := m.Lock(ctx)
				results <- err
			}()
		}
		synctest.Wait()
		before := heap()
		close(start)
		synctest.Wait()
		if each := (heap() - before) / waiters; each > 4<<10 && !raceDetector {
			t.Errorf("%d bytes a waiter", each)
		} else {
			t.Logf("%d bytes a waiter", each)
		}
		requests := c.Sent()
		time.Sleep(time.Minute)
		if n := c.Sent() - requests; n > 5*200 {
			t.Errorf("%d requests in a minute of waiting", n)
		}
		cancel()
		for range waiters {
			if err := <-results; !errors.Is(err, redlock.ErrHeld) || !errors.Is(err, context.Canceled) {
				t.Fatalf("a waiter: %v", err)
			}
		}
		synctest.Wait() // the nodes know that nobody waits
		mustUnlock(t, le)
		mustUnlock(t, mustTryLock(t, one, "a"))
	})
}

// A name that nobody locks any more is forgotten.
func TestNamesAreForgotten(t *testing.T) { //nolint:paralleltest // it measures memory, or counts goroutines
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(1)
		l := c.Locker(t, redlock.WithoutFencing())
		round := func(first int) {
			for i := range 3000 {
				name := fmt.Sprint("name", first+i)
				mustUnlock(t, handOver(t, mustLock(t, l, name), lockInBackground(t.Context(), l, name)))
			}
		}
		round(0)
		before := heap()
		round(3000)
		if each := (heap() - before) / 3000; each > 100 && !raceDetector {
			t.Errorf("%d bytes a name that was locked once", each)
		}
	})
}

// A node that granted a higher token late keeps others out, but has not accepted the lease's token:
// it may have granted another owner a token within a block for which it would vouch.
func TestBlockOfTokensCountsOnlyNodesThatAcceptedTheTokenBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		ahead := uint64(time.Now().UnixMicro()) + 1e12 //nolint:gosec // above zero
		for i, others := range []uint64{ahead, ahead, ahead + 500} {
			c.Masters[i].SetFence("a", fmt.Sprint(others))
		}
		c.Masters[2].Slow(wire.Acquire, time.Millisecond)
		l := c.Locker(t)
		le := mustLock(t, l, "a")
		next := lockInBackground(t.Context(), l, "a")
		time.Sleep(2 * time.Millisecond) // node 2 has granted by now
		c.Delete("a", 1)
		le = handOver(t, le, next)
		if le.Fence() <= ahead+500 {
			t.Errorf("%v: the other owner may have %d", le, ahead+500)
		}
		mustUnlock(t, le)
	})
}

// A waiter whose context ends while the lock is being handed to it blocks nobody: neither side
// waits for the other.
func TestHandOverAtTheEndOfTheWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		clock := &tickingClock{}
		l := c.Locker(t, redlock.WithClock(clock))
		for step := range 8 { // whichever reading of the clock happens during the hand-over
			le := lockEverywhere(t, l, "a")
			ctx, cancel := context.WithCancel(t.Context())
			next := lockInBackground(ctx, l, "a")
			synctest.Wait()
			gone := make(chan struct{})
			clock.at(step, func() {
				cancel()
				select { // the waiter's goroutine goes on, and comes back or stays
				case r := <-next:
					if r.err == nil {
						_ = r.lease.Unlock(t.Context())
					}
					close(gone)
				case <-time.After(time.Millisecond):
				}
			})
			mustUnlock(t, le)
			clock.at(-1, nil)
			cancel()
			select {
			case r := <-next:
				if r.err == nil {
					mustUnlock(t, r.lease)
				}
			case <-gone:
			}
			synctest.Wait()
		}
		c.WantNoLocks(t)
	})
}

// A tickingClock is the system's clock, and calls a function after a number of readings.
type tickingClock struct {
	wallClock
	ticks sync.Mutex
	left  int
	do    func()
}

// at sets f to be called at the reading after k others.
func (c *tickingClock) at(k int, f func()) {
	c.ticks.Lock()
	defer c.ticks.Unlock()
	c.left, c.do = k, f
}

func (c *tickingClock) Now() time.Time {
	c.ticks.Lock()
	var f func()
	if c.left--; c.left == -1 {
		f, c.do = c.do, nil
	}
	c.ticks.Unlock()
	if f != nil {
		f()
	}
	return c.wallClock.Now()
}

// A process with many goroutines has no more turns than one with a single one, and no process waits
// longer because others have many.
func TestProcessesTakeTurnsHoweverManyGoroutinesEachHas(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		const hold = 10 * time.Millisecond // so long that nothing is handed over within a process
		goroutines := []int{50, 50, 1, 1}
		turns := make([]atomic.Int64, len(goroutines))
		ctx, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for i, l := range c.Lockers(t, len(goroutines)) {
			for range goroutines[i] {
				all.Go(func() {
					for ctx.Err() == nil {
						le, err := l.Lock(ctx, "a")
						if err != nil {
							return
						}
						turns[i].Add(1)
						time.Sleep(hold)
						mustUnlock(t, le)
					}
				})
			}
		}
		time.Sleep(10 * time.Second)
		stop()
		all.Wait()
		var had []int64
		for i := range turns {
			had = append(had, turns[i].Load())
		}
		if slices.Min(had) < slices.Max(had)*9/10 {
			t.Errorf("turns of processes with %v goroutines: %v", goroutines, had)
		}
	})
}
