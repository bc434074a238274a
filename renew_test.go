package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/clustertest"
	"github.com/go-redlock/redlock/internal/wire"
)

func TestRenewalBeginsAtAThirdOfTheTTL(t *testing.T) {
	t.Parallel()
	for _, ttl := range []time.Duration{20 * time.Millisecond, 60 * time.Millisecond, time.Second, 9 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(3)
			l := c.Locker(t, redlock.WithTTL(ttl), redlock.WithRenewal(redlock.Forever))
			le := mustLock(t, l, "a")
			for i := 1; i <= 3; i++ {
				time.Sleep(ttl/3 - 1)
				synctest.Wait()
				if n := c.Sent(wire.Extend); n != 3*(i-1) {
					t.Errorf("TTL %v: %d requests to extend before renewal %d is due", ttl, n, i)
				}
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				if n := c.Sent(wire.Extend); n != 3*i {
					t.Errorf("TTL %v: %d requests to extend when renewal %d was due", ttl, n, i)
				}
				if left := time.Until(le.Until()); left != validity(ttl) {
					t.Errorf("TTL %v: %v left after renewal %d", ttl, left, i)
				}
			}
			mustUnlock(t, le)
		})
	}
}

// However short the TTL and the node timeout are, a renewed lease lasts, and its renewals do not
// come too often.
func TestRenewalKeepsShortLeases(t *testing.T) {
	t.Parallel()
	for _, ttl := range []time.Duration{4 * time.Millisecond, 10 * time.Millisecond, 30 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, time.Second} {
		for _, timeout := range []time.Duration{0, time.Millisecond, 5 * time.Millisecond} {
			synctest.Test(t, func(t *testing.T) {
				c := clustertest.New(5)
				c.Latency(200 * time.Microsecond)
				opts := with(redlock.WithTTL(ttl), redlock.WithRenewal(redlock.Forever))
				if timeout >= validity(ttl) {
					return // refused
				}
				if timeout > 0 {
					opts = append(opts, redlock.WithNodeTimeout(timeout))
				}
				le := mustLock(t, c.Locker(t, opts...), "a")
				time.Sleep(20 * ttl)
				if le.Err() != nil {
					t.Errorf("TTL %v, node timeout %v: the lease ended: %v", ttl, timeout, le.Err())
				}
				if n := c.Sent(wire.Extend); n > 5*20*7 {
					t.Errorf("TTL %v, node timeout %v: %d requests to extend in 20 TTLs", ttl, timeout, n)
				}
				mustUnlock(t, le)
			})
		}
	}
}

func TestFailedRenewalIsRetriedUntilTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		seen := new(recorder)
		l := c.Locker(t, redlock.WithObserver(seen), redlock.WithRenewal(redlock.Forever))
		le := mustLock(t, l, "a")
		until := le.Until()
		c.Freeze()
		time.Sleep(time.Until(until) - 2*time.Second)
		if le.Err() != nil || !le.Until().Equal(until) {
			t.Fatalf("the lease: %v", le.Err())
		}
		c.Thaw()
		time.Sleep(2 * time.Second)
		if le.Err() != nil {
			t.Errorf("the lease was lost though the nodes were back: %v", le.Err())
		}
		failed := 0
		for _, e := range eventsOf[redlock.RenewedEvent](seen) {
			if e.Err != nil {
				failed++
			}
		}
		if failed < 5 {
			t.Errorf("%d failed renewals were told", failed)
		}
		mustUnlock(t, le)
	})
}

