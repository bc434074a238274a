// Command tenants does a job for each of many tenants. Several machines share the work without
// knowing of each other.
//
//	REDLOCK_NODES=127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003 go run ./examples/tenants ann bob cat
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/pool"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, tenants []string) error {
	nodes, err := pool.DialList(os.Getenv("REDLOCK_NODES"))
	if err != nil {
		return fmt.Errorf("REDLOCK_NODES: %w", err)
	}
	locks, err := redlock.New(nodes)
	if err != nil {
		return err
	}
	defer locks.Close(ctx)
	return round(ctx, locks, tenants, invoice)
}

// atOnce is the number of tenants that a machine works for at the same time.
const atOnce = 8

// period is the time between two jobs for a tenant. Its lock stays that long, even if the job ends
// sooner, so that no machine does it again in the same round.
const period = time.Hour

// round does the job for each tenant for which no other machine has done it in this period. The
// order is random, so that the machines do not meet at every tenant. It goes on when a job fails,
// and returns all errors.
func round(ctx context.Context, locks *redlock.Locker, tenants []string, job func(ctx context.Context, tenant string) error) error {
	var work errgroup.Group
	work.SetLimit(atOnce)
	faults := make([]error, len(tenants))
	for _, i := range rand.Perm(len(tenants)) {
		work.Go(func() error {
			err := locks.TryDo(ctx, "invoicing:"+tenants[i], func(ctx context.Context, _ *redlock.Lease) error {
				return job(ctx, tenants[i])
			}, redlock.WithMinHold(period))
			if err != nil && !errors.Is(err, redlock.ErrHeld) {
				faults[i] = fmt.Errorf("tenant %s: %w", tenants[i], err)
			}
			return nil
		})
	}
	_ = work.Wait() // always nil
	return errors.Join(faults...)
}

func invoice(ctx context.Context, tenant string) error {
	log.Printf("invoicing %s", tenant)
	return ctx.Err()
}
