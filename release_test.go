package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/clustertest"
	"github.com/go-redlock/redlock/internal/wire"
)

// wantDrained checks that the Locker has nothing under way and gave nothing up.
func wantDrained(t *testing.T, l *redlock.Locker) {
	t.Helper()
	synctest.Wait()
	if s := l.Stats(); s.Pending != 0 || s.Dropped != 0 {
		t.Errorf("not drained: %+v", s)
	}
}

// wantClean waits until the Lockers are drained, checks that they gave nothing up, and that no lock
// is left.
func wantClean(t *testing.T, c *clustertest.Cluster, lockers ...*redlock.Locker) {
	t.Helper()
	for _, l := range lockers {
		wantDrained(t, l)
	}
	c.WantNoLocks(t)
}

// executed returns how many requests of that verb a master has carried out.
func executed(m *clustertest.Master, v wire.Verb) int {
	synctest.Wait()
	return m.Requests(v)
}

// With FailFast redsync always left the slow node's key behind after Unlock, and after a failed
// attempt.
func TestGrantsThatComeLateAreReleased(t *testing.T) {
	t.Parallel()
	for what, run := range map[string]func(*testing.T, *clustertest.Cluster, *redlock.Locker){
		"after Unlock": func(t *testing.T, _ *clustertest.Cluster, l *redlock.Locker) {
			t.Helper()
			le := mustLock(t, l, "a")
			synctest.Wait()
			mustUnlock(t, le)
		},
		"after a rollback": func(t *testing.T, c *clustertest.Cluster, l *redlock.Locker) {
			t.Helper()
			for _, master := range c.Masters[:3] {
				master.Latency(time.Millisecond)
			}
			c.Hold("a", 10*time.Millisecond, 0, 1, 2)
			if _, err := l.TryLock(t.Context(), "a"); !errors.Is(err, redlock.ErrHeld) {
				t.Errorf("TryLock: %v", err)
			}
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(5)
			c.Masters[3].Latency(100 * time.Millisecond)
			c.Masters[4].Latency(200 * time.Millisecond)
			l := c.Locker(t)
			run(t, c, l)
			if n := c.Sent(wire.Acquire); n != 5 {
				t.Fatalf("%s: %d acquires", what, n)
			}
			time.Sleep(time.Second)
			wantClean(t, c, l)
			if executed(c.Masters[4], wire.Acquire) != 1 || executed(c.Masters[4], wire.Release) != 1 {
				t.Errorf("%s: the slow node executed %d acquires and %d releases", what,
					executed(c.Masters[4], wire.Acquire), executed(c.Masters[4], wire.Release))
			}
		})
	}
}

func TestGrantThatComesLateBelongsToTheLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Masters[3].Latency(100 * time.Millisecond)
		c.Masters[4].Latency(200 * time.Millisecond)
		le := lockEverywhere(t, c.Locker(t), "a")
		time.Sleep(time.Second)
		c.Delete("a", 0, 1)
		// on the last node of the quorum and the two that came late
		mustExtend(t, le)
		mustUnlock(t, le)
		c.WantNoLocks(t)
	})
}

// If a reply is lost, the lock may have been granted. It is released, and never counted.
func TestLostReplyIsNoGrantAndIsReleased(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t)
		for _, master := range c.Masters[:3] {
			master.DropReply(wire.Acquire, 1)
		}
		_, err := l.TryLock(t.Context(), "a")
		q, ok := errors.AsType[*redlock.QuorumError](err)
		if !ok || !errors.Is(err, redlock.ErrNoQuorum) || q.Granted != 2 || q.Failed != 3 {
			t.Errorf("TryLock: %v", err)
		}
		time.Sleep(time.Second)
		wantClean(t, c, l)
	})
}

// A release must not overtake its own acquire, which can happen on a pool of connections.
func TestReleaseWaitsForItsOwnAcquire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		c.Masters[2].Slow(wire.Acquire, 100*time.Millisecond)
		l := c.Locker(t)
		mustUnlock(t, lockEverywhere(t, l, "a"))
		time.Sleep(90 * time.Millisecond)
		if n := c.Masters[2].Sent(wire.Release); n != 0 {
			t.Errorf("%d releases were sent before the acquire was answered", n)
		}
		time.Sleep(time.Second)
		wantClean(t, c, l)
	})
}

