// Command worker takes jobs from a queue that may deliver a job twice. It never does a job twice at
// the same time, however long it takes.
//
//	seq 1 9 | REDLOCK_NODES=127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003 go run ./examples/worker
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
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
	w := worker{locks: locks, convert: convert}
	for jobs := bufio.NewScanner(os.Stdin); jobs.Scan(); {
		if err := w.handle(ctx, jobs.Text()); err != nil {
			log.Print(err)
		}
	}
	return nil
}

// errBusy says that another worker has the job: the queue should keep it until that one has
// confirmed it.
var errBusy = errors.New("another worker has the job")

type worker struct {
	locks   *redlock.Locker
	convert func(ctx context.Context, job string, token uint64) error
}

// handle does the job, which may take hours. The lease has a short TTL and is renewed until the job
// ends, so that another worker soon gets the job of a worker that crashes. If the lease is lost,
// the job's context ends.
func (w *worker) handle(ctx context.Context, job string) error {
	err := w.locks.TryDo(ctx, "job:"+job, func(ctx context.Context, lease *redlock.Lease) error {
		return w.convert(ctx, job, lease.Fence())
	}, redlock.WithTTL(10*time.Second))
	if errors.Is(err, redlock.ErrHeld) {
		return errBusy
	}
	return err
}

// convert stores its result with the token, and the store refuses a token lower than one it has
// seen: see examples/fencing.
func convert(ctx context.Context, job string, token uint64) error {
	log.Printf("job %s, token %d", job, token)
	select {
	case <-time.After(time.Second):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
