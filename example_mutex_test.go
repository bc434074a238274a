package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/redlocktest"
)

func ExampleMutex_Lock() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	wait, cancel := context.WithTimeout(ctx, 5*time.Second) // bounds the wait, not the lease
	lease, err := locks.Mutex("ledger").Lock(wait)
	cancel()
	fmt.Println(err, lease.Err())
	// Output: <nil> <nil>
}

func ExampleMutex_TryLock() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	mutex := locks.Mutex("ledger")
	_, first := mutex.TryLock(ctx)
	_, second := mutex.TryLock(ctx)
	fmt.Println(first, errors.Is(second, redlock.ErrHeld))
	// Output: <nil> true
}

func ExampleMutex_Do() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	mutex := locks.Mutex("ledger")
	for range 2 {
		err := mutex.Do(ctx, func(context.Context, *redlock.Lease) error {
			fmt.Println("booking")
			return nil
		})
		if err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// booking
	// booking
}

func ExampleMutex_TryDo() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	mutex := locks.Mutex("ledger")
	err = mutex.TryDo(ctx, func(ctx context.Context, _ *redlock.Lease) error {
		// it is held: by us
		return mutex.TryDo(ctx, func(context.Context, *redlock.Lease) error { return nil })
	})
	fmt.Println(errors.Is(err, redlock.ErrHeld))
	// Output: true
}

func ExampleMutex_Name() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)
	fmt.Println(locks.Mutex("ledger").Name())
	// Output: ledger
}

// The options of a mutex, wherever they were set.
func ExampleMutex_TTL() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes, redlock.WithTTL(30*time.Second))
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)
	fmt.Println(locks.Mutex("job").TTL(), locks.Mutex("short job", redlock.WithTTL(time.Second)).TTL())
	// Output: 30s 1s
}

func ExampleMutex_Holder() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes, redlock.WithHolder("web-3"))
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)
	fmt.Println(locks.Mutex("job").Holder())
	// Output: web-3
}

func ExampleMutex_Inspect() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes, redlock.WithHolder("web-3"))
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)
	job := locks.Mutex("job")
	err = job.Do(ctx, func(ctx context.Context, lease *redlock.Lease) error {
		in, err := job.Inspect(ctx)
		if err != nil {
			return err
		}
		fmt.Println(in.Holder, in.OwnerFence == lease.Fence())
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output: web-3 true
}
