package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-redlock/redlock"
)

// waitFor makes another process wait for the lock, and returns when each master has its
// subscription.
func waitFor(t *testing.T, addrs []string, name string) waiter {
	t.Helper()
	other := dialed(t, addrs)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	waiting := lockInBackground(ctx, other, name)
	for _, a := range addrs {
		until(t, a, "*2", "PUBSUB", "CHANNELS")
	}
	return waiting
}

// until asks a server until it gives that answer.
func until(t *testing.T, addr, want string, words ...string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; {
		got := order(t, addr, words...)
		if got == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %v: %s, want %s", addr, words, got, want)
		}
	}
}

// A waiter whose subscriptions break subscribes again, and is notified before it would ask again by
// itself.
func TestAWaiterWhoseSubscriptionsAreKilledIsToldAllTheSame(t *testing.T) {
	t.Parallel()
	addrs := servers(t, 3).Addrs()
	lease := mustLock(t, dialed(t, addrs), "job")
	waiting := waitFor(t, addrs, "job")
	for _, a := range addrs {
		if got := order(t, a, "CLIENT", "KILL", "TYPE", "pubsub"); got != ":1" {
			t.Fatalf("%s: %s subscriptions were killed", a, got)
		}
	}
	for _, a := range addrs {
		until(t, a, "*2", "PUBSUB", "CHANNELS")
	}
	mustUnlock(t, lease)
	unlocked := time.Now()
	r := <-waiting
	if d := r.at.Sub(unlocked); r.err != nil || d > 2*time.Second {
		t.Fatalf("%v after the Unlock: %v", d, r.err)
	}
	mustUnlock(t, r.lease)
}

// Masters whose data is deleted know neither the holder nor the waiter. The holder notices that,
// and the waiter asks by itself.
func TestFlushedMastersEndTheLeaseAndTheWait(t *testing.T) {
	t.Parallel()
	addrs := servers(t, 3).Addrs()
	lease := mustLock(t, dialed(t, addrs), "job", redlock.WithRenewal(redlock.Forever))
	waiting := waitFor(t, addrs, "job")
	set(t, addrs, "FLUSHALL")
	flushed := time.Now()
	r := <-waiting
	<-lease.Done()
	if !errors.Is(lease.Err(), redlock.ErrLost) {
		t.Errorf("the lease ended with %v", lease.Err())
	}
	if r.err != nil || r.lease.Fence() <= lease.Fence() {
		t.Fatalf("%v, token after %d: %v", r.lease, lease.Fence(), r.err)
	}
	mustUnlock(t, r.lease)
	if waited, held := r.at.Sub(flushed), time.Since(flushed); max(waited, held) > redlock.DefaultTTL*8/10 {
		t.Errorf("the waiter had the lock after %v, and the holder learned of it after %v", waited, held)
	}
}

func TestProcessesTakeTurnsAtASemaphoreOfRealMasters(t *testing.T) {
	t.Parallel()
	const k, processes, turns = 3, 8, 40
	addrs := servers(t, 3).Addrs()
	var held [k]atomic.Int32
	var tokens [k]atomic.Uint64
	var work sync.WaitGroup
	for i := range processes {
		l := dialed(t, addrs)
		opts := []redlock.MutexOption{redlock.WithHolder(fmt.Sprint("process ", i))}
		work.Go(func() {
			for range turns {
				le, err := l.Semaphore("jobs", k, opts...).Acquire(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if n := held[le.Slot()].Add(1); n != 1 {
					t.Errorf("slot %d is held %d times", le.Slot(), n)
				}
				if last := tokens[le.Slot()].Swap(le.Fence()); last >= le.Fence() {
					t.Errorf("slot %d: token %d after %d", le.Slot(), le.Fence(), last)
				}
				held[le.Slot()].Add(-1)
				if err := le.Unlock(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	slots, err := dialed(t, addrs).InspectSemaphore(t.Context(), "jobs", k)
	if err != nil {
		t.Fatal(err)
	}
	for i, in := range slots {
		if in.Owner != "" || in.Fence < tokens[i].Load() {
			t.Errorf("slot %d: %+v", i, in)
		}
	}
}
