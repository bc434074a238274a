package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/clustertest"
	"github.com/go-redlock/redlock/internal/wire"
)

func TestZeroLeaseCountsAsReleased(t *testing.T) {
	t.Parallel()
	for name, le := range map[string]*redlock.Lease{"nil": nil, "zero": new(redlock.Lease)} {
		for what, err := range map[string]error{
			"Err":           le.Err(),
			"Extend":        le.Extend(t.Context()),
			"Unlock":        le.Unlock(t.Context()),
			"Context cause": context.Cause(le.Context()),
		} {
			if !errors.Is(err, redlock.ErrReleased) {
				t.Errorf("%s lease: %s: %v", name, what, err)
			}
		}
		select {
		case <-le.Done():
		default:
			t.Errorf("%s lease: Done is open", name)
		}
		bound, cancel := le.Bind(t.Context())
		if !errors.Is(context.Cause(bound), redlock.ErrReleased) {
			t.Errorf("%s lease: the bound context's cause is %v", name, context.Cause(bound))
		}
		cancel()
		if le.Fence() != 0 || le.Name() != "" || !le.Until().IsZero() {
			t.Errorf("%s lease: %d, %q, %v", name, le.Fence(), le.Name(), le.Until())
		}
		if s := fmt.Sprintf("%v %+v %#v %s", le, le, le, le.LogValue()); s == "" {
			t.Errorf("%s lease prints as nothing", name)
		}
	}
	if le, ok := new(redlock.Locker).FromContext(t.Context(), "a"); ok || le.Err() == nil {
		t.Error("a lease from nowhere")
	}
}

// A program may keep mutexes by value, and assign another to the variable while a lease is in use.
func TestALeaseStaysAsItIsThoughItsMutexIsOverwritten(t *testing.T) {
	t.Parallel()
	type use = func(*redlock.Lease, error)
	calls := map[string]func(context.Context, *redlock.Mutex, *redlock.Semaphore, use){
		"Lock":    func(ctx context.Context, m *redlock.Mutex, _ *redlock.Semaphore, then use) { then(m.Lock(ctx)) },
		"TryLock": func(ctx context.Context, m *redlock.Mutex, _ *redlock.Semaphore, then use) { then(m.TryLock(ctx)) },
		"Do": func(ctx context.Context, m *redlock.Mutex, _ *redlock.Semaphore, then use) {
			_ = m.Do(ctx, func(_ context.Context, le *redlock.Lease) error { then(le, nil); return nil })
		},
		"LockAll": func(ctx context.Context, m *redlock.Mutex, _ *redlock.Semaphore, then use) {
			all, err := redlock.LockAll(ctx, m)
			then(all.Lease("a"), err)
		},
		"Acquire":    func(ctx context.Context, _ *redlock.Mutex, s *redlock.Semaphore, then use) { then(s.Acquire(ctx)) },
		"TryAcquire": func(ctx context.Context, _ *redlock.Mutex, s *redlock.Semaphore, then use) { then(s.TryAcquire(ctx)) },
	}
	for what, call := range calls {
		synctest.Test(t, func(t *testing.T) {
			l := clustertest.New(3).Locker(t)
			m, s := *l.Mutex("a"), *l.Semaphore("a", 1)
			used := false
			call(t.Context(), &m, &s, func(le *redlock.Lease, err error) {
				if err != nil {
					t.Fatal(err)
				}
				m = *l.Mutex("b", redlock.WithTTL(time.Hour), redlock.WithoutFencing()).Shared()
				s = *l.Semaphore("b", 2, redlock.WithTTL(time.Hour))
				mustExtend(t, le)
				if le.Name() != "a" || le.Shared() || le.Until().After(time.Now().Add(redlock.DefaultTTL)) {
					t.Errorf("%s: a lease of %q until %v, shared: %v", what, le.Name(), le.Until(), le.Shared())
				}
				mustUnlock(t, le)
				used = true
			})
			free, err := l.Semaphore("a", 1).TryAcquire(t.Context())
			if !used || err != nil {
				t.Fatalf("%s: called: %v; the permit: %v", what, used, err)
			}
			mustUnlock(t, free)
			mustUnlock(t, mustTryLock(t, l, "a"))
		})
	}
}