func TestDangerIsToldOnceWhenLessThanAThirdIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		seen := new(recorder)
		l := c.Locker(t, redlock.WithObserver(seen), redlock.WithTTL(9*time.Second), redlock.WithRenewal(redlock.Forever))
		le := mustLock(t, l, "a")
		for i := 1; i <= 2; i++ {
			c.Freeze(0, 1, 2)
			time.Sleep(time.Until(le.Until()) - 3*time.Second)
			synctest.Wait()
			if n := len(eventsOf[redlock.DangerEvent](seen)); n != i-1 {
				t.Errorf("danger was told %d times with a third of the TTL left", n)
			}
			time.Sleep(2 * time.Second)
			synctest.Wait()
			told := eventsOf[redlock.DangerEvent](seen)
			if len(told) != i {
				t.Fatalf("danger was told %d times", len(told))
			}
			if d := told[i-1]; d.Name != "a" || d.Left > 3*time.Second || d.Left < 2*time.Second {
				t.Errorf("danger: %+v", d)
			}
			c.Thaw(0, 1, 2)
			time.Sleep(time.Second)
		}
		mustUnlock(t, le)
	})
}

func TestNoRenewalStartsAfterTheMaximumHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t, redlock.WithTTL(3*time.Second))
		start := time.Now()
		le := mustLock(t, l, "a", redlock.WithRenewal(10*time.Second))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		extends := c.Sent(wire.Extend)
		if le.Err() != nil || extends < 5*9 {
			t.Errorf("at the maximum hold: %v, %d requests to extend", le.Err(), extends)
		}
		select {
		case <-le.Done():
		case <-time.After(time.Minute): // it would never end
			mustUnlock(t, le)
		}
		if d := time.Since(start); d < 10*time.Second || d > 13*time.Second || !errors.Is(le.Err(), redlock.ErrLost) {
			t.Errorf("the lease ended after %v: %v", d, le.Err())
		}
		time.Sleep(time.Minute)
		if n := c.Sent(wire.Extend); n != extends {
			t.Errorf("%d requests to extend after the maximum hold", n-extends)
		}
	})
}

// In other libraries watchdogs go on after Unlock, or extend forever.
func TestEndedLeaseIsNotRenewed(t *testing.T) {
	t.Parallel()
	for what, end := range map[string]func(*testing.T, *clustertest.Cluster, *redlock.Locker, *redlock.Lease){
		"unlocked": func(t *testing.T, _ *clustertest.Cluster, _ *redlock.Locker, le *redlock.Lease) {
			t.Helper()
			mustUnlock(t, le)
		},
		"lost": func(_ *testing.T, c *clustertest.Cluster, _ *redlock.Locker, le *redlock.Lease) {
			c.Delete("a")
			_ = le.Extend(context.Background())
		},
		"closed": func(t *testing.T, _ *clustertest.Cluster, l *redlock.Locker, _ *redlock.Lease) {
			t.Helper()
			mustClose(t, l)
		},
		"unlocked in vain": func(_ *testing.T, c *clustertest.Cluster, _ *redlock.Locker, le *redlock.Lease) {
			c.Freeze(0, 1, 2)
			_ = le.Unlock(context.Background())
			c.Thaw(0, 1, 2)
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(5)
			l := c.Locker(t, redlock.WithTTL(time.Second))
			le := mustLock(t, l, "a", redlock.WithRenewal(redlock.Forever))
			time.Sleep(10 * time.Second)
			end(t, c, l, le)
			if le.Err() == nil {
				t.Errorf("%s: the lease lives on", what)
			}
			synctest.Wait()
			extends := c.Sent(wire.Extend, wire.Rejoin)
			if extends < 100 {
				t.Errorf("%s: %d requests to extend in ten TTLs", what, extends)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if n := c.Sent(wire.Extend, wire.Rejoin); n != extends {
				t.Errorf("%s: %d requests to extend after the end", what, n-extends)
			}
		})
	}
}

// Renewal goes on when the context that the lock was taken with ends.
func TestRenewalOutlivesTheContextOfLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := clustertest.New(3).Locker(t, redlock.WithTTL(time.Second), redlock.WithRenewal(redlock.Forever))
		ctx, cancel := context.WithCancel(t.Context())
		le, err := l.Lock(ctx, "a")
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if le.Err() != nil {
			t.Errorf("the lease: %v", le.Err())
		}
		mustUnlock(t, le)
	})
}

