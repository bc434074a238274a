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

func ExampleQuorumError() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)
	if _, err := locks.Lock(ctx, "ledger", redlock.WithTTL(time.Minute), redlock.WithHolder("web-3")); err != nil {
		panic(err)
	}

	_, err = locks.TryLock(ctx, "ledger")
	if refused, ok := errors.AsType[*redlock.QuorumError](err); ok {
		fmt.Println(refused.Op, refused.Name, "needs", refused.Needed)
		fmt.Println("try again in", refused.RetryAfter.Round(time.Minute))
	}
	// Output:
	// lock ledger needs 3
	// try again in 1m0s
}

// Two of three masters do not exist.
func ExampleNodeError() {
	ctx := context.Background()
	nodes, err := pool.Dial("127.0.0.1:1", "127.0.0.1:2")
	if err != nil {
		panic(err)
	}
	locks, err := redlock.New(append(nodes, redlocktest.Nodes(1)...))
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	_, err = locks.TryLock(ctx, "ledger")
	if refused, ok := errors.AsType[*redlock.QuorumError](err); ok {
		for _, node := range refused.Nodes {
			if node.Err != nil { // nil where another has the lock, or no answer was needed any more
				fmt.Println(node.Node, "is", node.Verdict)
			}
		}
	}
	// Output:
	// 127.0.0.1:1 is unavailable
	// 127.0.0.1:2 is unavailable
}

func ExampleOptionError() {
	_, err := redlock.New(redlocktest.Nodes(5), redlock.WithTTL(0))
	fmt.Println(err)
	// Output: redlock: WithTTL: a TTL is from 3ms (above the clock drift allowed for) to 24h0m0s (got 0s)
}
