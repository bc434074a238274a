// Command robfig-cron runs the jobs of github.com/robfig/cron on one of many machines.
//
//	REDLOCK_NODES=10.0.0.1:6379,10.0.0.2:6379,10.0.0.3:6379 go -C examples/robfig-cron run .
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

	"github.com/robfig/cron/v3"

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
	host, _ := os.Hostname()
	locks, err := redlock.New(nodes, redlock.WithHolder(host))
	if err != nil {
		return err
	}
	defer locks.Close(context.WithoutCancel(ctx))

	c := cron.New()
	if _, err := c.AddJob("* * * * *", cron.NewChain(Once(ctx, locks, "report")).Then(report{})); err != nil {
		return err
	}
	c.Start()
	<-ctx.Done()
	<-c.Stop().Done() // the jobs that run have ended
	return nil
}

// A report is a job that ends when its lock is lost.
type report struct{}

// Run implements [cron.Job].
func (r report) Run() { r.RunContext(context.Background()) }

// RunContext implements [ContextJob].
func (report) RunContext(ctx context.Context) { log.Printf("making the report: %v", ctx.Err()) }

// skew is longer than the machines' schedules can differ, and shorter than the time between two
// runs of a job. A machine that is late finds the lock still in place, even if the job took no
// time.
const skew = 30 * time.Second

// A ContextJob is a job that can be told to stop: its context ends when its lock is lost.
type ContextJob interface {
	cron.Job
	RunContext(ctx context.Context)
}

// Once returns a wrapper that runs a job on the machine that is first to lock the name, and on no
// other. The lock is renewed while the job runs. The job ends with ctx if it is a [ContextJob].
func Once(ctx context.Context, locks *redlock.Locker, name string) cron.JobWrapper {
	return func(job cron.Job) cron.Job {
		return cron.FuncJob(func() {
			err := locks.TryDo(ctx, name, func(ctx context.Context, _ *redlock.Lease) error {
				if j, ok := job.(ContextJob); ok {
					j.RunContext(ctx)
				} else {
					job.Run()
				}
				return nil
			}, redlock.WithMinHold(skew))
			// the machine with the lock runs the job, or has just run it
			if err != nil && !errors.Is(err, redlock.ErrHeld) {
				log.Printf("%s: %v", name, err)
			}
		})
	}
}
