// Command leader runs on several machines, of which one at a time leads. The others log who it is.
//
//	REDLOCK_NODES=127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003 go run ./examples/leader
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/election"
	"github.com/go-redlock/redlock/pool"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	nodes, err := pool.DialList(os.Getenv("REDLOCK_NODES"))
	if err != nil {
		return fmt.Errorf("REDLOCK_NODES: %w", err)
	}
	locks, err := redlock.New(nodes)
	if err != nil {
		return err
	}
	defer locks.Close(context.WithoutCancel(ctx))
	return serve(ctx, locks, tick)
}

// ttl is how long the others wait for a leader that has crashed.
const ttl = 15 * time.Second

// serve leads whenever this process is elected, and logs who leads, until ctx ends.
//
// When ctx ends, the leader resigns, and the next one takes over at once. A leader that crashes is
// replaced after the TTL.
func serve(ctx context.Context, locks *redlock.Locker, lead func(context.Context, *redlock.Lease) error) error {
	leader := election.New(locks, "leader", redlock.WithTTL(ttl))
	var watching sync.WaitGroup
	watching.Go(func() { watch(ctx, leader) })
	defer watching.Wait()
	if err := leader.Lead(ctx, lead); !errors.Is(err, ctx.Err()) {
		return err
	}
	return nil // told to stop
}

// watch logs each change of the leader.
func watch(ctx context.Context, e *election.Election) {
	for leader, err := range e.Observe(ctx) {
		switch {
		case err != nil:
			log.Printf("who leads is unknown: %v", err)
		case leader == election.Leader{}:
			log.Print("nobody leads")
		default:
			log.Printf("%s leads, with token %d", leader.Holder, leader.Fence)
		}
	}
}

// tick is the leader's work. It sends the fencing token with each write, so that the write of a
// leader that was paused, and does not know yet that there is another one, is refused.
func tick(ctx context.Context, lease *redlock.Lease) error {
	for every := time.Tick(time.Second); ; {
		select {
		case <-every:
			log.Printf("tick, with token %d", lease.Fence())
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
