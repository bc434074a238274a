package redlock_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/clustertest"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// pollers returns a Locker to which the nodes can send no notices.
func pollers(t *testing.T, c *clustertest.Cluster) *redlock.Locker {
	t.Helper()
	var nodes []pool.Node
	for _, m := range c.Masters {
		nodes = append(nodes, wire.Seal(unheard{m, wire.ErrNoListen}))
	}
	return over(t, nodes)
}

// keepReading lets readers overlap until ctx ends, each of which has the lock for so long. It
// returns when they have ended.
func keepReading(ctx context.Context, t *testing.T, c *clustertest.Cluster, hold time.Duration) (ended func()) {
	t.Helper()
	const readers = 12
	var all sync.WaitGroup
	lockers := c.Lockers(t, 4)
	for i := range readers {
		all.Go(func() {
			time.Sleep(time.Duration(i) * hold / readers)
			for ctx.Err() == nil {
				le, err := lockers[i%len(lockers)].Mutex("a").Shared().Lock(ctx)
				if err != nil {
					return
				}
				time.Sleep(hold)
				mustUnlock(t, le)
			}
		})
	}
	return all.Wait
}

// Writers that wait for a moment each, without a pause between them, keep a reader out for no
// longer than those that came before it, be they many processes or many goroutines of one.
func TestWritersThatGiveUpInTurnDoNotKeepAReaderOut(t *testing.T) {
	t.Parallel()
	const wait = 100 * time.Millisecond
	for _, one := range []struct {
		writers, goroutines int
		poll                bool          // the writers do
		skew                time.Duration // between the clocks of two nodes
		most                time.Duration
	}{
		{writers: 1, goroutines: 6, most: 2 * wait},
		{writers: 3, goroutines: 6, most: 2 * wait},
		{writers: 1, goroutines: 6, skew: 2 * time.Second, most: 2 * wait},
		{writers: 3, goroutines: 6, skew: 2 * time.Second, most: 2 * wait},
		// each keeps readers out for a second
		{writers: 6, goroutines: 1, poll: true, most: 12 * wait},
	} {
		t.Run(fmt.Sprintf("%+v", one), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, c *clustertest.Cluster) {
				for i, m := range c.Masters {
					m.SetClock(time.Duration(i-2)*one.skew, 1)
				}
				first := share(t, c.Locker(t), "a", redlock.WithRenewal(redlock.Forever))
				ctx, stop := context.WithCancel(t.Context())
				var writers sync.WaitGroup
				for range one.writers {
					l := c.Locker(t)
					if one.poll {
						l = pollers(t, c)
					}
					for i := range one.goroutines {
						writers.Go(func() {
							time.Sleep(time.Duration(i) * wait / 6)
							for ctx.Err() == nil {
								if _, err := l.Lock(ctx, "a", redlock.WithWait(wait)); err == nil {
									t.Error("a writer has the lock beside a reader")
								}
							}
						})
					}
				}
				time.Sleep(5 * wait)
				for i := range 20 {
					l, most := c.Locker(t), one.most
					if i%4 == 0 {
						l, most = pollers(t, c), 12*wait
					}
					le, err := l.Mutex("a", redlock.WithWait(most)).Shared().Lock(t.Context())
					if err != nil {
						t.Errorf("a reader is kept out for %v: %v", most, err)
						break
					}
					mustUnlock(t, le)
				}
				stop()
				writers.Wait()
				mustUnlock(t, first)
			})
		})
	}
}

// Where each goroutine of a process waits for longer than the readers have the lock, the writers
// get it, even if the wait of the first of them was in vain: the next one has waited for as long as
// itself, not since the other gave up.
func TestAWriterThatComesAfterOneThatGaveUpHasWaitedSinceItCame(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		const wait, hold = 3 * time.Second, time.Second
		ctx, stop := context.WithCancel(t.Context())
		first := share(t, c.Locker(t), "a", redlock.WithRenewal(redlock.Forever))
		readers := keepReading(ctx, t, c, hold)
		time.Sleep(hold)
		l := c.Locker(t)
		var won atomic.Int64
		var writers sync.WaitGroup
		for i := range 6 {
			writers.Go(func() {
				time.Sleep(time.Duration(i) * wait / 6)
				for ctx.Err() == nil {
					if le, err := l.Lock(ctx, "a", redlock.WithWait(wait)); err == nil {
						won.Add(1)
						mustUnlock(t, le)
						time.Sleep(hold / 10)
					}
				}
			})
		}
		time.Sleep(4 * wait)
		mustUnlock(t, first)
		time.Sleep(time.Minute)
		if n := won.Load(); n < 60 {
			t.Errorf("the writers had the lock %d times in a minute", n)
		}
		stop()
		writers.Wait()
		readers()
	})
}

// The readers of a process have a place each: those that came before a writer join together.
func TestReadersOfOneProcessKeepTheirPlaces(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		const wait = 5 * time.Second
		first := share(t, c.Locker(t), "a", redlock.WithRenewal(redlock.Forever))
		ctx, stop := context.WithCancel(t.Context())
		var writers sync.WaitGroup
		for i, l := range c.Lockers(t, 6) {
			writers.Go(func() {
				time.Sleep(time.Duration(i) * wait / 6)
				for ctx.Err() == nil {
					_, _ = l.Lock(ctx, "a", redlock.WithWait(wait))
				}
			})
		}
		time.Sleep(3 * wait)
		l, began := c.Locker(t), time.Now()
		var readers []waiter
		for range 8 {
			readers = append(readers, shareInBackground(t, l, "a"))
		}
		for _, r := range readers {
			le := r.lease(t)
			if took := time.Since(began); took > wait+wait/4 {
				t.Errorf("a reader has waited for %v", took)
			}
			defer mustUnlock(t, le)
		}
		stop()
		writers.Wait()
		mustUnlock(t, first)
	})
}

