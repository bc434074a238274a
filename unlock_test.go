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

func TestUnlockEndsTheLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t)
		le := mustLock(t, l, "a")
		mustUnlock(t, le)
		if !errors.Is(le.Err(), redlock.ErrReleased) || !errors.Is(context.Cause(le.Context()), redlock.ErrReleased) {
			t.Errorf("Err %v, cause %v", le.Err(), context.Cause(le.Context()))
		}
		select {
		case <-le.Done():
		default:
			t.Error("Done is open")
		}
		c.WantNoLocks(t)
	})
}

// The lease's context ends before the release is sent, so its work stops before another holder's
// begins.
func TestUnlockEndsTheContextBeforeItReleases(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		c.Latency(10 * time.Millisecond)
		le := mustLock(t, c.Locker(t), "a")
		go func() { _ = le.Unlock(context.Background()) }()
		<-le.Done()
		if c.Masters[0].Owner("a") == "" {
			t.Error("the lock was free before the lease had ended")
		}
	})
}

func TestSecondUnlockTouchesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t)
		le := mustLock(t, l, "a")
		mustUnlock(t, le)
		other := mustLock(t, l, "a")
		before := c.Sent()
		if err := le.Unlock(t.Context()); !errors.Is(err, redlock.ErrReleased) {
			t.Errorf("the second Unlock: %v", err)
		}
		synctest.Wait()
		if n := c.Sent() - before; n != 0 || other.Err() != nil {
			t.Errorf("it sent %d requests; the next lease: %v", n, other.Err())
		}
		mustUnlock(t, other)
	})
}

// In other libraries Unlock with a context that has ended leaves the keys behind, until the TTL is
// over.
func TestUnlockReleasesThoughItsContextHasEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		le := mustLock(t, c.Locker(t), "a")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := le.Unlock(ctx); err != nil {
			t.Errorf("Unlock: %v", err)
		}
		c.WantNoLocks(t)
	})
}

// A Lock whose context is cancelled while its requests are under way leaves no key, and reports the
// cancellation.
func TestCancelledLockLeavesNoKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		for i, master := range c.Masters {
			master.Latency(time.Duration(i+1) * 20 * time.Millisecond)
		}
		l := c.Locker(t)
		for name, lock := range map[string]func(context.Context, string, ...redlock.MutexOption) (*redlock.Lease, error){"Lock": l.Lock, "TryLock": l.TryLock} {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			start := time.Now()
			_, err := lock(ctx, "a")
			cancel()
			if d := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || d != 30*time.Millisecond {
				t.Errorf("%s: %v after %v", name, err, d)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			c.WantNoLocks(t)
			if s := l.Stats(); s != (redlock.Stats{}) {
				t.Errorf("%s: %+v", name, s)
			}
		}
	})
}

func TestUnlockTellsThatTheLockWasGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t)
		gone := mustLock(t, l, "gone")
		c.Delete("gone", 0, 1, 2)
		expired := mustLock(t, l, "expired", redlock.WithTTL(time.Second))
		noticed := mustLock(t, l, "noticed", redlock.WithTTL(time.Second))
		<-noticed.Done()
		for _, le := range []*redlock.Lease{gone, expired, noticed} {
			err := le.Unlock(t.Context())
			q, ok := errors.AsType[*redlock.QuorumError](err)
			if !ok || !errors.Is(err, redlock.ErrLost) || q.Op != "unlock" || q.Name != le.Name() {
				t.Errorf("Unlock of %s: %v", le.Name(), err)
			}
			if err := le.Unlock(t.Context()); !errors.Is(err, redlock.ErrReleased) || errors.Is(err, redlock.ErrLost) {
				t.Errorf("the second Unlock of %s: %v", le.Name(), err)
			}
		}
	})
}

func TestUnlockIsFineWhereAMinorityHasLostTheLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		le := mustLock(t, c.Locker(t), "a")
		c.Delete("a", 0)
		c.Hold("a", time.Minute, 1)
		mustUnlock(t, le)
		if c.Masters[1].Owner("a") != "foreign" {
			t.Error("another owner's lock was released")
		}
	})
}

// With one frozen node redsync's Unlock takes 5 s, as does that of any client that waits for all
// nodes.
func TestUnlockDoesNotWaitForFrozenNodes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		le := mustLock(t, c.Locker(t), "a")
		time.Sleep(time.Second)
		c.Freeze(0, 1)
		if d := took(func() { mustUnlock(t, le) }); d != time.Millisecond {
			t.Errorf("Unlock took %v", d)
		}
		c.Thaw(0, 1)
	})
}

func TestUnlockReturnsNoQuorumAtTheNodeTimeoutAndGoesOnInTheBackground(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t)
		le := mustLock(t, l, "a")
		synctest.Wait()
		c.Freeze(0, 1, 2)
		var err error
		if d := took(func() { err = le.Unlock(t.Context()) }); d != 250*time.Millisecond || !errors.Is(err, redlock.ErrNoQuorum) {
			t.Errorf("Unlock took %v: %v", d, err)
		}
		if q, ok := errors.AsType[*redlock.QuorumError](err); !ok || q.Granted != 2 || q.Failed != 3 {
			t.Errorf("Unlock: %v", err)
		}
		if s := l.Stats(); s.Pending < 3 {
			t.Errorf("stats: %+v", s)
		}
		c.Thaw(0, 1, 2)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		c.WantNoLocks(t)
		if s := l.Stats(); s != (redlock.Stats{}) {
			t.Errorf("stats: %+v", s)
		}
	})
}

func TestUnlockDecidesAtOnceWhereNodesRefuseTheConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		le := mustLock(t, c.Locker(t), "a")
		synctest.Wait()
		c.Refuse(0, 1, 2)
		var err error
		if d := took(func() { err = le.Unlock(t.Context()) }); d != 0 || !errors.Is(err, redlock.ErrNoQuorum) {
			t.Errorf("Unlock took %v: %v", d, err)
		}
		c.Heal()
	})
}

// If the reply to a release is lost, the release is sent again, and finds the key gone. That is not
// a lost lease.
func TestLostReplyToAReleaseIsRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t)
		le := mustLock(t, l, "a")
		synctest.Wait()
		c.Masters[0].DropReply(wire.Release, 1)
		mustUnlock(t, le)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if s := l.Stats(); s != (redlock.Stats{}) {
			t.Errorf("stats: %+v", s)
		}
		c.WantNoLocks(t)
	})
}

// The lease's own timer, which looks at the clock from time to time, may fire just when Unlock
// begins.
func TestUnlockIsNotCutShortByTheLeasesTimer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		l := c.Locker(t, redlock.WithTTL(8*time.Second)) // it looks every second
		for i := range 50 {
			le := mustLock(t, l, "a")
			time.Sleep(time.Duration(1+i%6)*time.Second - time.Millisecond*time.Duration(i%2))
			mustUnlock(t, le)
		}
	})
}