// Other libraries notice a loss late: at the next renewal, seconds after the TTL, or never when
// nodes hang.
func TestLeaseEndsExactlyAtItsDeadlineWithAllNodesFrozen(t *testing.T) {
	t.Parallel()
	for _, opts := range [][]redlock.MutexOption{nil, {redlock.WithRenewal(redlock.Forever)}} {
		for _, ttl := range []time.Duration{100 * time.Millisecond, time.Second, 10 * time.Second, time.Hour} {
			synctest.Test(t, func(t *testing.T) {
				c := clustertest.New(5)
				c.Latency(time.Millisecond)
				l := c.Locker(t, redlock.WithTTL(ttl))
				start := time.Now()
				le := mustLock(t, l, "a", opts...)
				c.Freeze()
				bound, cancel := le.Bind(t.Context())
				defer cancel()
				if until := le.Until(); !until.Equal(start.Add(validity(ttl))) {
					t.Errorf("TTL %v: until %v after the start", ttl, until.Sub(start))
				}
				time.Sleep(time.Until(le.Until()) - 1)
				synctest.Wait()
				if le.Err() != nil || le.Context().Err() != nil || bound.Err() != nil {
					t.Errorf("TTL %v: the lease ended before its deadline: %v", ttl, le.Err())
				}
				<-le.Done()
				if at := time.Since(start); at != validity(ttl) {
					t.Errorf("TTL %v: the lease ended after %v, not %v", ttl, at, validity(ttl))
				}
				<-bound.Done()
				for what, err := range map[string]error{
					"Err": le.Err(), "Context": context.Cause(le.Context()), "Bind": context.Cause(bound),
				} {
					if !errors.Is(err, redlock.ErrLost) {
						t.Errorf("TTL %v: %s says %v", ttl, what, err)
					}
				}
				if until := le.Until(); !until.Equal(start.Add(validity(ttl))) {
					t.Errorf("TTL %v: until %v after the loss", ttl, until.Sub(start))
				}
				c.Thaw()
			})
		}
	}
}

// Err looks at the clock itself: it is right even if a timer is late.
func TestErrDoesNotWaitForTheTimer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		clock := new(wallClock)
		l := clustertest.New(3).Locker(t, redlock.WithClock(clock))
		le := mustLock(t, l, "a")
		clock.leap(validity(redlock.DefaultTTL) - 1)
		if le.Err() != nil {
			t.Errorf("lost before the deadline: %v", le.Err())
		}
		clock.leap(1)
		if !errors.Is(le.Err(), redlock.ErrLost) || le.Context().Err() == nil {
			t.Errorf("not lost at the deadline: %v", le.Err())
		}
	})
}

// While a machine is suspended the monotonic clock may stand still. The servers' clocks do not.
func TestSuspendedMachineLosesItsLease(t *testing.T) {
	t.Parallel()
	for ttl, soon := range map[time.Duration]time.Duration{
		2 * time.Second:    time.Second,
		redlock.DefaultTTL: redlock.DefaultTTL / 8,
		time.Minute:        time.Minute / 8,
	} {
		synctest.Test(t, func(t *testing.T) {
			clock := new(wallClock)
			l := clustertest.New(3).Locker(t, redlock.WithClock(clock), redlock.WithTTL(ttl))
			asked, waiting := mustLock(t, l, "asked"), mustLock(t, l, "waiting")
			done := waiting.Done()
			clock.step(time.Hour)
			if !errors.Is(asked.Err(), redlock.ErrLost) {
				t.Errorf("the lease that was asked says %v", asked.Err())
			}
			woke := time.Now()
			<-done
			if d := time.Since(woke); d > soon {
				t.Errorf("TTL %v: the loss was noticed %v after the machine woke", ttl, d)
			}
			if !errors.Is(context.Cause(waiting.Context()), redlock.ErrLost) {
				t.Errorf("cause: %v", context.Cause(waiting.Context()))
			}
		})
	}
}

func TestTimeOfDayNeverLengthensALease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		clock := new(wallClock)
		l := clustertest.New(3).Locker(t, redlock.WithClock(clock))
		start := time.Now()
		le := mustLock(t, l, "a")
		clock.step(-time.Hour)
		<-le.Done()
		if d := time.Since(start); d != validity(redlock.DefaultTTL) {
			t.Errorf("the lease lasted %v", d)
		}
	})
}

