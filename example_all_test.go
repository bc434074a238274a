package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-redlock/redlock"
)

// Two transfers in opposite directions may name the accounts in opposite orders.
func ExampleLockAll() {
	locks := newLocks()
	defer locks.Close(ctx)

	leases, err := redlock.LockAll(ctx, locks.Mutex("account:bob"), locks.Mutex("account:ann"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("both accounts are locked:", leases.Err() == nil)
	if err := leases.Unlock(ctx); err != nil {
		fmt.Println(err)
	}
	// Output: both accounts are locked: true
}

func ExampleTryLockAll() {
	locks := newLocks()
	defer locks.Close(ctx)

	lease := newLease(locks, "account:bob")
	_, err := redlock.TryLockAll(ctx, locks.Mutex("account:ann"), locks.Mutex("account:bob"))
	held, _ := errors.AsType[*redlock.QuorumError](err)
	fmt.Println(errors.Is(err, redlock.ErrHeld), held.Name)
	_ = lease.Unlock(ctx)
	// Output: true account:bob
}

func ExampleDoAll() {
	locks := newLocks()
	defer locks.Close(ctx)

	err := redlock.DoAll(ctx, func(ctx context.Context, leases *redlock.Leases) error {
		fmt.Println("moving money while ctx lasts:", ctx.Err() == nil)
		return nil
	}, locks.Mutex("account:ann"), locks.Mutex("account:bob", redlock.WithTTL(time.Minute)))
	if err != nil {
		fmt.Println(err)
	}
	// Output: moving money while ctx lasts: true
}

// Locks that are held are left for the next time.
func ExampleTryDoAll() {
	locks := newLocks()
	defer locks.Close(ctx)

	lease := newLease(locks, "shelf:7")
	err := redlock.TryDoAll(ctx, func(context.Context, *redlock.Leases) error {
		fmt.Println("moving the goods")
		return nil
	}, locks.Mutex("shelf:3"), locks.Mutex("shelf:7"))
	fmt.Println(errors.Is(err, redlock.ErrHeld))
	_ = lease.Unlock(ctx)
	// Output: true
}

func newLeases(locks *redlock.Locker, names ...string) *redlock.Leases {
	var ms []*redlock.Mutex
	for _, name := range names {
		ms = append(ms, locks.Mutex(name))
	}
	leases, err := redlock.LockAll(ctx, ms...)
	if err != nil {
		panic(err)
	}
	return leases
}

// Each resource gets the token of its own name.
func ExampleLeases_Lease() {
	locks := newLocks()
	defer locks.Close(ctx)

	leases := newLeases(locks, "ann", "bob")
	fmt.Println(leases.Lease("ann").Fence() > 0, leases.Lease("bob").Fence() > 0, leases.Lease("cat"))
	_ = leases.Unlock(ctx)
	// Output: true true redlock.Lease(none)
}

func ExampleLeases_Err() {
	locks := newLocks()
	defer locks.Close(ctx)

	leases := newLeases(locks, "ann", "bob")
	fmt.Println(leases.Err())
	_ = leases.Lease("bob").Unlock(ctx) // one alone
	fmt.Println(leases.Err())
	_ = leases.Unlock(ctx) // the rest
	// Output:
	// <nil>
	// lease released
}

func ExampleLeases_Until() {
	locks := newLocks(redlock.WithTTL(time.Minute))
	defer locks.Close(ctx)

	leases := newLeases(locks, "ann", "bob")
	fmt.Println(time.Until(leases.Until()).Round(time.Minute))
	_ = leases.Unlock(ctx)
	// Output: 1m0s
}

func ExampleLeases_Context() {
	locks := newLocks(redlock.WithTTL(20 * time.Millisecond))
	defer locks.Close(ctx)

	leases := newLeases(locks, "ann", "bob")
	<-leases.Context().Done()
	fmt.Println(context.Cause(leases.Context()))
	// Output: lease lost
}

// The work ends when its caller gives up, or when a lock is lost, whichever comes first.
func ExampleLeases_Bind() {
	locks := newLocks()
	defer locks.Close(ctx)

	leases := newLeases(locks, "ann", "bob")
	request, hangUp := context.WithCancel(ctx)
	bound, cancel := leases.Bind(request)
	defer cancel()
	hangUp()
	<-bound.Done()
	fmt.Println(context.Cause(bound), leases.Err())
	// Output: context canceled <nil>
}

func ExampleLeases_Done() {
	locks := newLocks()
	defer locks.Close(ctx)

	leases := newLeases(locks, "ann", "bob")
	_ = leases.Unlock(ctx)
	<-leases.Done()
	fmt.Println(leases.Err())
	// Output: lease released
}

func ExampleLeases_Extend() {
	locks := newLocks(redlock.WithTTL(time.Minute))
	defer locks.Close(ctx)

	leases := newLeases(locks, "ann", "bob")
	before := leases.Until()
	if err := leases.Extend(ctx); err != nil {
		fmt.Println(err)
	}
	fmt.Println(leases.Until().After(before))
	_ = leases.Unlock(ctx)
	// Output: true
}

func ExampleLeases_Unlock() {
	locks := newLocks()
	defer locks.Close(ctx)

	leases := newLeases(locks, "ann", "bob")
	fmt.Println(leases.Unlock(ctx))
	fmt.Println(leases.Unlock(ctx))
	// Output:
	// <nil>
	// lease released
}
