package redlock_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/memnode"
)

func ExampleQuorumError() {
	locks := newLocks()
	defer locks.Close(ctx)
	newLease(locks, "ledger", redlock.WithTTL(time.Minute), redlock.WithHolder("web-3"))

	_, err := locks.TryLock(ctx, "ledger")
	if refused, ok := errors.AsType[*redlock.QuorumError](err); ok {
		fmt.Println(refused.Op, refused.Name, "needs", refused.Needed)
		fmt.Println("try again in", refused.RetryAfter.Round(time.Minute))
	}
	// Output:
	// lock ledger needs 3
	// try again in 1m0s
}

func ExampleNodeError() {
	masters, nodes := memnode.Cluster(3)
	locks, err := redlock.New(nodes)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer locks.Close(ctx)
	masters[0].Kill()
	masters[1].Kill()

	_, err = locks.TryLock(ctx, "ledger")
	if refused, ok := errors.AsType[*redlock.QuorumError](err); ok {
		for _, node := range refused.Nodes {
			if node.Err != nil { // nil where another has the lock, or no answer was needed any more
				fmt.Printf("%s is %v: %v\n", node.Node, node.Verdict, node.Err)
			}
		}
	}
	// Output:
	// node1 is unavailable: connection refused
	// node2 is unavailable: connection refused
}

func ExampleOptionError() {
	_, err := redlock.New(fiveMasters(), redlock.WithTTL(0))
	fmt.Println(err)
	// Output: redlock: WithTTL: a TTL is from 3ms (above the clock drift allowed for) to 24h0m0s (got 0s)
}