// The expiry is sent as a duration: a client whose clock is wrong by years changes nobody's lease.
func TestWrongTimeOfDayChangesNoExpiry(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{-30 * 365 * 24 * time.Hour, 30 * 365 * 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(3)
			clock := new(wallClock)
			clock.step(off)
			l := c.Locker(t, redlock.WithClock(clock))
			start := time.Now()
			le := mustLock(t, l, "a")
			for _, master := range c.Masters {
				if ttl := master.TTL("a"); ttl != redlock.DefaultTTL {
					t.Errorf("the key lives for %v", ttl)
				}
			}
			mustExtend(t, le)
			if d := le.Until().Sub(start); d != validity(redlock.DefaultTTL) {
				t.Errorf("the lease lasts %v", d)
			}
			mustUnlock(t, le)
		})
	}
}

// A lock that took longer than its TTL is not returned as held.
func TestQuorumThatComesTooLateIsNoLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(10 * time.Millisecond)
		clock, seen := new(wallClock), new(recorder)
		l := c.Locker(t, redlock.WithClock(clock), redlock.WithObserver(seen))
		locked := lockInBackground(t.Context(), l, "a")
		time.Sleep(5 * time.Millisecond)
		clock.leap(redlock.DefaultTTL) // the process was paused while the answers were on their way
		r := <-locked
		if r.err != nil {
			t.Fatal(r.err)
		}
		attempts := eventsOf[redlock.AttemptEvent](seen)
		if len(attempts) != 2 || !errors.Is(attempts[0].Err, redlock.ErrTooLate) || attempts[1].Err != nil {
			t.Errorf("attempts: %v", attempts)
		}
		if r.lease.Err() != nil {
			t.Errorf("the lease that was returned: %v", r.lease.Err())
		}
		mustUnlock(t, r.lease)
		mustClose(t, l)
		c.WantNoLocks(t)
	})
}

func TestUntilIsNotInTheFutureOnceTheLeaseHasEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t)
		le := mustLock(t, l, "a")
		time.Sleep(time.Second)
		mustUnlock(t, le)
		if until := le.Until(); until.After(time.Now()) {
			t.Errorf("until %v after Unlock", time.Until(until))
		}
		ended := le.Until()
		time.Sleep(time.Second)
		if !le.Until().Equal(ended) {
			t.Error("it moves on")
		}
	})
}

// The methods of a lease agree with one another whoever calls them and whatever happens meanwhile.
// The race detector helps.
func TestLeaseMayBeUsedConcurrently(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Jitter(2 * time.Millisecond)
		l := c.Locker(t, redlock.WithTTL(time.Second))
		for range 10 {
			le := mustLock(t, l, "a", redlock.WithRenewal(redlock.Forever))
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					for le.Err() == nil {
						_ = le.Extend(t.Context())
						bound, cancel := le.Bind(t.Context())
						_, _, _, _ = le.Until(), le.Fence(), le.Name(), le.String()
						time.Sleep(time.Millisecond)
						cancel()
						<-bound.Done()
					}
					if le.Until().After(time.Now()) || le.Context().Err() == nil {
						t.Error("the lease has ended and has not")
					}
				})
			}
			time.Sleep(300 * time.Millisecond)
			unlocked := make(chan error, 3)
			for range cap(unlocked) {
				go func() { unlocked <- le.Unlock(t.Context()) }()
			}
			var ok int
			for range cap(unlocked) {
				if err := <-unlocked; err == nil {
					ok++
				} else if !errors.Is(err, redlock.ErrReleased) {
					t.Errorf("Unlock: %v", err)
				}
			}
			if ok != 1 {
				t.Errorf("%d of %d Unlocks succeeded", ok, cap(unlocked))
			}
			all.Wait()
		}
	})
}

