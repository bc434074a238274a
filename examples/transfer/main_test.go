package main

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/redlocktest"
)

func TestTransfersInBothDirectionsDoNotDeadlock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// in which nothing but a deadlock lasts
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		q := redlocktest.New(t, 5)
		accounts := map[string]int{"ann": 100, "bob": 100, "cat": 100}
		var mu sync.Mutex
		move := func(from, to string) func(context.Context) error {
			return func(context.Context) error {
				mu.Lock()
				defer mu.Unlock()
				accounts[from]--
				accounts[to]++
				return nil
			}
		}
		var all sync.WaitGroup
		names := []string{"ann", "bob", "cat"}
		for i := range 6 {
			locks := q.Locker()
			from, to := names[i%3], names[(i+1+i/3)%3] // all six pairs
			all.Go(func() {
				for range 20 {
					if err := both(ctx, locks, from, to, move(from, to)); err != nil {
						t.Errorf("%s to %s: %v", from, to, err)
						return
					}
				}
			})
		}
		all.Wait()
		if sum := accounts["ann"] + accounts["bob"] + accounts["cat"]; sum != 300 {
			t.Errorf("the sum is %d: %v", sum, accounts)
		}
	})
}

func TestBothLocksAreHeldAndReleased(t *testing.T) {
	t.Parallel()
	q := redlocktest.New(t, 5)
	locks := q.Locker()
	err := both(t.Context(), locks, "bob", "ann", func(ctx context.Context) error {
		for _, name := range []string{"account:ann", "account:bob"} {
			if lease, ok := locks.FromContext(ctx, name); !ok || lease.Err() != nil || !q.Held(name) {
				t.Errorf("%s is not held", name)
			}
		}
		return nil
	})
	if err != nil || q.Held("account:ann") || q.Held("account:bob") {
		t.Errorf("after both a lock is still held, or it failed: %v", err)
	}
}

func TestTheLossOfEitherLockEndsTheWork(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"account:ann", "account:bob"} {
		q := redlocktest.New(t, 5)
		locks := q.Locker()
		err := both(t.Context(), locks, "bob", "ann", func(ctx context.Context) error {
			q.Lose(name)
			<-ctx.Done()
			return context.Cause(ctx)
		})
		if !errors.Is(err, redlock.ErrLost) {
			t.Errorf("with the loss of %s both says %v", name, err)
		}
	}
}

func TestATransferToOneselfNeedsOneLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// a caller that waits for its own lock waits forever
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		q := redlocktest.New(t, 5)
		if err := both(ctx, q.Locker(), "ann", "ann", func(context.Context) error { return nil }); err != nil {
			t.Error(err)
		}
	})
}
