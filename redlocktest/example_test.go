package redlocktest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/redlocktest"
)

// t is the parameter of a test function: each example is the body of one.
var t *testing.T

// Real locks, one of them held by another process.
//
// It is the body of a test function, whose parameter is t.
func ExampleNew() {
	q := redlocktest.New(t, 5)
	locks := q.Locker() // for the service under test

	release := q.Hold("invoice:42")
	if _, err := locks.TryLock(t.Context(), "invoice:42"); !errors.Is(err, redlock.ErrHeld) {
		t.Errorf("while another process has it, TryLock says %v", err)
	}
	release()
	if _, err := locks.TryLock(t.Context(), "invoice:42"); err != nil {
		t.Errorf("after that it says %v", err)
	}
}

// Two processes of a service are two Lockers of one quorum.
//
// It is the body of a test function, whose parameter is t.
func ExampleQuorum_Locker() {
	q := redlocktest.New(t, 5)
	first, second := q.Locker(redlock.WithHolder("web-1")), q.Locker()
	err := first.Do(t.Context(), "invoice:42", func(ctx context.Context, _ *redlock.Lease) error {
		if _, err := second.TryLock(ctx, "invoice:42"); !errors.Is(err, redlock.ErrHeld) {
			t.Errorf("while the first has it, the second gets %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A program that makes its Locker itself can be given the masters instead.
//
// It is the body of a test function, whose parameter is t.
func ExampleQuorum_Nodes() {
	q := redlocktest.New(t, 3)
	locks, err := redlock.New(q.Nodes(), redlock.WithTTL(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer locks.Close(t.Context())
}

// It is the body of a test function, whose parameter is t.
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

// Another process reads, and keeps writers out.
//
// It is the body of a test function, whose parameter is t.
func ExampleQuorum_Share() {
	q := redlocktest.New(t, 5)
	release := q.Share("catalog")
	locks := q.Locker()
	if _, err := locks.Mutex("catalog").Shared().TryLock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := locks.TryLock(t.Context(), "catalog"); !errors.Is(err, redlock.ErrHeld) {
		t.Errorf("TryLock says %v", err)
	}
	release()
}

// The work stops when its lock is lost.
//
// It is the body of a test function, whose parameter is t.
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
//
// It is the body of a test function, whose parameter is t.
func ExampleQuorum_Held() {
	q := redlocktest.New(t, 5)
	err := q.Locker().Do(t.Context(), "invoice:42", func(context.Context, *redlock.Lease) error {
		if !q.Held("invoice:42") {
			t.Error("it is paid without the lock")
		}
		return nil
	})
	if err != nil || q.Held("invoice:42") {
		t.Errorf("error %v, lock still held: %v", err, q.Held("invoice:42"))
	}
}

// Inside synctest.Test time passes at once.
//
// It is the body of a test function, whose parameter is t.
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
//
// It is the body of a test function, whose parameter is t.
func ExampleQuorum_Thaw() {
	q := redlocktest.New(t, 1)
	q.Freeze(0)
	time.AfterFunc(time.Minute, func() { q.Thaw(0) })
	if _, err := q.Locker().Lock(t.Context(), "job"); err != nil { // after a minute
		t.Error(err)
	}
}

// One master of three may be away; two may not.
//
// It is the body of a test function, whose parameter is t.
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
//
// It is the body of a test function, whose parameter is t.
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
//
// It is the body of a test function, whose parameter is t.
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
//
// It is the body of a test function, whose parameter is t.
func ExampleQuorum_Slow() {
	q := redlocktest.New(t, 3)
	q.Slow(2, time.Second)
	began := time.Now()
	if _, err := q.Locker().TryLock(t.Context(), "job"); err != nil || time.Since(began) > time.Millisecond {
		t.Errorf("TryLock says %v after %v", err, time.Since(began))
	}
}

// A process that is cut off loses its lock, and another takes over.
//
// It is the body of a test function, whose parameter is t.
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
//
// It is the body of a test function, whose parameter is t.
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

// No locks at all: code that takes a lease gets one that belongs to no Locker.
//
// It is the body of a test function, whose parameter is t.
func ExampleLease() {
	pay := func(ctx context.Context, lease *redlock.Lease) error { // the code under test
		ctx, cancel := lease.Bind(ctx)
		defer cancel()
		<-ctx.Done()
		return context.Cause(ctx)
	}
	lease, lose := redlocktest.Lease(t, "invoice:42", 7)
	time.AfterFunc(time.Millisecond, lose)
	if err := pay(t.Context(), lease); !errors.Is(err, redlock.ErrLost) || lease.Fence() != 7 {
		t.Errorf("with token %d pay says %v", lease.Fence(), err)
	}
}

// Outside a test: a program that tries the library out.
func ExampleNodes() {
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(context.Background())
	err = locks.Do(context.Background(), "job", func(context.Context, *redlock.Lease) error {
		fmt.Println("working")
		return nil
	})
	if err != nil {
		panic(err)
	}
	// Output: working
}
