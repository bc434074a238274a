package redlock_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/redlocktest"
)

// At most three workers, in all processes together, import at a time.
func ExampleLocker_Semaphore() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	imports := locks.Semaphore("imports", 3, redlock.WithoutFencing())
	err = imports.Do(ctx, func(context.Context, *redlock.Lease) error {
		fmt.Println("importing")
		return nil
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(imports)
	// Output:
	// importing
	// redlock.Semaphore("imports", 3)
}

func ExampleSemaphore_Acquire() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	permit, err := locks.Semaphore("licences", 2).Acquire(ctx)
	if err != nil {
		panic(err)
	}
	defer func() {
		if err := permit.Unlock(ctx); err != nil { // gives it back
			panic(err)
		}
	}()
	fmt.Println(permit.Err())
	// Output: <nil>
}

func ExampleSemaphore_TryAcquire() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	licences := locks.Semaphore("licences", 2)
	for range 3 {
		_, err := licences.TryAcquire(ctx)
		fmt.Println(errors.Is(err, redlock.ErrHeld))
	}
	// Output:
	// false
	// false
	// true
}

func ExampleSemaphore_Do() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	err = locks.Semaphore("imports", 3).Do(ctx, func(ctx context.Context, permit *redlock.Lease) error {
		return ctx.Err() // it ends when the permit is lost
	})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleSemaphore_TryDo() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	imports := locks.Semaphore("imports", 1)
	err = imports.TryDo(ctx, func(ctx context.Context, _ *redlock.Lease) error {
		return imports.TryDo(ctx, func(context.Context, *redlock.Lease) error { return nil })
	})
	fmt.Println(errors.Is(err, redlock.ErrHeld))
	// Output: true
}

func ExampleSemaphore_Name() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	s := locks.Semaphore("imports", 3)
	fmt.Println(s.Name(), s.Permits())
	// Output: imports 3
}

func ExampleSemaphore_Permits() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	fmt.Println(locks.Semaphore("imports", 3).Permits(), locks.Semaphore("imports", 0).Permits())
	// Output: 3 0
}

// Each GPU is used by one job at a time. Each checks the tokens of its own slot.
func ExampleLease_Slot() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	gpus := []string{"gpu-a", "gpu-b"}
	seen := make(map[int]uint64) // kept by each GPU
	use := func(permit *redlock.Lease) {
		if permit.Fence() < seen[permit.Slot()] {
			fmt.Println("refused")
			return
		}
		seen[permit.Slot()] = permit.Fence()
	}
	for range gpus {
		permit, err := locks.Semaphore("gpus", len(gpus)).Acquire(ctx)
		if err != nil {
			panic(err)
		}
		use(permit)
	}
	fmt.Println(len(seen), "GPUs are in use")
	// Output: 2 GPUs are in use
}

func ExampleLease_Permits() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	lock, err := locks.Lock(ctx, "ledger")
	if err != nil {
		panic(err)
	}
	permit, err := locks.Semaphore("imports", 3).Acquire(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Println(lock.Permits(), permit.Permits())
	// Output: 0 3
}

func ExampleSemaphore_FromContext() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	gpus := locks.Semaphore("gpus", 1)
	use := func(ctx context.Context) {
		if permit, ok := gpus.FromContext(ctx); ok {
			fmt.Println("on GPU", permit.Slot())
		}
	}
	err = gpus.Do(ctx, func(ctx context.Context, _ *redlock.Lease) error {
		use(ctx)
		return nil
	})
	fmt.Println(err)
	// Output:
	// on GPU 0
	// <nil>
}

func ExampleLocker_InspectSemaphore() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	if _, err := locks.Semaphore("licences", 3, redlock.WithHolder("host/7")).Acquire(ctx); err != nil {
		panic(err)
	}
	slots, err := locks.InspectSemaphore(ctx, "licences", 3)
	if err != nil {
		panic(err)
	}
	for _, in := range slots {
		if in.Owner != "" {
			fmt.Println("held by", in.Holder)
		}
	}
	// Output: held by host/7
}

func ExampleSemaphore_Inspect() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	slots, err := locks.Semaphore("licences", 3).Inspect(ctx)
	fmt.Println(len(slots), "slots,", err)
	// Output: 3 slots, <nil>
}