// The kernel sends a lost packet again after the caller has given the request up, while a release
// arrives on another connection.
func TestAcquireThatArrivesAfterItsReleaseLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, late := range []time.Duration{55 * time.Millisecond, 75 * time.Millisecond, 95 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(3)
			c.Latency(time.Millisecond)
			l := c.Locker(t, redlock.WithNodeTimeout(50*time.Millisecond), redlock.WithTTL(time.Hour))
			c.Masters[2].Slow(wire.Acquire, 2*late) // for both directions
			mustUnlock(t, mustLock(t, l, "a"))
			mustClose(t, l)
			time.Sleep(time.Second)
			if n := executed(c.Masters[2], wire.Acquire); n != 1 {
				t.Errorf("the acquire was carried out %d times", n)
			}
			c.WantNoLocks(t)
		})
	}
}

// Meanwhile a renewal has won the node back. The first release finds that lock, so its answer says
// nothing about the acquire.
func TestAcquireThatArrivesAfterTheReleaseOfARejoinedNodeLeavesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		c.Latency(time.Millisecond)
		l := c.Locker(t, redlock.WithNodeTimeout(50*time.Millisecond), redlock.WithTTL(3*time.Second), redlock.WithRenewal(redlock.Forever))
		c.Masters[2].Slow(wire.Acquire, 2*2530*time.Millisecond)
		le := mustLock(t, l, "a")
		time.Sleep(2500 * time.Millisecond)
		if n := executed(c.Masters[2], wire.Rejoin); n != 1 {
			t.Fatalf("the node was won back %d times", n)
		}
		mustUnlock(t, le)
		mustClose(t, l)
		time.Sleep(time.Second)
		if n := executed(c.Masters[2], wire.Acquire); n != 1 {
			t.Errorf("the acquire was carried out %d times", n)
		}
		c.WantNoLocks(t)
		time.Sleep(2 * time.Second) // its answer arrives
	})
}

// A long timeout of one lock does not delay the second release of another lock.
func TestSecondReleasesDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		c.Latency(time.Millisecond)
		l := c.Locker(t)
		c.Masters[2].Slow(wire.Acquire, 2*260*time.Millisecond)
		mustUnlock(t, mustLock(t, l, "slow", redlock.WithTTL(time.Hour)))
		time.Sleep(230 * time.Millisecond)
		c.Masters[2].Slow(wire.Acquire, 2*30*time.Millisecond)
		mustUnlock(t, mustLock(t, l, "quick", redlock.WithTTL(400*time.Millisecond)))
		time.Sleep(70 * time.Millisecond)
		if owner := c.Masters[2].Owner("quick"); owner != "" {
			t.Error("the lock with the short timeout is left still")
		}
		time.Sleep(time.Second)
	})
}

// A node frozen with an acquire in its socket may execute it after a release that came on another
// connection. So the release is sent once more, a node timeout after its first answer.
func TestReleasesOwedToAFrozenNodeAreSentAfterTheThaw(t *testing.T) {
	t.Parallel()
	for name, thaw := range map[string]func(*clustertest.Master){"in order": (*clustertest.Master).Thaw, "in reverse order": (*clustertest.Master).ThawReversed} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(5)
			l := c.Locker(t)
			c.Freeze(0, 1)
			for i := range 20 {
				mustUnlock(t, lockEverywhere(t, l, fmt.Sprint("a", i)))
			}
			failed := mustLock(t, c.Locker(t), "failed", redlock.WithTTL(time.Hour))
			_, err := l.TryLock(t.Context(), "failed")
			if !errors.Is(err, redlock.ErrHeld) {
				t.Error(err)
			}
			time.Sleep(3 * time.Second)
			if s := l.Stats(); s.Pending < 3 || s.Dropped != 0 {
				t.Errorf("%s: stats: %+v", name, s)
			}
			thaw(c.Masters[0])
			thaw(c.Masters[1])
			time.Sleep(2 * time.Second)
			wantDrained(t, l)
			mustUnlock(t, failed)
			time.Sleep(2 * time.Second)
			c.WantNoLocks(t)
		})
	}
}

