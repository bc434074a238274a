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

func TestExtendMovesTheDeadlineToAFullTTLFromItsStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		l := c.Locker(t, redlock.WithTTL(time.Second))
		le := mustLock(t, l, "a")
		fence := le.Fence()
		for range 5 {
			time.Sleep(600 * time.Millisecond)
			start := time.Now()
			mustExtend(t, le)
			if d := le.Until().Sub(start); d != validity(time.Second) {
				t.Errorf("the lease lasts %v from the start of Extend", d)
			}
			if ttl := c.Masters[0].TTL("a"); ttl < 999*time.Millisecond {
				t.Errorf("the key lives for %v", ttl)
			}
		}
		if le.Fence() != fence {
			t.Error("the token has changed")
		}
		<-le.Done()
		if err := le.Extend(t.Context()); !errors.Is(err, redlock.ErrLost) {
			t.Errorf("Extend of a lost lease: %v", err)
		}
	})
}

// A majority of answers is enough. With one frozen node redsync's Extend took 10 s and then failed.
func TestExtendNeedsAMajorityOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		l := c.Locker(t)
		le := mustLock(t, l, "a")
		time.Sleep(time.Second)
		c.Freeze(0, 1)
		for range 3 {
			var err error
			if d := took(func() { err = le.Extend(t.Context()) }); d != time.Millisecond || err != nil {
				t.Errorf("Extend took %v: %v", d, err)
			}
		}
		c.Thaw(0, 1)
		mustUnlock(t, le)
	})
}

// After a failed extension the result is unknown, but the lease is not lost: its deadline stays,
// and Extend may be tried again.
func TestFailedExtensionLeavesTheDeadlineStanding(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t)
		le := mustLock(t, l, "a")
		until := le.Until()
		time.Sleep(time.Second)
		c.Freeze(0, 1, 2)
		var err error
		if d := took(func() { err = le.Extend(t.Context()) }); d != 250*time.Millisecond {
			t.Errorf("Extend took %v", d)
		}
		if !errors.Is(err, redlock.ErrNoQuorum) || errors.Is(err, redlock.ErrLost) {
			t.Errorf("Extend: %v", err)
		}
		if !le.Until().Equal(until) || le.Err() != nil {
			t.Errorf("the lease: until %v, %v", le.Until().Sub(until), le.Err())
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		err = le.Extend(ctx)
		if !errors.Is(err, redlock.ErrNoQuorum) || !errors.Is(err, context.DeadlineExceeded) || le.Err() != nil {
			t.Errorf("Extend whose context ended: %v; the lease: %v", err, le.Err())
		}
		if err := le.Extend(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Extend with a context that has ended: %v", err)
		}
		c.Thaw(0, 1, 2)
		if err := le.Extend(t.Context()); err != nil || !le.Until().After(until) {
			t.Errorf("Extend after the thaw: %v, until %v", err, le.Until().Sub(until))
		}
		mustUnlock(t, le)
	})
}

// rueidislock's holder was still valid a second after another one had the lock, because it waited
// longer than its old deadline.
func TestExtendDoesNotOutlastTheOldDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		l := c.Locker(t, redlock.WithTTL(time.Second), redlock.WithNodeTimeout(900*time.Millisecond))
		le := mustLock(t, l, "a")
		until := le.Until()
		time.Sleep(time.Until(until) - 20*time.Millisecond)
		for _, master := range c.Masters {
			// executed before the deadline, answered after it
			master.Latency(100 * time.Millisecond)
		}
		err := le.Extend(t.Context())
		if !errors.Is(err, redlock.ErrLost) || !time.Now().Equal(until) {
			t.Errorf("Extend returned %v at %v from the deadline", err, time.Since(until))
		}
		time.Sleep(time.Second)
		if !errors.Is(le.Err(), redlock.ErrLost) || le.Until().After(until) {
			t.Error("the lease was revived")
		}
		synctest.Wait()
		c.WantNoLocks(t)
	})
}

// An extension with SET NX would take the lock again: after Unlock, after its expiry, and before
// Lock.
func TestExtendNeverTakesTheLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t, redlock.WithTTL(time.Second))
		unlocked := mustLock(t, l, "a")
		mustUnlock(t, unlocked)
		expired := mustLock(t, l, "a")
		<-expired.Done()
		time.Sleep(time.Second)
		deleted := mustLock(t, l, "a")
		c.Delete("a")
		for what, err := range map[string]error{
			"zero":     new(redlock.Lease).Extend(t.Context()),
			"unlocked": unlocked.Extend(t.Context()),
			"expired":  expired.Extend(t.Context()),
			"deleted":  deleted.Extend(t.Context()),
		} {
			if err == nil {
				t.Errorf("%s lease was extended", what)
			}
		}
		synctest.Wait()
		c.WantNoLocks(t)
		if n := c.Sent(wire.Rejoin); n != 0 {
			t.Errorf("%d requests could have taken the lock", n)
		}
	})
}

func TestExtendOfAnEndedLeaseSendsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t)
		le := mustLock(t, l, "a")
		mustUnlock(t, le)
		lost := mustLock(t, l, "b")
		<-lost.Done()
		closed := mustLock(t, l, "c")
		mustClose(t, l)
		before := c.Sent()
		for want, le := range map[error]*redlock.Lease{redlock.ErrReleased: le, redlock.ErrLost: lost, redlock.ErrClosed: closed} {
			if err := le.Extend(t.Context()); !errors.Is(err, want) {
				t.Errorf("Extend: %v, not %v", err, want)
			}
		}
		if n := c.Sent() - before; n != 0 {
			t.Errorf("%d requests were sent", n)
		}
	})
}

func TestExtendNeverShortensTheKeysLife(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t, redlock.WithTTL(time.Second))
		le := mustLock(t, l, "a")
		c.Masters[0].Set("a", c.Masters[0].Owner("a"), time.Minute)
		mustExtend(t, le)
		if ttl := c.Masters[0].TTL("a"); ttl < 59*time.Second {
			t.Errorf("the key lives for %v now", ttl)
		}
		mustUnlock(t, le)
	})
}

// An answer that is read after the deadline does not revive the lease, even if its timer has not
// fired yet.
func TestAnswerThatComesAfterTheDeadlineRevivesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		c.Latency(10 * time.Millisecond)
		clock := new(wallClock)
		l := c.Locker(t, redlock.WithClock(clock))
		le := lockEverywhere(t, l, "a")
		extended := make(chan error)
		go func() { extended <- le.Extend(t.Context()) }()
		time.Sleep(5 * time.Millisecond)
		clock.leap(redlock.DefaultTTL) // the process was paused
		if err := <-extended; !errors.Is(err, redlock.ErrLost) || !errors.Is(le.Err(), redlock.ErrLost) {
			t.Errorf("Extend: %v; the lease: %v", err, le.Err())
		}
		synctest.Wait()
		time.Sleep(time.Second)
		c.WantNoLocks(t)
	})
}
