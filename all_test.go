package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/clustertest"
	"github.com/go-redlock/redlock/internal/wire"
)

// mutexes returns the mutexes of some names.
func mutexes(l *redlock.Locker, names ...string) (ms []*redlock.Mutex) {
	for _, name := range names {
		ms = append(ms, l.Mutex(name))
	}
	return ms
}

func mustLockAll(t *testing.T, ms ...*redlock.Mutex) *redlock.Leases {
	t.Helper()
	ls, err := redlock.LockAll(t.Context(), ms...)
	if err != nil {
		t.Fatalf("LockAll: %v", err)
	}
	return ls
}

func mustUnlockAll(t *testing.T, ls *redlock.Leases) {
	t.Helper()
	if err := ls.Unlock(t.Context()); err != nil {
		t.Fatalf("Unlock: %v", err)
	}
}

// What ended a context is no verdict of the locks, even if it is that of others.
func TestAnotherSetsErrorAsTheCauseIsNoVerdict(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{redlock.ErrTooLate, redlock.ErrHeld, redlock.ErrNoQuorum} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(3)
			l := c.Locker(t)
			c.Freeze(0, 1)
			for _, names := range [][]string{{"a"}, {"a", "b"}} {
				var ms []*redlock.Mutex
				for _, name := range names {
					ms = append(ms, l.Mutex(name))
				}
				for _, wait := range []time.Duration{0, 50 * time.Millisecond} {
					ctx, cancel := context.WithCancelCause(t.Context())
					time.AfterFunc(wait, func() { cancel(cause) })
					if wait == 0 {
						cancel(cause)
					}
					ls, err := redlock.LockAll(ctx, ms...)
					if ls != nil || !errors.Is(err, context.Canceled) || !errors.Is(err, cause) {
						t.Errorf("%v, %v after %v: %v", cause, names, wait, err)
					}
				}
			}
			c.Thaw(0, 1)
		})
	}
}

// Free locks cost one round trip to each node, and another for their release, however many they
// are.
func TestFreeLocksAreTakenInOneRoundTrip(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t)
		mustUnlock(t, lockEverywhere(t, l, "before")) // the nodes are known
		synctest.Wait()
		c.Latency(10 * time.Millisecond)
		ms := mutexes(l, "f", "b", "d", "a", "e", "c", "h", "g")
		trips := c.Trips()
		var ls *redlock.Leases
		if d := took(func() { ls = mustLockAll(t, ms...) }); d > 12*time.Millisecond {
			t.Errorf("LockAll took %v", d)
		}
		synctest.Wait()
		if n := c.Trips() - trips; n != 5 {
			t.Errorf("LockAll made %d round trips to 5 nodes", n)
		}
		fences := make(map[uint64]bool)
		for _, m := range ms {
			le := ls.Lease(m.Name())
			if le.Err() != nil || le.Name() != m.Name() || le.Fence() == 0 {
				t.Errorf("%v", le)
			}
			fences[le.Fence()] = true
		}
		trips = c.Trips()
		if err := ls.Extend(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second) // so that no node still has Extend to answer when Unlock comes
		if d := took(func() { mustUnlockAll(t, ls) }); d > 12*time.Millisecond {
			t.Errorf("Unlock took %v", d)
		}
		time.Sleep(time.Second)
		if n := c.Trips() - trips; n != 10 {
			t.Errorf("Extend and Unlock made %d round trips to 5 nodes", n)
		}
		c.WantNoLocks(t)
	})
}

// If the sets of several calls overlap in a circle, each call gets its turn, in whatever order it
// lists the names.
func TestSetsInACircleDoNotStandStill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		turns := make([]int, 6)
		var all sync.WaitGroup
		for i, set := range [][]string{{"a", "b"}, {"b", "a"}, {"c", "b"}, {"b", "c"}, {"c", "a"}, {"a", "c"}} {
			l := c.Locker(t)
			all.Go(func() {
				for range 20 {
					err := redlock.DoAll(ctx, func(context.Context, *redlock.Leases) error {
						turns[i]++
						time.Sleep(time.Millisecond)
						return nil
					}, mutexes(l, set...)...)
					if err != nil {
						t.Errorf("%v: %v", set, err)
						return
					}
				}
			})
		}
		began := time.Now()
		all.Wait()
		if d := time.Since(began); d > 10*time.Second {
			t.Errorf("120 turns took %v", d)
		}
		synctest.Wait()
		c.WantNoLocks(t)
	})
}