// Clocks of nodes that differ, and a writer's machine that stood still, change nothing: nodes put
// their own time in the place of such a writer's ticket.
func TestNoReaderPassesAWriterThatWaitsWhateverTheClocks(t *testing.T) {
	t.Parallel()
	for _, one := range []struct{ skew, still time.Duration }{{2 * time.Second, 0}, {0, 3 * time.Second}} {
		bubble(t, func(t *testing.T, c *clustertest.Cluster) {
			c.Jitter(2 * time.Millisecond)
			set := func(more time.Duration) {
				for i, m := range c.Masters {
					m.SetClock(time.Duration(i-2)*one.skew+more, 1)
				}
			}
			set(0)
			first := share(t, c.Locker(t), "a", redlock.WithRenewal(redlock.Forever))
			w := lockInBackground(t.Context(), c.Locker(t), "a")
			time.Sleep(time.Second)
			set(one.still) // nodes go on while it stands still
			time.Sleep(time.Second)
			l, passed := c.Locker(t), 0
			for range 600 {
				if le, err := l.Mutex("a").Shared().TryLock(t.Context()); err == nil {
					passed++
					mustUnlock(t, le)
				}
				time.Sleep(100 * time.Millisecond)
			}
			if passed > 0 {
				t.Errorf("%+v: %d readers passed the writer", one, passed)
			}
			mustUnlock(t, first)
			mustUnlock(t, w.lease(t))
		})
	}
}

// A lease that was taken without waiting leaves another goroutine's place as it is when it ends.
func TestTheEndOfATryLockLeavesTheOthersPlaceAlone(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		for range 10 {
			l := c.Locker(t)
			mustLock(t, c.Locker(t), "a", redlock.WithTTL(time.Minute))
			w := lockInBackground(t.Context(), l, "a")
			time.Sleep(100 * time.Millisecond)
			c.Delete("a") // as somebody does who takes its owner for dead
			le := mustTryLock(t, l, "a", redlock.WithTTL(9*time.Second))
			time.Sleep(100 * time.Millisecond)
			c.Delete("a")
			reader := share(t, c.Locker(t), "a", redlock.WithRenewal(redlock.Forever))
			time.Sleep(9 * time.Second)
			if le.Err() == nil {
				t.Error("the lease has not ended")
			}
			mustUnlock(t, reader)
			freed := time.Now()
			next := w.lease(t)
			if took := time.Since(freed); took > 20*time.Millisecond {
				t.Errorf("the waiter has the lock %v after the reader", took)
			}
			mustUnlock(t, next)
		}
	})
}

// A writer that no notice can reach polls, and cannot be queued. It keeps readers out for a second
// by each look, and the last reader leaves the lock to it.
func TestAWriterThatPollsIsNotKeptOutByReaders(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		ctx, stop := context.WithCancel(t.Context())
		readers := keepReading(ctx, t, c, 200*time.Millisecond)
		time.Sleep(time.Second)
		for range 5 {
			le, err := pollers(t, c).Lock(t.Context(), "a", redlock.WithWait(5*time.Second))
			if err != nil {
				t.Error(err)
				break
			}
			mustUnlock(t, le)
			time.Sleep(time.Second)
		}
		stop()
		readers()
	})
}

// Where no subscription can be made, a call that waits for less than the node timeout polls too: it
// does not spend its time on waiting for what an earlier call has waited for in vain.
func TestBriefWaitsPollWhereSubscriptionsCannotBeHad(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		held := mustLock(t, c.Locker(t), "a", redlock.WithRenewal(redlock.Forever))
		l := pollers(t, c)
		const wait, calls = 60 * time.Millisecond, 20
		for range calls {
			if _, err := l.Lock(t.Context(), "a", redlock.WithWait(wait)); err == nil {
				t.Error("it has the lock")
			}
		}
		if attempts := c.Sent(pool.Acquire) / 5; attempts < 3*calls {
			t.Errorf("%d calls made %d attempts", calls, attempts)
		}
		mustUnlock(t, held)
	})
}

// A lock that is left to a writer that polls, which has gone, is there for the next waiter within
// half a second.
func TestALockThatIsLeftToAPollerThatHasGoneIsFreeSoon(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		reader := share(t, c.Locker(t), "a", redlock.WithRenewal(redlock.Forever))
		if _, err := pollers(t, c).Lock(t.Context(), "a", redlock.WithWait(300*time.Millisecond)); err == nil {
			t.Error("a writer has the lock beside a reader")
		}
		w := lockInBackground(t.Context(), c.Locker(t), "a")
		time.Sleep(100 * time.Millisecond)
		mustUnlock(t, reader)
		left := time.Now()
		le := w.lease(t)
		if took := time.Since(left); took < 100*time.Millisecond || took > 550*time.Millisecond {
			t.Errorf("the next waiter has the lock after %v", took)
		}
		mustUnlock(t, le)
	})
}
