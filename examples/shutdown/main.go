// Command shutdown works under locks until it is told to stop. Then it finishes its work, and
// leaves no lock behind.
//
//	REDLOCK_NODES=127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003 go run ./examples/shutdown
package main

import (
	"context"
	"errors"
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
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	nodes, err := pool.DialList(os.Getenv("REDLOCK_NODES"))
	if err != nil {
		return fmt.Errorf("REDLOCK_NODES: %w", err)
	}
	locks, err := redlock.New(nodes)
	if err != nil {
		return err
	}
	return serve(stop, locks, book)
}

// grace is how long work that has begun may go on after the signal, and closing how long the
// releases may take. Together they must be shorter than the time after which the system kills the
// process (Kubernetes: 30 s).
const (
	grace   = 20 * time.Second
	closing = 5 * time.Second
)

// serve runs work under the lock of the ledger, again and again, until stop ends. Then it does not
// wait for another lock, lets work go on for the grace, and closes the Locker, which waits until
// its releases are confirmed.
func serve(stop context.Context, locks *redlock.Locker, work func(context.Context) error) error {
	// the context of the work, which ends a grace after stop
	ctx, cancel := context.WithCancel(context.WithoutCancel(stop))
	defer cancel()
	context.AfterFunc(stop, func() {
		select {
		case <-time.After(grace):
			cancel()
		case <-ctx.Done():
		}
	})
	var failed error
	for failed == nil && stop.Err() == nil {
		failed = turn(ctx, stop, locks, work)
	}
	if errors.Is(failed, context.Canceled) && stop.Err() != nil {
		failed = nil // it was told to stop
	}

	last, done := context.WithTimeout(context.WithoutCancel(stop), closing)
	defer done()
	return errors.Join(failed, locks.Close(last))
}

// turn does one piece of work. stop bounds the wait for the lock, ctx the work under it.
func turn(ctx, stop context.Context, locks *redlock.Locker, work func(context.Context) error) (err error) {
	lease, err := locks.Lock(stop, "ledger", redlock.WithRenewal(redlock.Forever))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lease.Unlock(ctx)) }()
	ctx, cancel := lease.Bind(ctx)
	defer cancel()
	return work(ctx)
}

func book(ctx context.Context) error {
	log.Print("booking")
	select {
	case <-time.After(3 * time.Second):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
