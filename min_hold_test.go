package redlock_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/clustertest"
	"github.com/go-redlock/redlock/internal/wire"
)

// A very short cron job does not run again on a machine whose schedule is a little late.
func TestMinimumHoldLeavesTheLockInPlaceUntilThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		one, other := c.Locker(t), c.Locker(t)
		minHold := redlock.WithMinHold(time.Minute) // longer than the TTL
		start := time.Now()
		if err := one.TryDo(t.Context(), "a", func(context.Context, *redlock.Lease) error { return nil }, minHold); err != nil {
			t.Fatal(err)
		}
		for _, l := range []*redlock.Locker{one, other} {
			_, err := l.TryLock(t.Context(), "a")
			q, ok := errors.AsType[*redlock.QuorumError](err)
			if !ok || !errors.Is(err, redlock.ErrHeld) || q.RetryAfter > time.Minute || q.RetryAfter < time.Minute-time.Second {
				t.Errorf("TryLock: %v", err)
			}
		}
		le := mustLock(t, other, "a", minHold)
		if d := time.Since(start); d < time.Minute || d > time.Minute+100*time.Millisecond {
			t.Errorf("the lock was had after %v", d)
		}
		time.Sleep(time.Second)
		mustExtend(t, le)
		time.Sleep(5 * time.Second)
		mustUnlock(t, le)
		if ttl := c.Masters[0].TTL("a"); ttl > 54*time.Second || ttl < 53*time.Second {
			t.Errorf("the key lives for %v", ttl)
		}
	})
}

func TestMinimumHoldThatIsOverDeletes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t)
		le := mustLock(t, l, "a", redlock.WithMinHold(time.Second))
		time.Sleep(time.Second)
		mustUnlock(t, le)
		c.WantNoLocks(t)
	})
}

// A lock with a minimum hold is never handed over inside the process.
func TestMinimumHoldIsNotHandedOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t, redlock.WithMinHold(5*time.Second))
		start := time.Now()
		le := mustLock(t, l, "a")
		next := lockInBackground(t.Context(), l, "a")
		synctest.Wait()
		mustUnlock(t, le)
		r := <-next
		if r.err != nil || r.at.Sub(start) < 5*time.Second {
			t.Errorf("the next has it after %v: %v", r.at.Sub(start), r.err)
		}
		mustUnlock(t, r.lease)
	})
}

// A release with a minimum hold shortens the lock's life. Waiters must be notified, because they
// know only the earlier time.
func TestWaitersComeWhenAShortenedLockEnds(t *testing.T) {
	t.Parallel()
	const hold = 2 * time.Second
	for name, first := range map[string]func(c *clustertest.Cluster, l *redlock.Locker){
		"the first":                          nil,
		"the second, for the first stands":   func(c *clustertest.Cluster, _ *redlock.Locker) { c.Stop("first") },
		"the second, for the first is gone":  func(c *clustertest.Cluster, _ *redlock.Locker) { c.Cut("first") },
		"the second, for the first has left": func(_ *clustertest.Cluster, l *redlock.Locker) { _ = l.Close(context.Background()) },
	} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(5)
			c.Latency(time.Millisecond)
			holder := c.Locker(t)
			start := time.Now()
			le := mustLock(t, holder, "a", redlock.WithMinHold(hold))
			if first != nil {
				l := c.LockerAs(t, "first")
				lockInBackground(t.Context(), l, "a")
				time.Sleep(100 * time.Millisecond)
				defer func() {
					if name == "the second, for the first stands" {
						c.Resume("first")
					}
				}()
				first(c, l)
			}
			next := lockInBackground(t.Context(), c.Locker(t), "a")
			time.Sleep(time.Second)
			mustUnlock(t, le)
			r := <-next
			if d := r.at.Sub(start) - hold; r.err != nil || d < 0 || d > 60*time.Millisecond {
				t.Errorf("%s: the lock was had %v after its end: %v", name, d, r.err)
			}
			mustUnlock(t, r.lease)
		})
	}
}