// Many callers want random sets: nobody waits for long, no two hold a name at once, and no lock is
// left.
func TestACrowdWithRandomSetsIsServedFairly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const hold, turns = time.Millisecond, 10
		seed := rand.Uint64()
		t.Log("seed", seed)
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		names := []string{"a", "b", "c", "d", "e", "f"}
		inside := make([]atomic.Int32, len(names))
		var longest atomic.Int64
		var all sync.WaitGroup
		for p := range 3 {
			l := c.Locker(t)
			for g := range 16 {
				random := rand.New(rand.NewPCG(seed, uint64(100*p+g)))
				all.Go(func() {
					for range turns {
						which := random.Perm(len(names))[:2+random.IntN(3)]
						var ms []*redlock.Mutex
						for _, i := range which {
							ms = append(ms, l.Mutex(names[i]))
						}
						began := time.Now()
						err := redlock.DoAll(ctx, func(_ context.Context, ls *redlock.Leases) error {
							longest.Store(max(longest.Load(), int64(time.Since(began))))
							for _, i := range which {
								if inside[i].Add(1) != 1 {
									t.Errorf("two hold %s", names[i])
								}
							}
							time.Sleep(hold)
							for _, i := range which {
								inside[i].Add(-1)
							}
							return ls.Err()
						}, ms...)
						if err != nil {
							t.Errorf("%d/%d: %v", p, g, err)
							return
						}
					}
				})
			}
		}
		began := time.Now()
		all.Wait()
		turn := time.Since(began) / turns // in which each of the 48 had one
		t.Logf("a turn of all took %v, the longest wait %v", turn, time.Duration(longest.Load()))
		if d := time.Duration(longest.Load()); d > 20*turn {
			t.Errorf("one waited %v: a turn of all takes %v", d, turn)
		}
		synctest.Wait()
		c.WantNoLocks(t)
	})
}

// While a call waits for one lock, it holds none that comes later in the order: others can use
// those.
func TestWhoWaitsForALockHoldsNoneBehindIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		var seen recorder
		l, other := c.Locker(t, redlock.WithObserver(&seen)), c.Locker(t)
		blocks := lockEverywhere(t, other, "b", redlock.WithRenewal(redlock.Forever))
		got := make(chan *redlock.Leases)
		go func() {
			ls, err := redlock.LockAll(t.Context(), mutexes(l, "d", "c", "b", "a")...)
			if err != nil {
				t.Error(err)
			}
			got <- ls
		}()
		for range 3 { // and "a" is held meanwhile, for longer than its TTL
			time.Sleep(9 * time.Second)
			if _, err := other.TryLock(t.Context(), "a"); !errors.Is(err, redlock.ErrHeld) {
				t.Errorf("a, which comes before b: %v", err)
			}
			for _, name := range []string{"c", "d"} {
				mustUnlock(t, mustTryLock(t, other, name))
			}
		}
		for _, e := range eventsOf[redlock.AcquiredEvent](&seen) {
			if e.Name != "a" || e.Wait > time.Second {
				t.Errorf("%s was taken after %v", e.Name, e.Wait)
			}
		}
		mustUnlock(t, blocks)
		ls := <-got
		if ls.Err() != nil || ls.Until().Before(time.Now().Add(redlock.DefaultTTL/2)) {
			t.Errorf("%v until %v", ls, time.Until(ls.Until()))
		}
		mustUnlockAll(t, ls)
		synctest.Wait()
		c.WantNoLocks(t)
	})
}

// lockAllInBackground calls LockAll and passes its result on.
func lockAllInBackground(ctx context.Context, ms ...*redlock.Mutex) <-chan allResult {
	c := make(chan allResult, 1)
	go func() {
		ls, err := redlock.LockAll(ctx, ms...)
		c <- allResult{ls, err}
	}()
	return c
}

type allResult struct {
	leases *redlock.Leases
	err    error
}

