// Command leader runs on several machines, of which one at a time leads.
//
//	REDLOCK_NODES=127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003 go run ./examples/leader
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-redlock/redlock"
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
	defer locks.Close(ctx)
	campaign(ctx, locks, "leader", tick)
	return nil
}

// ttl is how long the others wait for a leader that has crashed.
const ttl = 15 * time.Second

// campaign calls lead whenever this process has become the leader, until ctx ends. The context that
// lead gets ends with the leadership.
//
// A leader that ctx ends unlocks, and the next one takes over at once. One that crashes is replaced
// after the TTL.
func campaign(ctx context.Context, locks *redlock.Locker, name string, lead func(context.Context, *redlock.Lease) error) {
	host, _ := os.Hostname()
	mutex := locks.Mutex(name,
		redlock.WithTTL(ttl),
		redlock.WithHolder(fmt.Sprintf("%s/%d", host, os.Getpid())))
	for ctx.Err() == nil {
		if err := mutex.Do(ctx, lead); err != nil && ctx.Err() == nil {
			log.Printf("%s: %v; campaigning again", name, err)
			pause(ctx, time.Second) // some errors come at once, and again
		}
	}
}

// tick is what the leader does. Whatever it writes goes out with the fencing token: a leader that
// was paused, and does not know yet that there is another, is refused by it.
func tick(ctx context.Context, lease *redlock.Lease) error {
	log.Printf("leading, with token %d", lease.Fence())
	for every := time.Tick(time.Second); ; {
		select {
		case <-every:
			log.Print("tick")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