// Requests that the holder sent before its release, and that arrive after it, must not make the
// lock last longer. A normal release has deleted the lock by then, but a release with a minimum
// hold has left it in place.
func TestNothingOfTheHoldersProlongsALockThatWasReleasedUnderAMinimumHold(t *testing.T) {
	t.Parallel()
	const hold = time.Second
	for name, fault := range map[string]func(t *testing.T, c *clustertest.Cluster, le *redlock.Lease){
		"an extension that is late": func(t *testing.T, c *clustertest.Cluster, le *redlock.Lease) {
			t.Helper()
			c.Slow(wire.Extend, 200*time.Millisecond)
			go le.Extend(context.Background()) //nolint:errcheck // the lease ends meanwhile
			time.Sleep(10 * time.Millisecond)
		},
		"an extension that is late on each node by another time": func(_ *testing.T, c *clustertest.Cluster, le *redlock.Lease) {
			for i, master := range c.Masters {
				master.Slow(wire.Extend, time.Duration(i)*100*time.Millisecond)
			}
			go le.Extend(context.Background()) //nolint:errcheck // the lease ends meanwhile
			time.Sleep(10 * time.Millisecond)
		},
		"an extension that a frozen node does after the release": func(_ *testing.T, c *clustertest.Cluster, le *redlock.Lease) {
			c.Freeze(0, 1)
			go le.Extend(context.Background()) //nolint:errcheck // the lease ends meanwhile
			time.AfterFunc(100*time.Millisecond, func() {
				c.Masters[0].ThawReversed()
				c.Masters[1].ThawReversed()
			})
			time.Sleep(10 * time.Millisecond)
		},
		"an extension that comes twice": func(t *testing.T, c *clustertest.Cluster, le *redlock.Lease) {
			t.Helper()
			owner := c.Masters[0].Owner("a")
			mustExtend(t, le)
			time.AfterFunc(300*time.Millisecond, func() {
				for _, master := range c.Masters {
					r := &wire.Request{Verb: wire.Extend, Lock: "a", Owner: owner, TTL: redlock.DefaultTTL}
					master.Do(context.Background(), []wire.Call{{Request: r}})
				}
			})
		},
		"an acquire and a rejoin that come twice": func(t *testing.T, c *clustertest.Cluster, _ *redlock.Lease) {
			t.Helper()
			owner := c.Masters[0].Owner("a")
			time.AfterFunc(300*time.Millisecond, func() {
				for _, master := range c.Masters {
					for _, v := range []wire.Verb{wire.Acquire, wire.Rejoin} {
						r := &wire.Request{Verb: v, Lock: "a", Owner: owner, TTL: redlock.DefaultTTL}
						master.Do(context.Background(), []wire.Call{{Request: r}})
					}
				}
			})
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(5)
			c.Latency(time.Millisecond)
			holder, other := c.Locker(t), c.Locker(t)
			start := time.Now()
			le := lockEverywhere(t, holder, "a", redlock.WithMinHold(hold))
			fault(t, c, le)
			mustUnlock(t, le)
			for time.Since(start) < hold-100*time.Millisecond {
				time.Sleep(50 * time.Millisecond)
				if _, err := other.TryLock(t.Context(), "a"); !errors.Is(err, redlock.ErrHeld) {
					t.Errorf("%s: %v after the attempt began, TryLock: %v", name, time.Since(start), err)
				}
			}
			// a frozen node counts from its thaw
			time.Sleep(hold + 150*time.Millisecond - time.Since(start))
			for i, master := range c.Masters {
				if owner := master.Owner("a"); owner != "" {
					t.Errorf("%s: node %d has the lock for another %v", name, i, master.TTL("a"))
				}
			}
			mustUnlock(t, mustTryLock(t, other, "a"))
		})
	}
}

// The label tells people why the job does not run.
func TestAReleasedLockUnderAMinimumHoldKeepsItsLabel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		mustUnlock(t, lockEverywhere(t, c.Locker(t), "a", redlock.WithMinHold(time.Minute), redlock.WithHolder("host/1")))
		_, err := c.Locker(t).TryLock(t.Context(), "a")
		q, ok := errors.AsType[*redlock.QuorumError](err)
		if !ok || !errors.Is(err, redlock.ErrHeld) || q.Holder != "host/1" {
			t.Errorf("TryLock: %v", err)
		}
	})
}

// A node that could not be reached when the lease ended gets the rest of the hold when it answers
// again.
func TestALateReleaseDoesNotBeginTheMinimumHoldAgain(t *testing.T) {
	t.Parallel()
	for name, away := range map[string][2]func(c *clustertest.Cluster){
		"refused":  {func(c *clustertest.Cluster) { c.Refuse(0, 1, 2) }, func(c *clustertest.Cluster) { c.Heal() }},
		"no reply": {func(c *clustertest.Cluster) { c.Cut("holder") }, func(c *clustertest.Cluster) { c.Join("holder") }},
		"denied": {
			func(c *clustertest.Cluster) { deny(c, wire.Release, errors.New("NOPERM")) },
			func(c *clustertest.Cluster) { deny(c, wire.Release, nil) },
		},
	} {
		for _, after := range []time.Duration{time.Second, 3 * time.Second} {
			synctest.Test(t, func(t *testing.T) {
				c := clustertest.New(3)
				const hold = 2 * time.Second
				start := time.Now()
				le := lockEverywhere(t, c.LockerAs(t, "holder", redlock.WithTTL(time.Minute)), "a", redlock.WithMinHold(hold))
				away[0](c)
				if err := le.Unlock(t.Context()); !errors.Is(err, redlock.ErrNoQuorum) {
					t.Errorf("%s: Unlock: %v", name, err)
				}
				time.Sleep(after - time.Since(start))
				away[1](c)
				// the pause before a node is asked again, at most
				time.Sleep(max(hold-after, 0) + 1100*time.Millisecond)
				c.WantNoLocks(t)
			})
		}
	}
}

func deny(c *clustertest.Cluster, v wire.Verb, why error) {
	for _, master := range c.Masters {
		master.Deny(v, why)
	}
}