// If a lock is lost while the call waits for another, it is taken again: the caller gets only valid
// leases.
func TestALockLostWhileAnotherIsWaitedForIsTakenAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l, other := c.Locker(t), c.Locker(t)
		blocks := lockEverywhere(t, other, "b", redlock.WithRenewal(redlock.Forever))
		got := lockAllInBackground(t.Context(), mutexes(l, "a", "b")...)
		time.Sleep(time.Second)
		c.Delete("a")
		time.Sleep(20 * time.Second) // the next renewal notices
		if _, err := other.TryLock(t.Context(), "a"); !errors.Is(err, redlock.ErrHeld) {
			t.Errorf("a, which was lost: %v", err)
		}
		c.Delete("a")
		c.Hold("a", time.Minute)
		time.Sleep(20 * time.Second)
		mustUnlock(t, blocks)
		synctest.Wait()
		select {
		case r := <-got:
			t.Fatalf("LockAll returned %v, %v though another has a", r.leases, r.err)
		default:
		}
		c.Delete("a")
		r := <-got
		if r.err != nil || r.leases.Err() != nil {
			t.Fatalf("%v, %v", r.leases, r.err)
		}
		mustUnlockAll(t, r.leases)
		synctest.Wait()
		c.WantNoLocks(t)
	})
}

// A lease that ends while others are taken is not returned.
func TestOnlyValidLeasesAreReturned(t *testing.T) {
	t.Parallel()
	for name, take := range map[string]func(context.Context, ...*redlock.Mutex) (*redlock.Leases, error){
		"LockAll": redlock.LockAll, "TryLockAll": redlock.TryLockAll,
	} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(5)
			l := c.Locker(t)
			for i, m := range c.Masters { // so that b takes a second round trip, which lasts
				m.SetFence("b", strconv.Itoa(4_000_000_000_000_000+i))
			}
			c.Slow(wire.Repair, 150*time.Millisecond)
			ls, err := take(t.Context(), l.Mutex("a", redlock.WithTTL(100*time.Millisecond)), l.Mutex("b"))
			switch {
			case err == nil && ls.Err() == nil:
				mustUnlockAll(t, ls)
			case err == nil:
				t.Errorf("%s returned %v", name, ls)
			case name == "LockAll" || !errors.Is(err, redlock.ErrTooLate):
				t.Errorf("%s: %v", name, err)
			}
			time.Sleep(time.Second)
			c.WantNoLocks(t)
		})
	}
}

// A call whose context ends leaves nothing behind, at whatever moment that happens.
func TestACallThatEndsAnywhereLeavesNothing(t *testing.T) {
	t.Parallel()
	for step := range 40 {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(5)
			c.Latency(2 * time.Millisecond)
			l, other := c.Locker(t), c.Locker(t)
			blocks := []*redlock.Lease{lockEverywhere(t, other, "b"), lockEverywhere(t, other, "d")}
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(step)*time.Millisecond/2)
			defer cancel()
			for i, le := range blocks { // after 5 and 10 ms
				time.AfterFunc(time.Duration(i+1)*5*time.Millisecond, func() { _ = le.Unlock(context.Background()) })
			}
			ls, err := redlock.LockAll(ctx, mutexes(l, "a", "b", "c", "d", "e")...)
			switch {
			case err == nil:
				mustUnlockAll(t, ls)
			case !errors.Is(err, context.DeadlineExceeded), ls != nil:
				t.Errorf("step %d: %v, %v", step, ls, err)
			}
			time.Sleep(time.Second)
			c.WantNoLocks(t)
		})
	}
}

// If calls that do not wait want the same free locks at once, one gets its locks.
func TestOfTryLockAllsThatMeetOneSucceeds(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Log("seed", seed)
	for name, sets := range map[string][][]string{
		"two of one set":   {{"a", "b"}, {"b", "a"}},
		"three of one set": {{"a", "b", "c"}, {"c", "b", "a"}, {"b", "c", "a"}},
		"a circle":         {{"a", "b"}, {"b", "c"}, {"c", "a"}},
		"a longer circle":  {{"a", "b"}, {"b", "c"}, {"c", "d"}, {"d", "a"}},
	} {
		for _, opts := range [][]redlock.Option{nil, {redlock.WithoutFencing()}} {
			t.Run(fmt.Sprint(name, len(opts)), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					random := rand.New(rand.NewPCG(seed, 0))
					c := clustertest.New(5)
					c.Jitter(3 * time.Millisecond)
					lockers := c.Lockers(t, len(sets), opts...)
					for round := range 100 {
						var won atomic.Int32
						errs := make([]error, len(sets))
						var all, decided sync.WaitGroup
						decided.Add(len(sets))
						for i, set := range sets {
							late := time.Duration(random.IntN(300)) * time.Microsecond
							all.Go(func() {
								time.Sleep(late)
								ls, err := redlock.TryLockAll(t.Context(), mutexes(lockers[i], set...)...)
								decided.Done()
								if errs[i] = err; err != nil {
									return
								}
								won.Add(1)
								decided.Wait()
								mustUnlockAll(t, ls)
							})
						}
						all.Wait()
						if won.Load() == 0 {
							t.Fatalf("round %d: none succeeded: %v", round, errors.Join(errs...))
						}
						time.Sleep(time.Second) // the locks that they gave up are released
						c.WantNoLocks(t)
					}
				})
			})
		}
	}
}

