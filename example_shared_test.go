package redlock_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/redlocktest"
)

// Any number of readers have the lock together; a writer has it alone. The writers are programs
// that lock the name as ever.
func ExampleMutex_Shared() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	catalog := locks.Mutex("catalog")
	err = catalog.Shared().Do(ctx, func(ctx context.Context, lease *redlock.Lease) error {
		_, write := catalog.TryLock(ctx)
		fmt.Println("a writer is kept out:", errors.Is(write, redlock.ErrHeld))
		return locks.Mutex("prices").Shared().Do(ctx, func(context.Context, *redlock.Lease) error { return nil })
	})
	fmt.Println(catalog.Shared(), err)
	// Output:
	// a writer is kept out: true
	// redlock.Mutex("catalog", shared) <nil>
}

// A function that is called under a lock can find out whether it may write.
func ExampleLease_Shared() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	save := func(ctx context.Context) error {
		lease, held := locks.FromContext(ctx, "catalog")
		if !held || lease.Shared() {
			return errors.New("the catalog is not locked for writing")
		}
		return nil
	}
	try := func(m *redlock.Mutex) error {
		return m.Do(ctx, func(ctx context.Context, _ *redlock.Lease) error { return save(ctx) })
	}
	fmt.Println(try(locks.Mutex("catalog").Shared()))
	fmt.Println(try(locks.Mutex("catalog")))
	// Output:
	// the catalog is not locked for writing
	// <nil>
}
