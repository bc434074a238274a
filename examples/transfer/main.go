// Command transfer moves money between two accounts under the locks of both, without a deadlock.
//
//	REDLOCK_NODES=127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003 go run ./examples/transfer ann bob 15
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/pool"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 3 {
		return errors.New("usage: transfer FROM TO AMOUNT")
	}
	amount, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	nodes, err := pool.DialList(os.Getenv("REDLOCK_NODES"))
	if err != nil {
		return fmt.Errorf("REDLOCK_NODES: %w", err)
	}
	locks, err := redlock.New(nodes)
	if err != nil {
		return err
	}
	defer locks.Close(ctx)

	accounts := map[string]int{"ann": 100, "bob": 100}
	from, to := args[0], args[1]
	return both(ctx, locks, from, to, func(context.Context) error {
		accounts[from] -= amount
		accounts[to] += amount
		fmt.Println(accounts)
		return nil
	})
}

// both runs fn under the locks of two accounts. Two transfers in opposite directions do not wait
// for each other in a circle, whichever account they name first.
//
// The context that fn gets ends as soon as either lock is lost.
func both(ctx context.Context, locks *redlock.Locker, a, b string, fn func(context.Context) error) error {
	accounts := []*redlock.Mutex{locks.Mutex("account:" + a)}
	if b != a { // a transfer to oneself needs one lock
		accounts = append(accounts, locks.Mutex("account:"+b))
	}
	return redlock.DoAll(ctx, func(ctx context.Context, _ *redlock.Leases) error { return fn(ctx) }, accounts...)
}