func TestBindEndsWithEither(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		c := clustertest.New(3)
		l := c.Locker(t)
		parent, end := context.WithCancelCause(context.WithValue(t.Context(), key{}, "kept"))
		le := mustLock(t, l, "a")
		byParent, cancel1 := le.Bind(parent)
		defer cancel1()
		byLease, cancel2 := le.Bind(t.Context())
		defer cancel2()
		byHand, cancel3 := le.Bind(t.Context())
		if byParent.Value(key{}) != "kept" {
			t.Error("the context's values are gone")
		}
		cancel3()
		if !errors.Is(context.Cause(byHand), context.Canceled) || le.Err() != nil {
			t.Errorf("cancel: cause %v, lease %v", context.Cause(byHand), le.Err())
		}
		gaveUp := errors.New("gave up")
		end(gaveUp)
		synctest.Wait()
		if context.Cause(byParent) != gaveUp || byLease.Err() != nil || le.Err() != nil { //nolint:errorlint // the very one
			t.Errorf("parent: cause %v, other %v, lease %v", context.Cause(byParent), byLease.Err(), le.Err())
		}
		mustUnlock(t, le)
		synctest.Wait()
		if !errors.Is(context.Cause(byLease), redlock.ErrReleased) || !errors.Is(byLease.Err(), context.Canceled) {
			t.Errorf("lease: cause %v", context.Cause(byLease))
		}
		late, cancel4 := le.Bind(t.Context())
		defer cancel4()
		if !errors.Is(context.Cause(late), redlock.ErrReleased) {
			t.Errorf("bound after the end: cause %v", context.Cause(late))
		}
	})
}

func TestFromContextFindsTheInnermostLeaseOfThatName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t)
		outer := mustLock(t, l, "a")
		inner, err := l.Lock(outer.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		bound, cancel := inner.Bind(outer.Context())
		defer cancel()
		for what, ctx := range map[string]context.Context{"Context": inner.Context(), "Bind": bound} {
			if le, ok := l.FromContext(ctx, "a"); !ok || le != outer {
				t.Errorf("%s: outer: %v, %v", what, le, ok)
			}
			if le, ok := l.FromContext(ctx, "b"); !ok || le != inner {
				t.Errorf("%s: inner: %v, %v", what, le, ok)
			}
			if le, ok := l.FromContext(ctx, "c"); ok || le != nil {
				t.Errorf("%s: none: %v, %v", what, le, ok)
			}
		}
		if le, ok := c.Locker(t).FromContext(inner.Context(), "a"); ok || le != nil {
			t.Errorf("another Locker finds %v", le)
		}
		mustUnlock(t, inner)
		again, err := l.Lock(inner.Context(), "b") // a context that has ended
		if again != nil || !errors.Is(err, redlock.ErrReleased) {
			t.Errorf("%v, %v", again, err)
		}
		err = l.Do(outer.Context(), "b", func(ctx context.Context, le *redlock.Lease) error {
			if got, ok := l.FromContext(ctx, "b"); !ok || got != le {
				t.Errorf("Do: %v, %v", got, ok)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		mustUnlock(t, outer)
	})
}

// When a majority says that the lock is gone, the lease is lost at once, not only at the deadline.
func TestLeaseIsLostAsSoonAsAMajoritySaysSo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t)
		for _, opts := range [][]redlock.MutexOption{nil, {redlock.WithRenewal(redlock.Forever)}} {
			le := mustLock(t, l, "a", opts...)
			c.Hold("a", time.Minute, 0, 1, 2)
			began := time.Now()
			if opts == nil {
				if err := le.Extend(t.Context()); !errors.Is(err, redlock.ErrLost) {
					t.Errorf("Extend: %v", err)
				}
			}
			<-le.Done()
			if d := time.Since(began); d > redlock.DefaultTTL/2 {
				t.Errorf("lost only after %v", d)
			}
			if err := le.Unlock(t.Context()); !errors.Is(err, redlock.ErrLost) {
				t.Errorf("Unlock: %v", err)
			}
			for _, master := range c.Masters[:3] {
				if master.Owner("a") != "foreign" {
					t.Error("the other owner's lock was touched")
				}
			}
			c.Delete("a", 0, 1, 2)
			c.WantNoLocks(t)
		}
	})
}

func TestLostLeaseIsReleasedWhereItStillStands(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t)
		le := mustLock(t, l, "a")
		c.Delete("a", 0, 1, 2)
		if err := le.Extend(t.Context()); !errors.Is(err, redlock.ErrLost) {
			t.Errorf("Extend: %v", err)
		}
		synctest.Wait()
		c.WantNoLocks(t)
		if s := l.Stats(); s.Leases != 0 || s.Pending != 0 {
			t.Errorf("stats: %+v", s)
		}
	})
}

func TestStatsCountLeasesAndRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(10 * time.Millisecond)
		l := c.Locker(t)
		locked := lockInBackground(t.Context(), l, "a")
		synctest.Wait()
		if s := l.Stats(); s != (redlock.Stats{Pending: 5}) {
			t.Errorf("asking: %+v", s)
		}
		le := locked.lease(t)
		synctest.Wait()
		if s := l.Stats(); s != (redlock.Stats{Leases: 1}) {
			t.Errorf("held: %+v", s)
		}
		mustUnlock(t, le)
		synctest.Wait()
		if s := l.Stats(); s != (redlock.Stats{}) {
			t.Errorf("released: %+v", s)
		}
	})
}

// Owner ids protect a lock from others: no error, log, event or formatted lease shows one.
func TestOwnerIDsAreShownNowhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		log, seen := new(logged), new(recorder)
		opts := []redlock.Option{redlock.WithLogger(log.logger()), redlock.WithObserver(seen), redlock.WithHolder("me")}
		one, other := c.Locker(t, opts...), c.Locker(t, opts...)
		var texts []string
		show := func(v any) { texts = append(texts, fmt.Sprintf("%v %+v %#v %s", v, v, v, v)) }
		work := func() {
			le := mustLock(t, one, "a")
			show(le)
			show(le.LogValue())
			show(le.Context())
			_, err := other.TryLock(t.Context(), "a")
			show(err)
			in, err := other.Inspect(t.Context(), "a")
			show(in)
			show(err)
			c.Freeze(0, 1)
			show(le.Extend(t.Context()))
			show(le.Unlock(t.Context()))
			c.Thaw(0, 1)
			time.Sleep(time.Minute)
			le = mustLock(t, one, "a")
			c.Delete("a", 0, 1)
			show(le.Extend(t.Context()))
			show(le.Unlock(t.Context()))
			le = mustLock(t, one, "a", redlock.WithRenewal(time.Second))
			<-le.Done()
			show(le.Err())
		}
		work()
		mustClose(t, one)
		synctest.Wait() // the timer's goroutine reports the end of the last lease
		for _, e := range eventsOf[redlock.Event](seen) {
			show(e)
		}
		texts = append(texts, log.String())
		if len(c.Owners()) < 3 {
			t.Fatalf("the test knows of %d owner ids only", len(c.Owners()))
		}
		for _, text := range texts {
			for _, owner := range c.Owners() {
				if strings.Contains(text, owner[:16]) {
					t.Errorf("an owner id is shown: %s", text)
				}
			}
		}
	})
}

// If the attempts of a Lock shared one owner id, a late release of one attempt could delete the
// grant of another.
func TestEachAttemptHasAnOwnerIDOfItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		holder := mustLock(t, c.Locker(t), "a", redlock.WithTTL(3*time.Second))
		_ = holder
		seen := new(recorder)
		l := c.Locker(t, redlock.WithObserver(seen))
		le := mustLock(t, l, "a")
		attempts := eventsOf[redlock.AttemptEvent](seen)
		if len(attempts) < 2 {
			t.Fatalf("%d attempts", len(attempts))
		}
		if ids := len(c.Owners()) - 1; ids != len(attempts) {
			t.Errorf("%d owner ids in %d attempts", ids, len(attempts))
		}
		mustUnlock(t, le)
	})
}

// If the release of one attempt is executed late, it deletes nothing that a later attempt was
// granted.
func TestLateRollbackTouchesNoLaterAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t)
		c.Hold("a", 300*time.Millisecond, 0, 1)      // the first attempt gets one node of three
		c.Masters[2].Slow(wire.Release, time.Second) // and its release there takes a while
		le := lockEverywhere(t, l, "a")
		owner, granted := c.Masters[0].Owner("a"), []*clustertest.Master{}
		for _, master := range c.Masters { // the last node has it only if the release came first
			if owner != "" && master.Owner("a") == owner {
				granted = append(granted, master)
			}
		}
		if len(granted) < 2 {
			t.Errorf("%d nodes have the lock", len(granted))
		}
		time.Sleep(2 * time.Second)
		mustExtend(t, le)
		for _, master := range granted {
			if master.Owner("a") != owner {
				t.Errorf("%s: the lock is not the lease's any more", master.Addr())
			}
		}
		mustUnlock(t, le)
	})
}