// The thawed node executes a release before its acquire, and answers that there is nothing to
// release.
func TestReleaseIsSentAgainWhereItMayHaveOvertakenItsAcquire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t)
		c.Freeze(0)
		mustUnlock(t, lockEverywhere(t, l, "a"))
		time.Sleep(400 * time.Millisecond) // the acquire is given up, and its release is on the way
		c.Masters[0].ThawReversed()
		time.Sleep(time.Second)
		wantClean(t, c, l)
	})
}

// An acquire in the socket of a node that stays frozen for longer than the TTL leaves a lock for at
// most a TTL after the thaw.
func TestKeysOnANodeFrozenForLongExpireByThemselves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t)
		c.Freeze(0)
		mustUnlock(t, lockEverywhere(t, l, "a"))
		time.Sleep(time.Hour)
		wantDrained(t, l) // nothing stays pending forever
		c.Masters[0].ThawReversed()
		time.Sleep(redlock.DefaultTTL)
		c.WantNoLocks(t)
	})
}

// A node that does not answer does not slow the others, and its backlog is bounded in time and
// space.
func TestFrozenNodeCostsNothingFromTheFirstOperationOn(t *testing.T) {
	t.Parallel()
	for what, fault := range map[string]func(*clustertest.Cluster){
		"frozen":  func(c *clustertest.Cluster) { c.Freeze(0, 1) },
		"refused": func(c *clustertest.Cluster) { c.Refuse(0, 1) },
		"one of each": func(c *clustertest.Cluster) {
			c.Freeze(0)
			c.Refuse(1)
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(5)
			c.Latency(time.Millisecond)
			l := c.Locker(t)
			mustUnlock(t, mustLock(t, l, "a"))
			time.Sleep(time.Second)
			fault(c)
			for i := range 100 {
				var le *redlock.Lease
				lock := took(func() { le = mustLock(t, l, "a") })
				extend := took(func() { mustExtend(t, le) })
				unlock := took(func() { mustUnlock(t, le) })
				if lock != time.Millisecond || extend != time.Millisecond || unlock != time.Millisecond {
					t.Fatalf("%s: lock %d took %v, its extension %v, its end %v", what, i, lock, extend, unlock)
				}
			}
			c.Thaw(0, 1)
			c.Heal()
			time.Sleep(12 * time.Second)
			wantClean(t, c, l)
		})
	}
}

// The same holds for many callers: requests that wait for the frozen node block none of them.
func TestFrozenNodeCostsManyCallersNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		whole, part := clustertest.New(5), clustertest.New(5)
		run := func(l *redlock.Locker) time.Duration {
			return took(func() {
				var all sync.WaitGroup
				for i := range 200 {
					all.Go(func() {
						for range 50 {
							mustUnlock(t, mustLock(t, l, fmt.Sprint("a", i)))
						}
					})
				}
				all.Wait()
			})
		}
		whole.Latency(time.Millisecond)
		part.Latency(time.Millisecond)
		healthy, frozen := whole.Locker(t), part.Locker(t)
		part.Freeze(0)
		// The scheduler, and the machine's other work, decide how many requests share a round trip.
		// So the test measures by turns, and compares sums.
		var with, without time.Duration
		for range 5 {
			without += run(healthy)
			with += run(frozen)
		}
		if with > without*12/10 {
			t.Errorf("%v with a frozen node, %v without", with, without)
		}
		part.Thaw(0)
		time.Sleep(15 * time.Second)
		wantClean(t, part, frozen)
	})
}