// A call that does not wait says at once that the first lock it needs is held, and keeps nothing.
func TestTryLockAllDoesNotWaitForAHolder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		l, other := c.Locker(t), c.Locker(t)
		for _, held := range []string{"a", "b", "c"} {
			blocks := lockEverywhere(t, other, held)
			var err error
			before := c.Sent(wire.Acquire)
			// two round trips, and between them a pause of up to 26 ms
			if d := took(func() { _, err = redlock.TryLockAll(t.Context(), mutexes(l, "a", "b", "c")...) }); d > 30*time.Millisecond {
				t.Errorf("with %s held TryLockAll took %v", held, d)
			}
			q, _ := errors.AsType[*redlock.QuorumError](err)
			if !errors.Is(err, redlock.ErrHeld) || q.Name != held {
				t.Errorf("with %s held: %v", held, err)
			}
			if n := c.Sent(wire.Acquire) - before; held == "a" && n != 15 {
				t.Errorf("with the first lock held it sent %d requests for three", n)
			}
			time.Sleep(100 * time.Millisecond)
			mustUnlock(t, blocks)
			synctest.Wait()
			c.WantNoLocks(t)
		}
	})
}

// The function of DoAll has all locks, renewed; its context ends with the first that is lost.
func TestDoAllEndsWithTheFirstLeaseThatEnds(t *testing.T) {
	t.Parallel()
	for _, lost := range []string{"a", "b", "c"} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(5)
			l := c.Locker(t)
			err := redlock.DoAll(t.Context(), func(ctx context.Context, ls *redlock.Leases) error {
				time.Sleep(time.Minute)
				for _, name := range []string{"a", "b", "c"} {
					if le, ok := l.FromContext(ctx, name); !ok || le != ls.Lease(name) || le.Err() != nil {
						t.Errorf("%s: %v", name, le)
					}
				}
				own := ls.Context()
				c.Delete(lost)
				<-ctx.Done()
				<-own.Done()
				if !errors.Is(context.Cause(ctx), redlock.ErrLost) || !errors.Is(ls.Err(), redlock.ErrLost) ||
					!errors.Is(context.Cause(own), redlock.ErrLost) || ls.Until().After(time.Now()) {
					t.Errorf("%v, %v, %v", context.Cause(ctx), ls.Err(), context.Cause(own))
				}
				return nil
			}, mutexes(l, "c", "a", "b")...)
			if !errors.Is(err, redlock.ErrLost) || !strings.Contains(err.Error(), `do "a", "b", "c"`) {
				t.Errorf("error: %v", err)
			}
			time.Sleep(time.Second)
			c.WantNoLocks(t)
		})
	}
}

func TestAPanicInDoAllReleasesAllLocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t)
		func() {
			defer func() {
				if recover() != "boom" {
					t.Error("the panic did not go on")
				}
			}()
			_ = redlock.TryDoAll(t.Context(), func(context.Context, *redlock.Leases) error { panic("boom") }, mutexes(l, "a", "b")...)
		}()
		synctest.Wait()
		c.WantNoLocks(t)
	})
}

// If LockAll gives up a lock because it must wait for another, the minimum hold does not apply to
// it. The minimum hold of a lock that the caller gets begins when LockAll returns.
func TestAMinimumHoldCountsFromTheReturnOfLockAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l, other := c.Locker(t), c.Locker(t)
		blocks := lockEverywhere(t, other, "b", redlock.WithRenewal(redlock.Forever))
		got := lockAllInBackground(t.Context(), l.Mutex("a", redlock.WithMinHold(time.Minute)), l.Mutex("b"),
			l.Mutex("c", redlock.WithMinHold(time.Minute)))
		time.Sleep(time.Second)
		mustUnlock(t, mustTryLock(t, other, "c"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		gaveUp := lockAllInBackground(ctx, l.Mutex("aa", redlock.WithMinHold(time.Minute)), l.Mutex("b"))
		if r := <-gaveUp; !errors.Is(r.err, context.DeadlineExceeded) {
			t.Error(r.err)
		}
		synctest.Wait()
		mustUnlock(t, mustTryLock(t, other, "aa"))
		time.Sleep(2 * time.Minute)
		mustUnlock(t, blocks)
		r := <-got
		if r.err != nil {
			t.Fatal(r.err)
		}
		time.Sleep(time.Second)
		mustUnlockAll(t, r.leases)
		time.Sleep(58 * time.Second)
		for _, name := range []string{"a", "c"} {
			if _, err := other.TryLock(t.Context(), name); !errors.Is(err, redlock.ErrHeld) {
				t.Errorf("%s within its minimum hold: %v", name, err)
			}
		}
		time.Sleep(2 * time.Second)
		for _, name := range []string{"a", "b", "c"} {
			mustUnlock(t, mustTryLock(t, other, name))
		}
	})
}

