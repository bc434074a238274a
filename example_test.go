package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/pool"
	"github.com/go-redlock/redlock/redlocktest"
)

// One program does the work, whatever happens to two of the five masters.
func Example() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer locks.Close(ctx)

	err = locks.Do(ctx, "invoice:42", func(ctx context.Context, lease *redlock.Lease) error {
		// ctx ends if the lock is lost; send lease.Fence() with each write
		fmt.Println("paying")
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output: paying
}

func ExampleNew() {
	ctx := context.Background()
	// connects when it must
	nodes, err := pool.Dial("10.0.0.1:6379", "10.0.0.2:6379", "10.0.0.3:6379")
	if err != nil {
		fmt.Println(err)
		return
	}
	locks, err := redlock.New(nodes,
		redlock.WithTTL(30*time.Second),       // for each lock without a TTL of its own
		redlock.WithHolder("web-3"),           // what others see
		redlock.WithRestartGuard(time.Minute)) // the longest TTL in use
	if err != nil {
		fmt.Println(err)
		return
	}
	defer locks.Close(ctx)
	fmt.Printf("%T\n", locks)
	// Output: *redlock.Locker
}

func ExampleLocker_Lock() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	pay := func() (err error) {
		lease, err := locks.Lock(ctx, "invoice:42", redlock.WithWait(5*time.Second))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, lease.Unlock(ctx)) }()
		fmt.Println("paying", lease.Name())
		return nil
	}
	fmt.Println(pay())
	// Output:
	// paying invoice:42
	// <nil>
}

func ExampleLocker_TryLock() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes, redlock.WithHolder("web-3"))
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	lease, err := locks.TryLock(ctx, "invoice:42")
	fmt.Println(err)
	_, err = locks.TryLock(ctx, "invoice:42") // does not wait
	fmt.Println(errors.Is(err, redlock.ErrHeld))
	fmt.Println(lease.Unlock(ctx))
	// Output:
	// <nil>
	// true
	// <nil>
}

// Do renews the lease until the function returns, however long that takes.
func ExampleLocker_Do() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	err = locks.Do(ctx, "invoice:42", func(ctx context.Context, lease *redlock.Lease) error {
		select {
		case <-ctx.Done(): // the lock was lost, or the caller gave up
			return context.Cause(ctx)
		case <-time.After(time.Millisecond): // the work
			return errors.New("no money")
		}
	})
	fmt.Println(err)
	// Output: no money
}

// Several machines start a job at the same time, and one of them does it.
func ExampleLocker_TryDo() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	report := func(context.Context, *redlock.Lease) error {
		fmt.Println("making the report")
		return nil
	}
	for range 3 { // machines, whose clocks differ by less than a minute
		err := locks.TryDo(ctx, "report", report, redlock.WithMinHold(time.Minute))
		if err != nil && !errors.Is(err, redlock.ErrHeld) {
			fmt.Println(err)
		}
	}
	// Output: making the report
}

func ExampleLocker_Mutex() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	// any number of goroutines may use it
	mutex := locks.Mutex("ledger", redlock.WithTTL(time.Minute))
	lease, err := mutex.Lock(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(time.Until(lease.Until()).Round(time.Second))
	fmt.Println(lease.Unlock(ctx))
	// Output:
	// 59s
	// <nil>
}

func ExampleLocker_Inspect() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)
	if _, err := locks.Lock(ctx, "ledger", redlock.WithHolder("web-3")); err != nil {
		fmt.Println(err)
		return
	}

	in, err := locks.Inspect(ctx, "ledger")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("held:", in.Owner != "", "by", in.Holder)
	fmt.Println("for about", in.Left.Round(time.Second))
	// Output:
	// held: true by web-3
	// for about 10s
}

// A program checks when it starts whether it would get locks, and a probe checks whether it still
// would.
func ExampleLocker_Check() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	starting, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	fmt.Println(locks.Check(starting))
	// Output: <nil>
}

// Masters that have never been used need not wait for the quarantine of the restart guard. An
// operator says so once; a program must never do that by itself.
func ExampleLocker_Bootstrap() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes, redlock.WithRestartGuard(time.Minute))
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	_, err = locks.TryLock(ctx, "ledger")
	fmt.Println(errors.Is(err, redlock.ErrNoQuorum))
	fmt.Println(locks.Bootstrap(ctx))
	_, err = locks.TryLock(ctx, "ledger")
	fmt.Println(err)
	// Output:
	// true
	// <nil>
	// <nil>
}

func ExampleLocker_Close() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	lease, err := locks.Lock(ctx, "ledger")
	if err != nil {
		fmt.Println(err)
		return
	}
	closing, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	fmt.Println(locks.Close(closing))
	fmt.Println(lease.Err()) // its code may still run, so it is not released
	_, err = locks.Lock(ctx, "ledger")
	fmt.Println(errors.Is(err, redlock.ErrClosed))
	fmt.Println(lease.Unlock(ctx)) // but may be
	// Output:
	// <nil>
	// locker closed
	// true
	// <nil>
}

func ExampleLocker_Stats() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)
	if _, err := locks.Lock(ctx, "ledger"); err != nil {
		fmt.Println(err)
	}
	fmt.Println(locks.Stats().Leases)
	// Output: 1
}
