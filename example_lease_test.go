package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/redlocktest"
)

// A resource that remembers the greatest token refuses a holder that was paused past its lease and
// does not know that yet.
func ExampleLease_Fence() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	var seen uint64 // kept by the resource
	write := func(token uint64, what string) {
		if token < seen {
			fmt.Println("refused:", what)
			return
		}
		seen = token
		fmt.Println("written:", what)
	}
	first, err := locks.Lock(ctx, "file", redlock.WithTTL(20*time.Millisecond))
	if err != nil {
		panic(err)
	}
	<-first.Done() // the first holder is paused for too long …
	second, err := locks.Lock(ctx, "file")
	if err != nil {
		panic(err)
	}
	write(second.Fence(), "by the second holder")
	write(first.Fence(), "by the first, which wakes up")
	// Output:
	// written: by the second holder
	// refused: by the first, which wakes up
}

func ExampleLease_Context() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	lease, err := locks.Lock(ctx, "ledger", redlock.WithTTL(20*time.Millisecond))
	if err != nil {
		panic(err)
	}
	<-lease.Context().Done()
	fmt.Println(context.Cause(lease.Context()))
	// Output: lease lost
}

// The work ends when its caller gives up, or when the lock is lost, whichever comes first.
func ExampleLease_Bind() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	lease, err := locks.Lock(ctx, "ledger")
	if err != nil {
		panic(err)
	}
	request, hangUp := context.WithCancel(ctx)
	bound, cancel := lease.Bind(request)
	defer cancel()
	hangUp()
	<-bound.Done()
	fmt.Println(context.Cause(bound), lease.Err())
	// Output: context canceled <nil>
}

func ExampleLease_Done() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	lease, err := locks.Lock(ctx, "ledger")
	if err != nil {
		panic(err)
	}
	if err := lease.Unlock(ctx); err != nil {
		fmt.Println(err)
	}
	<-lease.Done()
	fmt.Println(lease.Err())
	// Output: lease released
}

func ExampleLease_Err() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	lease, err := locks.Lock(ctx, "ledger")
	if err != nil {
		panic(err)
	}
	for i := range 3 {
		if err := lease.Err(); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("step", i+1)
	}
	// Output:
	// step 1
	// step 2
	// step 3
}

func ExampleLease_Until() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	lease, err := locks.Lock(ctx, "ledger", redlock.WithTTL(10*time.Second))
	if err != nil {
		panic(err)
	}
	if time.Until(lease.Until()) > 9*time.Second {
		fmt.Println("enough time for a payment")
	}
	// Output: enough time for a payment
}

// If WithRenewal and Do do not fit, a loop can extend its lease itself.
func ExampleLease_Extend() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	lease, err := locks.Lock(ctx, "ledger")
	if err != nil {
		panic(err)
	}
	before := lease.Until()
	err = lease.Extend(ctx)
	if errors.Is(err, redlock.ErrLost) {
		return // stop at once
	}
	fmt.Println(err, lease.Until().After(before))
	// Output: <nil> true
}

func ExampleLease_Unlock() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	lease, err := locks.Lock(ctx, "ledger")
	if err != nil {
		panic(err)
	}
	fmt.Println(lease.Unlock(ctx))
	fmt.Println(errors.Is(lease.Unlock(ctx), redlock.ErrReleased)) // nothing is sent
	// Output:
	// <nil>
	// true
}

func ExampleLease_Name() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)
	lease, err := locks.Lock(ctx, "ledger")
	if err != nil {
		panic(err)
	}
	fmt.Println(lease.Name())
	// Output: ledger
}

// A function deep in the call stack can find out whether a lock is held, and get its token,
// although nobody passes it the lease.
func ExampleLocker_FromContext() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	save := func(ctx context.Context) error {
		lease, ok := locks.FromContext(ctx, "ledger")
		if !ok || lease.Err() != nil {
			return errors.New("save needs the lock of the ledger")
		}
		return nil
	}
	fmt.Println(save(ctx))
	err = locks.Do(ctx, "ledger", func(ctx context.Context, _ *redlock.Lease) error { return save(ctx) })
	fmt.Println(err)
	// Output:
	// save needs the lock of the ledger
	// <nil>
}
