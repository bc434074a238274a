// Command cron is a nightly report. Every machine starts it at the same time, and one of them makes
// it.
//
//	0 3 * * *  REDLOCK_NODES=10.0.0.1:6379,10.0.0.2:6379,10.0.0.3:6379 cron
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/pool"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	nodes, err := pool.DialList(os.Getenv("REDLOCK_NODES"))
	if err != nil {
		return fmt.Errorf("REDLOCK_NODES: %w", err)
	}
	host, _ := os.Hostname()
	locks, err := redlock.New(nodes, redlock.WithHolder(host))
	if err != nil {
		return err
	}
	defer locks.Close(ctx)
	return once(ctx, locks, "report:nightly", report)
}

// skew is longer than the machines' schedules can differ, and shorter than the time between two
// runs. A machine that is late finds the lock still in place, even if the report took only a
// second.
const skew = time.Minute

// once runs job, unless another machine runs it or has just run it.
func once(ctx context.Context, locks *redlock.Locker, name string, job func(context.Context) error) error {
	err := locks.TryDo(ctx, name, func(ctx context.Context, _ *redlock.Lease) error {
		return job(ctx)
	}, redlock.WithMinHold(skew))

	if refused, ok := errors.AsType[*redlock.QuorumError](err); ok && errors.Is(err, redlock.ErrHeld) {
		log.Printf("%s: %q does it", name, refused.Holder)
		return nil
	}
	return err
}

func report(ctx context.Context) error {
	log.Print("making the report")
	return ctx.Err()
}
