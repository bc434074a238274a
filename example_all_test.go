package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/redlocktest"
)

// Two transfers in opposite directions may name the accounts in opposite orders.
func ExampleLockAll() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
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
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	lease, err := locks.Lock(ctx, "account:bob")
	if err != nil {
		panic(err)
	}
	_, err = redlock.TryLockAll(ctx, locks.Mutex("account:ann"), locks.Mutex("account:bob"))
	held, _ := errors.AsType[*redlock.QuorumError](err)
	fmt.Println(errors.Is(err, redlock.ErrHeld), held.Name)
	_ = lease.Unlock(ctx)
	// Output: true account:bob
}

func ExampleDoAll() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	err = redlock.DoAll(ctx, func(ctx context.Context, leases *redlock.Leases) error {
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
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	lease, err := locks.Lock(ctx, "shelf:7")
	if err != nil {
		panic(err)
	}
	err = redlock.TryDoAll(ctx, func(context.Context, *redlock.Leases) error {
		fmt.Println("moving the goods")
		return nil
	}, locks.Mutex("shelf:3"), locks.Mutex("shelf:7"))
	fmt.Println(errors.Is(err, redlock.ErrHeld))
	_ = lease.Unlock(ctx)
	// Output: true
}

// Each resource gets the token of its own name.
func ExampleLeases_Lease() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	leases, err := redlock.LockAll(ctx, locks.Mutex("ann"), locks.Mutex("bob"))
	if err != nil {
		panic(err)
	}
	fmt.Println(leases.Lease("ann").Fence() > 0, leases.Lease("bob").Fence() > 0, leases.Lease("cat"))
	_ = leases.Unlock(ctx)
	// Output: true true redlock.Lease(none)
}

func ExampleLeases_Err() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	leases, err := redlock.LockAll(ctx, locks.Mutex("ann"), locks.Mutex("bob"))
	if err != nil {
		panic(err)
	}
	fmt.Println(leases.Err())
	_ = leases.Lease("bob").Unlock(ctx) // one alone
	fmt.Println(leases.Err())
	_ = leases.Unlock(ctx) // the rest
	// Output:
	// <nil>
	// lease released
}

func ExampleLeases_Until() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes, redlock.WithTTL(time.Minute))
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	leases, err := redlock.LockAll(ctx, locks.Mutex("ann"), locks.Mutex("bob"))
	if err != nil {
		panic(err)
	}
	fmt.Println(time.Until(leases.Until()).Round(time.Minute))
	_ = leases.Unlock(ctx)
	// Output: 1m0s
}

func ExampleLeases_Context() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes, redlock.WithTTL(20*time.Millisecond))
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	leases, err := redlock.LockAll(ctx, locks.Mutex("ann"), locks.Mutex("bob"))
	if err != nil {
		panic(err)
	}
	<-leases.Context().Done()
	fmt.Println(context.Cause(leases.Context()))
	// Output: lease lost
}

// The work ends when its caller gives up, or when a lock is lost, whichever comes first.
func ExampleLeases_Bind() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	leases, err := redlock.LockAll(ctx, locks.Mutex("ann"), locks.Mutex("bob"))
	if err != nil {
		panic(err)
	}
	request, hangUp := context.WithCancel(ctx)
	bound, cancel := leases.Bind(request)
	defer cancel()
	hangUp()
	<-bound.Done()
	fmt.Println(context.Cause(bound), leases.Err())
	// Output: context canceled <nil>
}

func ExampleLeases_Done() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	leases, err := redlock.LockAll(ctx, locks.Mutex("ann"), locks.Mutex("bob"))
	if err != nil {
		panic(err)
	}
	_ = leases.Unlock(ctx)
	<-leases.Done()
	fmt.Println(leases.Err())
	// Output: lease released
}

func ExampleLeases_Extend() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes, redlock.WithTTL(time.Minute))
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	leases, err := redlock.LockAll(ctx, locks.Mutex("ann"), locks.Mutex("bob"))
	if err != nil {
		panic(err)
	}
	before := leases.Until()
	if err := leases.Extend(ctx); err != nil {
		fmt.Println(err)
	}
	fmt.Println(leases.Until().After(before))
	_ = leases.Unlock(ctx)
	// Output: true
}

func ExampleLeases_Unlock() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	leases, err := redlock.LockAll(ctx, locks.Mutex("ann"), locks.Mutex("bob"))
	if err != nil {
		panic(err)
	}
	fmt.Println(leases.Unlock(ctx))
	fmt.Println(leases.Unlock(ctx))
	// Output:
	// <nil>
	// lease released
}
