package redlocktest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/redlocktest"
)

// t is the parameter of a test function: each example is the body of one.
var t *testing.T

func noPayment(context.Context, string, uint64) error { return nil }

// Real locks, one of them held by another process. A Billing locks the invoice that it pays with
// the TryDo of the Locker that it was given.
func ExampleNew() {
	q := redlocktest.New(t, 5)
	billing := &Billing{locks: q.Locker(), pay: noPayment}

	release := q.Hold("invoice:42")
	if err := billing.Pay(t.Context(), "42"); !errors.Is(err, errBusy) {
		t.Errorf("while another process pays it, Pay says %v", err)
	}
	release()
	if err := billing.Pay(t.Context(), "42"); err != nil {
		t.Errorf("after that it says %v", err)
	}
}

// Two processes of a service are two Lockers of one quorum.
func ExampleQuorum_Locker() {
	q := redlocktest.New(t, 5)
	second := &Billing{locks: q.Locker(), pay: noPayment}
	first := &Billing{locks: q.Locker(redlock.WithHolder("web-1")), pay: func(ctx context.Context, id string, _ uint64) error {
		if err := second.Pay(ctx, id); !errors.Is(err, errBusy) {
			t.Errorf("while the first pays it, the second says %v", err)
		}
		return nil
	}}
	if err := first.Pay(t.Context(), "42"); err != nil {
		t.Error(err)
	}
}

// A program that makes its Locker itself can be given the masters instead.
func ExampleQuorum_Nodes() {
	q := redlocktest.New(t, 3)
	locks, err := redlock.New(q.Nodes(), redlock.WithTTL(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer locks.Close(t.Context())
}

func ExampleQuorum_Hold() {
	q := redlocktest.New(t, 5)
	release := q.Hold("job")
	time.AfterFunc(time.Minute, release) // inside synctest.Test that takes no time
	lease, err := q.Locker().Lock(t.Context(), "job")
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Unlock(t.Context())
}

// The work stops when its lock is lost.
func ExampleQuorum_Lose() {
	q := redlocktest.New(t, 5)
	err := q.Locker().Do(t.Context(), "job", func(ctx context.Context, _ *redlock.Lease) error {
		q.Lose("job")
		<-ctx.Done()
		return context.Cause(ctx)
	})
	if !errors.Is(err, redlock.ErrLost) {
		t.Errorf("Do says %v", err)
	}
}

// Nothing is left behind.
func ExampleQuorum_Held() {
	q := redlocktest.New(t, 5)
	billing := &Billing{locks: q.Locker(), pay: func(context.Context, string, uint64) error {
		if !q.Held("invoice:42") {
			t.Error("it is paid without the lock")
		}
		return nil
	}}
	if err := billing.Pay(t.Context(), "42"); err != nil || q.Held("invoice:42") {
		t.Errorf("error %v, lock still held: %v", err, q.Held("invoice:42"))
	}
}

// Inside synctest.Test time passes at once.
func ExampleQuorum_Freeze() {
	q := redlocktest.New(t, 5)
	time.AfterFunc(time.Minute, func() {
		for i := range 3 {
			q.Freeze(i) // a majority
		}
	})
	err := q.Locker().Do(t.Context(), "job", func(ctx context.Context, _ *redlock.Lease) error {
		<-ctx.Done() // at the end of the last renewal's TTL
		return nil
	})
	if !errors.Is(err, redlock.ErrLost) {
		t.Errorf("Do says %v", err)
	}
}

// A master that was frozen goes on, and counts again.
func ExampleQuorum_Thaw() {
	q := redlocktest.New(t, 1)
	q.Freeze(0)
	time.AfterFunc(time.Minute, func() { q.Thaw(0) })
	if _, err := q.Locker().Lock(t.Context(), "job"); err != nil { // after a minute
		t.Error(err)
	}
}

// One master of three may be away; two may not.
func ExampleQuorum_Kill() {
	q := redlocktest.New(t, 3)
	locks := q.Locker()
	q.Kill(0)
	if _, err := locks.TryLock(t.Context(), "one"); err != nil {
		t.Error(err)
	}
	q.Kill(1)
	if _, err := locks.TryLock(t.Context(), "two"); !errors.Is(err, redlock.ErrNoQuorum) {
		t.Errorf("without a majority TryLock says %v", err)
	}
}

// A master that restarts has forgotten its locks, and is kept out for the longest TTL.
func ExampleQuorum_Restart() {
	q := redlocktest.New(t, 1)
	locks := q.Locker(redlock.WithRestartGuard(time.Minute))
	if err := locks.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	q.Restart(0)
	if _, err := locks.TryLock(t.Context(), "job"); !errors.Is(err, redlock.ErrNoQuorum) {
		t.Errorf("in its quarantine TryLock says %v", err)
	}
}

// A lock survives the restart of a majority that writes each change to its disk.
func ExampleQuorum_RestartWithData() {
	q := redlocktest.New(t, 3)
	lease, err := q.Locker().Lock(t.Context(), "job")
	if err != nil {
		t.Fatal(err)
	}
	q.RestartWithData(0)
	q.RestartWithData(1)
	if err := lease.Extend(t.Context()); err != nil {
		t.Error(err)
	}
}

// Locks do not wait for a slow minority.
func ExampleQuorum_Slow() {
	q := redlocktest.New(t, 3)
	q.Slow(2, time.Second)
	began := time.Now()
	if _, err := q.Locker().TryLock(t.Context(), "job"); err != nil || time.Since(began) > time.Millisecond {
		t.Errorf("TryLock says %v after %v", err, time.Since(began))
	}
}

// A process that is cut off loses its lock, and another takes over.
func ExampleQuorum_Isolate() {
	q := redlocktest.New(t, 3)
	first, second := q.Locker(), q.Locker()
	err := first.Do(t.Context(), "job", func(ctx context.Context, lease *redlock.Lease) error {
		rejoin := q.Isolate(first)
		defer rejoin()
		next, err := second.Lock(t.Context(), "job") // at the end of the first one's TTL
		if err != nil || next.Fence() <= lease.Fence() || ctx.Err() == nil {
			t.Errorf("the second got %v, %v; the first's context says %v", next, err, ctx.Err())
		}
		return context.Cause(ctx)
	})
	if !errors.Is(err, redlock.ErrLost) {
		t.Errorf("Do says %v", err)
	}
}

// A service puts a prefix before its keys.
func ExampleQuorum_WithPrefix() {
	q := redlocktest.New(t, 3).WithPrefix("billing:")
	lease, err := q.Locker().Lock(t.Context(), "invoice:42")
	if err != nil {
		t.Fatal(err)
	}
	q.Lose("invoice:42")
	if !errors.Is(lease.Err(), redlock.ErrLost) {
		t.Errorf("the lease says %v", lease.Err())
	}
}

// No locks at all: a Billing takes an interface with one method, which a fake implements. The fake
// needs only a lease.
func ExampleLease() {
	lease, lose := redlocktest.Lease(t, "invoice:42", 7)
	billing := &Billing{
		locks: fakeLocks{lease: lease},
		pay: func(ctx context.Context, _ string, token uint64) error {
			if token != 7 {
				t.Errorf("token %d", token)
			}
			lose()
			<-ctx.Done()
			return context.Cause(ctx)
		},
	}
	if err := billing.Pay(t.Context(), "42"); !errors.Is(err, redlock.ErrLost) {
		t.Errorf("Pay says %v", err)
	}
}
