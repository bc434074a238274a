package election_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/election"
	"github.com/go-redlock/redlock/redlocktest"
)

func ExampleNew() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)
	scheduler := election.New(locks, "scheduler",
		redlock.WithTTL(15*time.Second),      // how long the others wait after a crash
		redlock.WithHolder("10.0.0.17:8080")) // where to find the leader
	fmt.Println(scheduler)
	// Output: election.Election("scheduler")
}

// The leader works until its context ends, or until it resigns by returning.
func ExampleElection_Lead() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)
	err = election.New(locks, "scheduler").Lead(ctx, func(ctx context.Context, lease *redlock.Lease) error {
		// ctx ends if the lead is lost, or if the context given to Lead ends; lease.Fence() goes
		// along with each order
		fmt.Println("leading")
		return errors.New("nothing left to do")
	})
	fmt.Println(err)
	// Output:
	// leading
	// nothing left to do
}

func ExampleElection_Leader() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)
	scheduler := election.New(locks, "scheduler", redlock.WithHolder("10.0.0.17:8080"))
	_ = scheduler.Lead(ctx, func(ctx context.Context, lease *redlock.Lease) error {
		leader, err := scheduler.Leader(ctx)
		fmt.Println(leader.Holder, leader.Fence == lease.Fence(), err)
		return nil
	})
	leader, err := scheduler.Leader(ctx)
	fmt.Println(leader == election.Leader{}, err)
	// Output:
	// 10.0.0.17:8080 true <nil>
	// true <nil>
}

// A proxy sends requests to the leader.
func ExampleElection_Observe() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)
	scheduler := election.New(locks, "scheduler", redlock.WithHolder("10.0.0.17:8080"))
	_ = scheduler.Lead(ctx, func(ctx context.Context, _ *redlock.Lease) error {
		for leader, err := range scheduler.Observe(ctx) {
			switch {
			case err != nil:
				fmt.Println("who leads is unknown:", err)
			case leader == election.Leader{}:
				fmt.Println("nobody leads")
			default:
				fmt.Println("to", leader.Holder)
			}
			break // a proxy goes on
		}
		return nil
	})
	// Output: to 10.0.0.17:8080
}