// Any mixture of failures leaves no lock key behind once the background work is drained.
func TestNothingIsLeftAfterAnyMixtureOfFaults(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(5)
			c.Jitter(30 * time.Millisecond)
			random := newRandom(t, seed)
			lockers := []*redlock.Locker{c.Locker(t, redlock.WithTTL(2*time.Second)), c.Locker(t, redlock.WithTTL(2*time.Second))}
			var all sync.WaitGroup
			for i := range 8 {
				l := lockers[i%2]
				all.Go(func() {
					for range 10 {
						ctx, cancel := context.WithTimeout(t.Context(), random.time(200*time.Millisecond))
						name := fmt.Sprint("a", random.below(3))
						le, err := l.Lock(ctx, name)
						cancel()
						if err != nil {
							continue
						}
						time.Sleep(random.time(50 * time.Millisecond))
						_ = le.Extend(t.Context())
						_ = le.Unlock(t.Context())
					}
				})
			}
			all.Go(func() {
				for range 10 {
					master := c.Masters[random.below(5)]
					switch random.below(4) {
					case 0:
						master.Freeze()
						time.Sleep(random.time(500 * time.Millisecond))
						master.ThawReversed()
					case 1:
						master.Refuse()
						time.Sleep(random.time(500 * time.Millisecond))
						master.Heal()
					case 2:
						master.DropReply(wire.Acquire, 2)
						master.DropReply(wire.Release, 2)
					case 3:
						master.Restart(false)
					}
				}
			})
			all.Wait()
			time.Sleep(3 * time.Second)
			wantClean(t, c, lockers...)
			if t.Failed() {
				t.Logf("seed %d", seed)
			}
		})
	}
}

// Background work is bounded for each node. Beyond the bound the node gets no new locks, and
// releases are dropped and counted.
func TestTooManyPendingReleasesMakeANodeUnavailableAndAreCounted(t *testing.T) {
	t.Parallel()
	if raceDetector {
		t.Skip("takes too long with the race detector")
	}
	synctest.Test(t, func(t *testing.T) {
		nodes := yesNodes(3)
		away := &awayNode{yesNode: nodes[0]}
		seen := new(recorder)
		l, err := redlock.New(asNodes([]wire.Node{away, nodes[1], nodes[2]}), redlock.WithTTL(time.Hour), redlock.WithObserver(seen))
		if err != nil {
			t.Fatal(err)
		}
		leases := make(chan *redlock.Lease, 33_500)
		inBatches(cap(leases), func(i int) { leases <- mustTryLock(t, l, fmt.Sprint("a", i)) })
		away.silent.Store(true)
		inBatches(cap(leases), func(int) { mustUnlock(t, <-leases) })
		time.Sleep(time.Minute)
		s := l.Stats()
		if s.Pending > 32768+100 || s.Dropped == 0 {
			t.Errorf("stats: %+v", s)
		}
		if dropped := len(eventsOf[redlock.DroppedEvent](seen)); uint64(dropped) != s.Dropped { //nolint:gosec // small
			t.Errorf("%d drops were counted, %d told", s.Dropped, dropped)
		}
		asked := away.acquires.Load()
		for range 20 {
			mustUnlock(t, mustTryLock(t, l, "more"))
		}
		time.Sleep(time.Second)
		// a release is on its way now and then
		if n := away.acquires.Load() - asked; s.Pending < 32768 || n > 5 {
			t.Errorf("with %d releases that wait for it the node was given %d of 20 new locks", s.Pending, n)
		}
		away.silent.Store(false)
		time.Sleep(time.Minute)
		if s := l.Stats(); s.Pending != 0 {
			t.Errorf("not drained: %+v", s)
		}
		mustClose(t, l)
	})
}

// inBatches calls f n times, a thousand calls at once.
func inBatches(n int, f func(int)) {
	for first := 0; first < n; first += 1000 {
		var all sync.WaitGroup
		for i := first; i < min(first+1000, n); i++ {
			all.Go(func() { f(i) })
		}
		all.Wait()
	}
}

// An awayNode accepts requests and, while it is silent, never answers them.
type awayNode struct {
	*yesNode
	silent   atomic.Bool
	acquires atomic.Int64
}

func (n *awayNode) Do(ctx context.Context, calls []wire.Call) {
	n.yesNode.Do(ctx, calls)
	for i := range calls {
		if calls[i].Request.Verb == wire.Acquire {
			n.acquires.Add(1)
		}
		if n.silent.Load() {
			calls[i].Reply = wire.Reply{Verdict: wire.Unavailable, Err: errors.New("i/o timeout")}
		}
	}
}
