package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/redlocktest"
)

func TestWorkThatHasBegunIsFinishedAndItsLockReleased(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := redlocktest.New(t, 5)
		stop, cancel := context.WithCancel(t.Context())
		finished, locks := 0, q.Locker()
		began := time.Now()
		time.AfterFunc(5*time.Second, cancel)
		err := serve(stop, locks, func(ctx context.Context) error {
			select {
			case <-time.After(10 * time.Second):
				finished++
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		if err != nil || finished != 1 || q.Held("ledger") {
			t.Errorf("error %v, %d finished, lock still held: %v", err, finished, q.Held("ledger"))
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("it took %v", took)
		}
		if _, err := locks.TryLock(t.Context(), "other"); !errors.Is(err, redlock.ErrClosed) {
			t.Errorf("after serve the Locker says %v", err)
		}
	})
}

func TestWorkIsCutOffAfterTheGrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := redlocktest.New(t, 5)
		stop, cancel := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Second, cancel)
		began := time.Now()
		err := serve(stop, q.Locker(), func(ctx context.Context) error {
			<-ctx.Done()
			return context.Cause(ctx)
		})
		if err != nil || q.Held("ledger") {
			t.Errorf("error %v, lock still held: %v", err, q.Held("ledger"))
		}
		if took := time.Since(began); took != 5*time.Second+grace {
			t.Errorf("it took %v", took)
		}
	})
}

func TestAWaitForTheLockEndsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := redlocktest.New(t, 5)
		q.Hold("ledger")
		stop, cancel := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Second, cancel)
		began := time.Now()
		if err := serve(stop, q.Locker(), func(context.Context) error { return errors.New("not ours") }); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