// The registers of a lease that is renewed live on for the retention, less a 32nd part of it; but
// most renewals do not ask for that, for it costs a node as much as the rest of a renewal.
func TestARenewedLeaseHasItsRegisterKeptNowAndThen(t *testing.T) {
	t.Parallel()
	for _, ttl := range []time.Duration{9 * time.Second, 10 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			const retention time.Duration = time.Hour
			c := clustertest.New(3)
			l := c.Locker(t, redlock.WithTTL(ttl), redlock.WithRenewal(redlock.Forever))
			le := mustLock(t, l, "a")
			kept, last := 0, retention
			const renewals = 200
			for range renewals {
				time.Sleep(ttl / 3)
				synctest.Wait()
				_, life, found := c.Masters[0].Get("{a}:redlock:fence")
				if !found || life < retention-retention/32-ttl/3 {
					t.Fatalf("TTL %v: the register lives for another %v", ttl, life)
				}
				if life > last-ttl/3 {
					kept++
				}
				last = life
			}
			if most := min(int(renewals*ttl/3/(retention/32)), renewals); kept > most || kept < most*9/10 {
				t.Errorf("TTL %v: the register was kept %d times in %v", ttl, kept, renewals*ttl/3)
			}
			mustUnlock(t, le)
		})
	}
}

// A leader keeps its lease through a rolling restart of all its masters, each of which comes back
// empty.
func TestRenewalWinsBackNodesThatRestartedEmpty(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t, redlock.WithTTL(3*time.Second), redlock.WithRenewal(redlock.Forever))
		le := mustLock(t, l, "a")
		owner := c.Masters[0].Owner("a")
		for i, master := range c.Masters {
			master.Restart(false)
			time.Sleep(3 * time.Second)
			if le.Err() != nil {
				t.Fatalf("the lease ended at restart %d: %v", i, le.Err())
			}
			for j, master := range c.Masters {
				if master.Owner("a") != owner {
					t.Errorf("restart %d: the lease does not stand on node %d", i, j)
				}
				// or above, because of the clock of a node that has lost its register
				want := fmt.Sprint(le.Fence())
				if got := master.Fence("a"); got < want || j > i && got != want {
					t.Errorf("restart %d: the register of node %d is %s, the token %d", i, j, master.Fence("a"), le.Fence())
				}
			}
		}
		mustUnlock(t, le)
		time.Sleep(10 * time.Second)
		c.WantNoLocks(t)
		if n := c.Sent(wire.Rejoin); n == 0 {
			t.Error("nothing was won back")
		}
	})
}

// Winning a node back does not take the lock from another owner that has got it there meanwhile.
func TestRenewalDoesNotTakeNodesFromAnotherOwner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t, redlock.WithTTL(3*time.Second), redlock.WithRenewal(redlock.Forever))
		le := mustLock(t, l, "a")
		c.Hold("a", time.Minute, 0)
		time.Sleep(30 * time.Second)
		if le.Err() != nil || c.Masters[0].Owner("a") != "foreign" {
			t.Errorf("the lease: %v; node 0: %s", le.Err(), c.Masters[0].Owner("a"))
		}
		mustUnlock(t, le)
	})
}

// A step of the time of day makes renewals run early, but not again and again.
func TestRenewalSurvivesAStepOfTheTimeOfDay(t *testing.T) {
	t.Parallel()
	for _, step := range []time.Duration{5 * time.Second, -5 * time.Second, -time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(3)
			clock := new(wallClock)
			l := c.Locker(t, redlock.WithClock(clock), redlock.WithRenewal(redlock.Forever))
			le := mustLock(t, l, "a")
			clock.step(step)
			mustUnlock(t, mustLock(t, l, "b")) // this makes the schedule look at its tasks
			time.Sleep(time.Minute)
			if le.Err() != nil {
				t.Errorf("step %v: the lease: %v", step, le.Err())
			}
			if n := c.Sent(wire.Extend); n > 3*30 {
				t.Errorf("step %v: %d requests to extend in six TTLs", step, n)
			}
			mustUnlock(t, le)
		})
	}
}

