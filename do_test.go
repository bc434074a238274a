package redlock_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/clustertest"
	"github.com/go-redlock/redlock/internal/wire"
)

type job = func(context.Context, *redlock.Lease) error

func TestDoHoldsTheLockWhileTheFunctionRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		one, other := c.Locker(t), c.Locker(t)
		type key struct{}
		ctx := context.WithValue(t.Context(), key{}, "kept")
		err := one.Do(ctx, "a", func(ctx context.Context, le *redlock.Lease) error {
			if le.Name() != "a" || le.Fence() == 0 || ctx.Value(key{}) != "kept" {
				t.Errorf("lease %v", le)
			}
			time.Sleep(3 * redlock.DefaultTTL) // it is renewed for as long as it takes
			if le.Err() != nil || ctx.Err() != nil {
				t.Errorf("the lease: %v; the context: %v", le.Err(), ctx.Err())
			}
			if err := other.TryDo(t.Context(), "a", nil); err == nil {
				t.Error("TryDo of nothing")
			}
			err := other.TryDo(t.Context(), "a", func(context.Context, *redlock.Lease) error {
				t.Error("two run at once")
				return nil
			})
			if !errors.Is(err, redlock.ErrHeld) {
				t.Errorf("TryDo of a held lock: %v", err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		c.WantNoLocks(t)
		ran := false
		if err := other.TryDo(t.Context(), "a", func(context.Context, *redlock.Lease) error { ran = true; return nil }); err != nil || !ran {
			t.Errorf("TryDo of a free lock: %v", err)
		}
	})
}

func TestDoReturnsItsFunctionsErrorAsItIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t)
		mine := errors.New("mine")
		for name, do := range map[string]func(context.Context, string, job, ...redlock.MutexOption) error{"Do": l.Do, "TryDo": l.TryDo} {
			err := do(t.Context(), "a", func(context.Context, *redlock.Lease) error { return mine })
			if err != mine { //nolint:errorlint // the very one
				t.Errorf("%s: %v", name, err)
			}
			c.WantNoLocks(t)
		}
	})
}

func TestDoTellsOfTheLossAsWell(t *testing.T) {
	t.Parallel()
	for _, mine := range []error{nil, errors.New("mine")} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(5)
			l := c.Locker(t, redlock.WithTTL(time.Second))
			start := time.Now()
			err := l.Do(t.Context(), "a", func(ctx context.Context, le *redlock.Lease) error {
				c.Freeze()
				<-ctx.Done()
				if d := time.Since(start); d != validity(time.Second) {
					t.Errorf("the context ended after %v", d)
				}
				if !errors.Is(context.Cause(ctx), redlock.ErrLost) || !errors.Is(le.Err(), redlock.ErrLost) {
					t.Errorf("cause: %v; lease: %v", context.Cause(ctx), le.Err())
				}
				time.Sleep(time.Second) // it returns late
				return mine
			})
			if !errors.Is(err, redlock.ErrLost) || mine != nil && !errors.Is(err, mine) {
				t.Errorf("Do: %v", err)
			}
			if d := time.Since(start); d < validity(time.Second)+time.Second {
				t.Errorf("Do did not wait for its function: %v", d)
			}
			c.Thaw()
		})
	}
}

// If the work was finished while the lease was valid, a failed release must not make the caller do
// it again.
func TestDoReturnsNilForFinishedWorkThoughTheReleaseFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		seen, log := new(recorder), new(logged)
		l := c.Locker(t, redlock.WithObserver(seen), redlock.WithLogger(log.logger()))
		err := l.Do(t.Context(), "a", func(context.Context, *redlock.Lease) error {
			c.Freeze(0, 1, 2)
			return nil
		})
		if err != nil {
			t.Errorf("Do: %v", err)
		}
		released := eventsOf[redlock.ReleasedEvent](seen)
		if len(released) != 1 || !errors.Is(released[0].Err, redlock.ErrNoQuorum) {
			t.Errorf("the observer was told %v", released)
		}
		if log.count("released") != 1 {
			t.Errorf("the log was told %s", log)
		}
		c.Thaw(0, 1, 2)
	})
}

func TestDoReleasesAfterAPanicAndLetsItGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t)
		func() {
			defer func() {
				if r := recover(); r != "help" {
					t.Errorf("recovered %v", r)
				}
			}()
			_ = l.Do(t.Context(), "a", func(context.Context, *redlock.Lease) error { panic("help") })
			t.Error("Do returned")
		}()
		c.WantNoLocks(t)
		mustUnlock(t, mustTryLock(t, l, "a"))
	})
}

func TestDoReleasesWhereItsGoroutineExits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t)
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			_ = l.Do(t.Context(), "a", func(context.Context, *redlock.Lease) error { runtime.Goexit(); return nil })
			t.Error("Do returned")
		}()
		<-gone
		c.WantNoLocks(t)
	})
}

func TestDoesContextEndsWithItsCallersContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := l.Do(ctx, "a", func(ctx context.Context, le *redlock.Lease) error {
			<-ctx.Done()
			if le.Err() != nil {
				t.Errorf("the lease ended with its caller's context: %v", le.Err())
			}
			return ctx.Err()
		})
		if err != context.DeadlineExceeded { //nolint:errorlint // the very one
			t.Errorf("Do: %v", err)
		}
		c.WantNoLocks(t)
	})
}

func TestDoesFunctionMayUnlockEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t)
		err := l.Do(t.Context(), "a", func(ctx context.Context, le *redlock.Lease) error {
			synctest.Wait()
			mustUnlock(t, le)
			<-ctx.Done()
			if !errors.Is(context.Cause(ctx), redlock.ErrReleased) {
				t.Errorf("cause: %v", context.Cause(ctx))
			}
			mustUnlock(t, mustTryLock(t, l, "b"))
			return nil
		})
		if n := c.Sent(wire.Release); err != nil || n > 6 {
			t.Errorf("Do: %v, %d releases", err, n)
		}
	})
}

func TestDoDoesNotCallItsFunctionWithoutTheLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		holder := mustLock(t, c.Locker(t), "a", redlock.WithTTL(time.Hour))
		l := c.Locker(t)
		never := func(context.Context, *redlock.Lease) error { t.Error("called"); return nil }
		if err := l.TryDo(t.Context(), "a", never); !errors.Is(err, redlock.ErrHeld) {
			t.Errorf("TryDo: %v", err)
		}
		err := l.Do(t.Context(), "a", never, redlock.WithWait(time.Second))
		if !errors.Is(err, redlock.ErrHeld) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Do: %v", err)
		}
		c.Refuse(0, 1)
		if err := l.TryDo(t.Context(), "b", never); !errors.Is(err, redlock.ErrNoQuorum) {
			t.Errorf("TryDo: %v", err)
		}
		c.Heal()
		mustUnlock(t, holder)
	})
}

func TestDoHeedsTheMaximumHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t, redlock.WithTTL(3*time.Second))
		start := time.Now()
		err := l.Do(t.Context(), "a", func(ctx context.Context, _ *redlock.Lease) error {
			<-ctx.Done()
			return nil
		}, redlock.WithRenewal(10*time.Second))
		if d := time.Since(start); d < 10*time.Second || d > 13*time.Second || !errors.Is(err, redlock.ErrLost) {
			t.Errorf("Do returned %v after %v", err, d)
		}
	})
}
