// Command gocron runs the jobs of github.com/go-co-op/gocron on one of many machines.
//
//	REDLOCK_NODES=10.0.0.1:6379,10.0.0.2:6379,10.0.0.3:6379 go -C examples/gocron run .
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-co-op/gocron/v2"

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

	scheduler, err := gocron.NewScheduler(gocron.WithDistributedLocker(Locker{locks}))
	if err != nil {
		return err
	}
	_, err = scheduler.NewJob(gocron.CronJob("* * * * *", false), gocron.NewTask(report), gocron.WithName("report"))
	if err != nil {
		return err
	}
	scheduler.Start()
	<-ctx.Done()
	return scheduler.Shutdown()
}

func report(ctx context.Context) error {
	log.Print("making the report")
	return ctx.Err()
}

// skew is longer than the machines' schedules can differ, and shorter than the time between two
// runs of a job. A machine that is late finds the lock still in place, even if the job took no
// time.
const skew = 30 * time.Second

// A Locker is a [gocron.Locker]: each job runs on the machine that is first to lock its name. The
// lock is renewed while the job runs.
type Locker struct{ locks *redlock.Locker }

// Lock implements [gocron.Locker]. It does not wait: a machine that is late does not run the job.
func (l Locker) Lock(ctx context.Context, job string) (gocron.Lock, error) {
	lease, err := l.locks.TryLock(ctx, job, redlock.WithRenewal(redlock.Forever), redlock.WithMinHold(skew))
	if err != nil {
		return nil, err // not a Lock that holds a nil lease
	}
	return lease, nil
}

// Once is for a job that must stop when its lock is lost: gocron does not tell a job when the lock
// of a [gocron.Locker] is lost. So Once locks inside the task, in a scheduler without a Locker, and
// the job's context ends with the lock. The job can send the token with what it writes.
func Once(locks *redlock.Locker, name string, job func(context.Context, *redlock.Lease) error) gocron.Task {
	return gocron.NewTask(func(ctx context.Context) error {
		err := locks.TryDo(ctx, name, job, redlock.WithMinHold(skew))
		if errors.Is(err, redlock.ErrHeld) {
			return nil // another machine runs it, or has just run it
		}
		return err
	})
}

// An Elector is a [gocron.Elector]: the machine that leads runs all jobs, until it stops, crashes
// or is cut off. If the leader changes at a tick, two machines whose clocks differ may run the job,
// or none. Where that matters, use a [Locker].
type Elector struct{ lease atomic.Pointer[redlock.Lease] }

// errFollower says that another machine leads.
var errFollower = errors.New("another machine leads")

// IsLeader implements [gocron.Elector].
func (e *Elector) IsLeader(context.Context) error {
	lease := e.lease.Load()
	if lease == nil {
		return errFollower
	}
	return lease.Err() // which looks at the clock itself
}

// Campaign makes this machine a candidate until ctx ends.
func (e *Elector) Campaign(ctx context.Context, locks *redlock.Locker, name string) {
	for ctx.Err() == nil {
		err := locks.Do(ctx, name, func(ctx context.Context, lease *redlock.Lease) error {
			e.lease.Store(lease)
			<-ctx.Done()
			return context.Cause(ctx)
		})
		if ctx.Err() == nil {
			log.Printf("%s: %v; campaigning again", name, err)
			pause(ctx, time.Second) // some errors are returned at once, again and again
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
