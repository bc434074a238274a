package redlocktest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/redlocktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLockersOfOneQuorumExcludeEachOther(t *testing.T) {
	t.Parallel()
	q := redlocktest.New(t, 5)
	a, b := q.Locker(), q.Locker()
	lease, err := a.Lock(t.Context(), "job")
	if err != nil {
		t.Fatal(err)
	}
	if !q.Held("job") {
		t.Error("a held lock is not")
	}
	if _, err := b.TryLock(t.Context(), "job"); !errors.Is(err, redlock.ErrHeld) {
		t.Errorf("the other Locker got %v", err)
	}
	if err := lease.Unlock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := redlock.New(q.Nodes()); err != nil {
		t.Error(err)
	}
}

func TestAMinorityOfFaultsIsNotFeltAndAMajorityIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := redlocktest.New(t, 5)
		locks := q.Locker()
		q.Freeze(0)
		q.Kill(1)
		lease, err := locks.TryLock(t.Context(), "job")
		if err != nil {
			t.Fatal(err)
		}
		if err := lease.Unlock(t.Context()); err != nil {
			t.Fatal(err)
		}
		q.Freeze(2)
		if _, err := locks.TryLock(t.Context(), "job"); !errors.Is(err, redlock.ErrNoQuorum) {
			t.Errorf("with three masters away TryLock says %v", err)
		}
		q.Thaw(2)
		q.Restart(1)
		if _, err := locks.Lock(t.Context(), "job"); err != nil {
			t.Errorf("with one master away again Lock says %v", err)
		}
	})
}

func TestARestartedMasterIsEmpty(t *testing.T) {
	t.Parallel()
	q := redlocktest.New(t, 1)
	if _, err := q.Locker().Lock(t.Context(), "job"); err != nil {
		t.Fatal(err)
	}
	q.Restart(0)
	if q.Held("job") {
		t.Error("the lock has outlived the restart")
	}
}

func TestWhatSomebodyElseHoldsIsHeldUntilTheRelease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := redlocktest.New(t, 3)
		locks := q.Locker()
		release := q.Hold("job")
		time.Sleep(time.Hour) // well past any TTL
		if _, err := locks.TryLock(t.Context(), "job"); !errors.Is(err, redlock.ErrHeld) {
			t.Errorf("TryLock says %v", err)
		}
		time.AfterFunc(time.Minute, release)
		began := time.Now()
		if _, err := locks.Lock(t.Context(), "job"); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(began); waited != time.Minute {
			t.Errorf("Lock waited %v", waited)
		}
	})
}

func TestWhatAnotherProcessSharesIsSharedUntilTheRelease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := redlocktest.New(t, 3)
		locks := q.Locker()
		release := q.Share("job")
		time.Sleep(time.Hour)
		if !q.Held("job") {
			t.Error("a lock that is shared is not held")
		}
		mine, err := locks.Mutex("job").Shared().TryLock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, release)
		time.AfterFunc(2*time.Second, func() { _ = mine.Unlock(t.Context()) })
		began := time.Now()
		if _, err := locks.Lock(t.Context(), "job"); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(began); waited != 2*time.Second {
			t.Errorf("Lock waited %v", waited)
		}
	})
}

func TestALeaseIsLostAtOnce(t *testing.T) {
	t.Parallel()
	q := redlocktest.New(t, 5)
	locks := q.Locker()
	kept, err := locks.Lock(t.Context(), "kept")
	if err != nil {
		t.Fatal(err)
	}
	until := kept.Until()
	err = locks.Do(t.Context(), "job", func(ctx context.Context, lease *redlock.Lease) error {
		q.Lose("job")
		if !errors.Is(lease.Err(), redlock.ErrLost) {
			t.Errorf("the lease says %v", lease.Err())
		}
		<-ctx.Done()
		return context.Cause(ctx)
	})
	if !errors.Is(err, redlock.ErrLost) {
		t.Errorf("Do says %v", err)
	}
	if kept.Err() != nil || !kept.Until().Equal(until) {
		t.Errorf("another lease was touched: %v", kept)
	}
}

func TestAnIsolatedLockerIsAloneAndComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := redlocktest.New(t, 5)
		cut, other := q.Locker(), q.Locker()
		rejoin := q.Isolate(cut)
		if _, err := cut.TryLock(t.Context(), "job"); !errors.Is(err, redlock.ErrNoQuorum) {
			t.Errorf("cut off, TryLock says %v", err)
		}
		lease, err := other.TryLock(t.Context(), "job")
		if err != nil {
			t.Fatalf("meanwhile the other's says %v", err)
		}
		if err := lease.Unlock(t.Context()); err != nil {
			t.Error(err)
		}
		rejoin()
		if _, err := cut.Lock(t.Context(), "free"); err != nil {
			t.Errorf("back again, Lock says %v", err)
		}
	})
}