// A bound on the renewal counts from the return of LockAll, however long that has waited.
func TestABoundOnRenewalCountsFromTheReturnOfLockAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l, other := c.Locker(t), c.Locker(t)
		blocks := lockEverywhere(t, other, "b", redlock.WithRenewal(redlock.Forever))
		got := lockAllInBackground(t.Context(), l.Mutex("a", redlock.WithRenewal(time.Minute)), l.Mutex("b"))
		time.Sleep(10 * time.Minute)
		mustUnlock(t, blocks)
		r := <-got
		if r.err != nil {
			t.Fatal(r.err)
		}
		a, b := r.leases.Lease("a"), r.leases.Lease("b")
		time.Sleep(20 * time.Second)
		if a.Err() != nil || !errors.Is(b.Err(), redlock.ErrLost) {
			t.Errorf("after 20s: a %v; b, which is not renewed, %v", a.Err(), b.Err())
		}
		time.Sleep(39 * time.Second)
		if a.Err() != nil {
			t.Errorf("after 59s: %v", a.Err())
		}
		time.Sleep(12 * time.Second)
		if !errors.Is(a.Err(), redlock.ErrLost) {
			t.Errorf("after 71s: %v", a.Err())
		}
	})
}

// The error of a call that gave up names the lock that it waited for, and that lock's owner.
func TestTheErrorOfLockAllNamesTheLockItWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l, other := c.Locker(t), c.Locker(t)
		blocks := lockEverywhere(t, other, "b", redlock.WithHolder("worker-7"), redlock.WithRenewal(redlock.Forever))
		var seen recorder
		watched := c.Locker(t, redlock.WithObserver(&seen))
		for _, l := range []*redlock.Locker{l, watched} {
			_, err := redlock.LockAll(t.Context(), l.Mutex("a"), l.Mutex("c", redlock.WithWait(2*time.Second)), l.Mutex("b", redlock.WithWait(time.Hour)))
			q, _ := errors.AsType[*redlock.QuorumError](err)
			if !errors.Is(err, redlock.ErrHeld) || !errors.Is(err, context.DeadlineExceeded) || q.Name != "b" || q.Holder != "worker-7" {
				t.Errorf("error: %v", err)
			}
		}
		var failed []string
		for _, f := range eventsOf[redlock.FailedEvent](&seen) {
			failed = append(failed, fmt.Sprint(f.Name, " ", f.Wait))
		}
		if !slices.Equal(failed, []string{"b 2s"}) {
			t.Errorf("failed: %v", failed)
		}
		mustUnlock(t, blocks)
		synctest.Wait()
		c.WantNoLocks(t)
	})
}

// Close ends a call that waits, and what it held is released.
func TestCloseEndsLockAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l, other := c.Locker(t), c.Locker(t)
		blocks := lockEverywhere(t, other, "b", redlock.WithRenewal(redlock.Forever))
		got := lockAllInBackground(t.Context(), mutexes(l, "a", "b")...)
		time.Sleep(time.Second)
		mustClose(t, l)
		if r := <-got; !errors.Is(r.err, redlock.ErrClosed) {
			t.Errorf("error: %v", r.err)
		}
		mustUnlock(t, blocks)
		synctest.Wait()
		c.WantNoLocks(t)
	})
}

// Goroutines of one process hand the locks over that LockAll waits for, and those it gives up.
func TestLockAllTakesItsTurnInTheProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t)
		a, b := mustLock(t, l, "a"), mustLock(t, l, "b")
		got := lockAllInBackground(t.Context(), mutexes(l, "b", "a")...)
		synctest.Wait()
		before := c.Sent(wire.Acquire)
		next := lockInBackground(t.Context(), l, "a")
		synctest.Wait()
		mustUnlock(t, b)
		mustUnlock(t, a)
		r := <-got
		if r.err != nil {
			t.Fatal(r.err)
		}
		if n := c.Sent(wire.Acquire) - before; n != 5 { // for b, which was free by then
			t.Errorf("%d acquires", n)
		}
		mustUnlockAll(t, r.leases)
		mustUnlock(t, next.lease(t))
		c.WantNoLocks(t)
	})
}

