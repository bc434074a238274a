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

func TestALongJobIsOnlyDoneOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := redlocktest.New(t, 5)
		began := make(chan uint64, 2)
		long := func(_ context.Context, _ string, token uint64) error {
			began <- token
			time.Sleep(3 * time.Hour)
			return nil
		}
		a, b := worker{locks: q.Locker(), convert: long}, worker{locks: q.Locker(), convert: long}
		done := make(chan error)
		go func() { done <- a.handle(t.Context(), "film") }()
		first := <-began
		time.Sleep(2 * time.Hour)
		if err := b.handle(t.Context(), "film"); !errors.Is(err, errBusy) {
			t.Errorf("the queue delivers it again after two hours, and the other worker says %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("the job of three hours ends with %v", err)
		}
		if err := b.handle(t.Context(), "film"); err != nil {
			t.Errorf("after that the other worker says %v", err)
		}
		if second := <-began; second <= first {
			t.Errorf("the tokens are %d and %d", first, second)
		}
	})
}

func TestAJobEndsWhenItsLockIsLost(t *testing.T) {
	t.Parallel()
	q := redlocktest.New(t, 5)
	w := worker{locks: q.Locker(), convert: func(ctx context.Context, job string, _ uint64) error {
		q.Lose("job:" + job)
		<-ctx.Done()
		return context.Cause(ctx)
	}}
	if err := w.handle(t.Context(), "film"); !errors.Is(err, redlock.ErrLost) {
		t.Errorf("handle says %v", err)
	}
}