func TestASlowMajorityIsFeltUntilItIsQuickAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := redlocktest.New(t, 3)
		locks := q.Locker(redlock.WithTTL(time.Minute))
		lock := func(name string) time.Duration {
			began := time.Now()
			if _, err := locks.TryLock(t.Context(), name); err != nil {
				t.Error(err)
			}
			return time.Since(began)
		}
		q.Slow(0, 100*time.Millisecond)
		q.Slow(1, 150*time.Millisecond)
		if took := lock("slow"); took != 100*time.Millisecond {
			t.Errorf("two of three slow: %v", took)
		}
		q.Slow(0, 0)
		time.Sleep(time.Second) // until the late answers have come
		if took := lock("quick"); took >= 100*time.Millisecond {
			t.Errorf("one of three slow: %v", took)
		}
	})
}

func TestViewsOfAQuorumHaveKeysOfTheirOwn(t *testing.T) {
	t.Parallel()
	q := redlocktest.New(t, 3)
	billing := q.WithPrefix("billing:")
	release := billing.Hold("job")
	if !q.Held("billing:job") || !billing.Held("job") || q.Held("job") {
		t.Errorf("held are %v, %v, %v", q.Held("billing:job"), billing.Held("job"), q.Held("job"))
	}
	if _, err := billing.Locker().TryLock(t.Context(), "job"); !errors.Is(err, redlock.ErrHeld) {
		t.Errorf("a Locker of the view gets %v", err)
	}
	if _, err := q.Locker().TryLock(t.Context(), "job"); err != nil {
		t.Errorf("a Locker without the prefix gets %v", err)
	}
	release()
	lease, err := q.WithPrefix("bill").WithPrefix("ing:").Locker().TryLock(t.Context(), "job")
	if err != nil {
		t.Fatal(err)
	}
	q.Lose("billing:job")
	if !errors.Is(lease.Err(), redlock.ErrLost) {
		t.Errorf("the lease says %v", lease.Err())
	}
}

func TestTheLeaseOfAFakeHasItsNameAndToken(t *testing.T) {
	t.Parallel()
	for _, fence := range []uint64{0, 1, 7, 1 << 40, 1_790_000_000_000_000} {
		lease, lose := redlocktest.Lease(t, "job", fence)
		if lease.Name() != "job" || lease.Fence() != fence || lease.Err() != nil {
			t.Errorf("%v: want fence %d", lease, fence)
		}
		if left := time.Until(lease.Until()); left < time.Hour {
			t.Errorf("it lasts for %v", left)
		}
		lose()
		if !errors.Is(lease.Err(), redlock.ErrLost) || !errors.Is(context.Cause(lease.Context()), redlock.ErrLost) {
			t.Errorf("after its loss the lease says %v", lease.Err())
		}
	}
	lease, _ := redlocktest.Lease(t, "job", 7)
	if err := lease.Unlock(t.Context()); err != nil {
		t.Error(err)
	}
	if !errors.Is(lease.Err(), redlock.ErrReleased) {
		t.Errorf("after Unlock the lease says %v", lease.Err())
	}
}

// A failing is a test that records how it fails.
type failing struct {
	testing.TB
	failed bool
}

func (f *failing) Helper()               {}
func (f *failing) Fatalf(string, ...any) { f.failed = true; panic(f) }

func TestMistakesFailTheTest(t *testing.T) {
	t.Parallel()
	//nolint:thelper // the functions are mistakes, not helpers
	for name, mistake := range map[string]func(testing.TB){
		"no masters":       func(tb testing.TB) { redlocktest.New(tb, 0) },
		"no such master":   func(tb testing.TB) { redlocktest.New(tb, 3).Freeze(3) },
		"a bad option":     func(tb testing.TB) { redlocktest.New(tb, 3).Locker(redlock.WithTTL(0)) },
		"shared already":   func(tb testing.TB) { q := redlocktest.New(tb, 3); q.Hold("job"); q.Share("job") },
		"held already":     func(tb testing.TB) { q := redlocktest.New(tb, 3); q.Hold("job"); q.Hold("job") },
		"held by nobody":   func(tb testing.TB) { redlocktest.New(tb, 3).Lose("job") },
		"another's prefix": func(tb testing.TB) { q := redlocktest.New(tb, 3); q.Hold("job"); q.WithPrefix("a:").Lose("job") },
		"a negative delay": func(tb testing.TB) { redlocktest.New(tb, 3).Slow(0, -1) },
		"a foreign Locker": func(tb testing.TB) { redlocktest.New(tb, 3).Isolate(redlocktest.New(tb, 3).Locker()) },
		"a bad name":       func(tb testing.TB) { redlocktest.Lease(tb, "", 1) },
		"a token too big":  func(tb testing.TB) { redlocktest.Lease(tb, "job", 1<<60) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &failing{TB: t}
			func() {
				defer func() { _ = recover() }()
				mistake(f)
			}()
			if !f.failed {
				t.Error("it did not")
			}
		})
	}
}