// Renewals of many leases share round trips, goroutines and little memory.
func TestTenThousandLeasesRenewTogether(t *testing.T) { //nolint:paralleltest // it measures memory
	leases := int64(10_000)
	if raceDetector {
		leases = 1000
	}
	synctest.Test(t, func(t *testing.T) {
		nodes := yesNodes(5)
		l, err := redlock.New(asNodes(nodes), redlock.WithRenewal(redlock.Forever))
		if err != nil {
			t.Fatal(err)
		}
		defer mustClose(t, l)
		held := make([]*redlock.Lease, leases)
		goroutines := runtime.NumGoroutine()
		before := heap()
		for i := range held {
			held[i] = mustTryLock(t, l, fmt.Sprint("name", i))
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if each := (heap() - before) / leases; each > 5<<10 && !raceDetector {
			t.Errorf("%d bytes a lease", each)
		} else {
			t.Logf("%d bytes a lease", each)
		}
		calls, trips := nodes[0].calls.Load(), nodes[0].trips.Load()
		most := 0
		for range 200 {
			time.Sleep(50*time.Millisecond + 100*time.Microsecond)
			most = max(most, runtime.NumGoroutine()-goroutines)
		}
		calls, trips = nodes[0].calls.Load()-calls, nodes[0].trips.Load()-trips
		if most > 64 {
			t.Errorf("%d goroutines", most)
		}
		if calls < 2*leases || trips > calls/8 && !raceDetector {
			t.Errorf("%d requests to a node in %d round trips", calls, trips)
		}
		for i, le := range held {
			if le.Err() != nil {
				t.Fatalf("lease %d ended: %v", i, le.Err())
			}
		}
	})
}

// Where renewals are due faster than the nodes can take them each comes late, and none is lost: as
// long as every lease can be renewed once in a TTL. Meanwhile a free lock is to be had.
func TestRenewalsThatAreDueTooFastComeLateAndNoneIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const ttl, leases = 3 * time.Second, 6016 // each is due after a third of it: 6,000 a second
		c := clustertest.New(3)
		var seen recorder
		l := c.Locker(t, redlock.WithTTL(ttl), redlock.WithNodeTimeout(400*time.Millisecond),
			redlock.WithRenewal(redlock.Forever), redlock.WithoutFencing(), redlock.WithObserver(&seen))
		var held []*redlock.Leases
		for i := 0; i < leases; i += redlock.MaxAll {
			var ms []*redlock.Mutex
			for j := range redlock.MaxAll {
				ms = append(ms, l.Mutex(fmt.Sprint("job:", i+j)))
			}
			held = append(held, mustLockAll(t, ms...))
		}
		c.Latency(80 * time.Millisecond)
		c.Jitter(40 * time.Millisecond) // two trips of 256 in 100 ms: 5,120 a second
		for range 8 {
			time.Sleep(time.Second)
			mustUnlock(t, mustTryLock(t, l, "free"))
		}
		if n := len(eventsOf[redlock.LostEvent](&seen)); n > 0 {
			t.Errorf("%d of %d leases were lost", n, leases)
		}
		c.Latency(0)
		c.Jitter(0)
		for _, ls := range held {
			mustUnlockAll(t, ls)
		}
	})
}

// Many callers who lock and unlock without a pause do not keep renewals back.
func TestManyCallersDoNotKeepRenewalsBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const callers = 1600 // more than two round trips take: some always wait for the next
		c := clustertest.New(3)
		l := c.Locker(t, redlock.WithTTL(3*time.Second), redlock.WithNodeTimeout(time.Second), redlock.WithoutFencing())
		le := mustLock(t, l, "job", redlock.WithRenewal(redlock.Forever))
		c.Latency(100 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				for ctx.Err() == nil {
					if le, err := l.Lock(ctx, fmt.Sprint("own:", i)); err == nil {
						mustUnlock(t, le)
					}
				}
			})
		}
		all.Wait()
		mustUnlock(t, le)
	})
}