func TestBadMutexesOfLockAllAreNamed(t *testing.T) {
	t.Parallel()
	nodes := clustertest.New(3).Nodes()
	l, other := over(t, nodes), over(t, nodes)
	many := make([]*redlock.Mutex, redlock.MaxAll+1)
	for i := range many {
		many[i] = l.Mutex(fmt.Sprint("n", i))
	}
	for want, ms := range map[string][]*redlock.Mutex{
		"ms: from 1 to 64 mutexes (got 0)":                              nil,
		"ms: from 1 to 64 mutexes (got 65)":                             many,
		"ms[1]: the mutex is nil (got <nil>)":                           {l.Mutex("a"), nil},
		"ms[1]: it is a mutex of another Locker than ms[0] (got b)":     {l.Mutex("a"), other.Mutex("b")},
		"ms[2]: its lock is that of ms[0] too (got a)":                  mutexes(l, "a", "b", "a"),
		"Mutex: it was not made by Locker.Mutex (got <nil>)":            {{}},
		"WithTTL: a TTL is from 3ms (above the clock drift allowed for": {l.Mutex("a", redlock.WithTTL(1))},
	} {
		for _, call := range []func(context.Context, ...*redlock.Mutex) (*redlock.Leases, error){redlock.LockAll, redlock.TryLockAll} {
			_, err := call(t.Context(), ms...)
			if _, ok := errors.AsType[*redlock.OptionError](err); !ok || !strings.HasPrefix(err.Error(), "redlock: "+want) {
				t.Errorf("want %s: %v", want, err)
			}
		}
	}
	for _, do := range []func(context.Context, func(context.Context, *redlock.Leases) error, ...*redlock.Mutex) error{redlock.DoAll, redlock.TryDoAll} {
		if err := do(t.Context(), nil, l.Mutex("a")); err == nil || err.Error() != "redlock: fn: the function is nil (got <nil>)" {
			t.Errorf("without a function: %v", err)
		}
	}
}

func TestNoLeasesCountAsReleased(t *testing.T) {
	t.Parallel()
	var ls *redlock.Leases
	bound, cancel := ls.Bind(t.Context())
	defer cancel()
	for what, err := range map[string]error{
		"Err": ls.Err(), "Extend": ls.Extend(t.Context()), "Unlock": ls.Unlock(t.Context()),
		"Context": context.Cause(ls.Context()), "Bind": context.Cause(bound), "Lease": ls.Lease("a").Err(),
	} {
		if !errors.Is(err, redlock.ErrReleased) {
			t.Errorf("%s: %v", what, err)
		}
	}
	<-ls.Done()
	if !ls.Until().IsZero() || ls.String() != "redlock.Leases()" {
		t.Errorf("%v until %v", ls, ls.Until())
	}
}

// The results for several leases are reported by name: each failed one has its error.
func TestLeasesTellWhichOfThemFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t)
		ls := mustLockAll(t, mutexes(l, "a", "b", "c")...)
		synctest.Wait()
		if got := fmt.Sprintf("%v %+v %#v", ls, ls, ls); strings.ContainsFunc(got, func(r rune) bool { return r == '{' }) ||
			!strings.HasPrefix(got, `redlock.Leases(redlock.Lease("a", fence `) {
			t.Error(got)
		}
		c.Delete("b")
		err := ls.Extend(t.Context())
		if !errors.Is(err, redlock.ErrLost) || !strings.Contains(err.Error(), `extend "b"`) || strings.Contains(err.Error(), `"a"`) {
			t.Errorf("Extend: %v", err)
		}
		mustUnlock(t, ls.Lease("a"))
		err = ls.Unlock(t.Context())
		if !errors.Is(err, redlock.ErrLost) || !strings.Contains(err.Error(), `unlock "b"`) || strings.Contains(err.Error(), `"c"`) {
			t.Errorf("Unlock: %v", err)
		}
		if err := ls.Unlock(t.Context()); !errors.Is(err, redlock.ErrLost) && !errors.Is(err, redlock.ErrReleased) {
			t.Errorf("Unlock again: %v", err)
		}
		synctest.Wait()
		c.WantNoLocks(t)
	})
}
