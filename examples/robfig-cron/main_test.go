package main

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/redlocktest"
)

// A late schedule is the schedule of a machine whose clock is behind.
type late struct {
	cron.Schedule
	by time.Duration
}

func (l late) Next(t time.Time) time.Time { return l.Schedule.Next(t.Add(-l.by)).Add(l.by) }

// machines run a job each minute in schedulers whose clocks differ, until the test ends.
func machines(t *testing.T, q *redlocktest.Quorum, job cron.Job) {
	t.Helper()
	minutely, err := cron.ParseStandard("* * * * *")
	if err != nil {
		t.Fatal(err)
	}
	for _, behind := range []time.Duration{0, 5 * time.Second, 20 * time.Second} {
		c := cron.New()
		c.Schedule(late{minutely, behind}, cron.NewChain(Once(t.Context(), q.Locker(), "report")).Then(job))
		c.Start()
		t.Cleanup(func() { <-c.Stop().Done() })
	}
}

// toHalf waits until 30 s after the next minute, when all machines have run their jobs.
func toHalf() {
	now := time.Now()
	time.Sleep(now.Truncate(time.Minute).Add(time.Minute + 30*time.Second).Sub(now))
}

func TestAJobRunsOnceATickOnMachinesWhoseClocksDiffer(t *testing.T) {
	t.Parallel()
	for name, task := range map[string]time.Duration{"that takes no time": 0, "longer than the TTL": 25 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				toHalf()
				var ran, at atomic.Int32
				machines(t, redlocktest.New(t, 5), cron.FuncJob(func() {
					ran.Add(1)
					if at.Add(1) > 1 {
						t.Error("two machines run the job at once")
					}
					time.Sleep(task)
					at.Add(-1)
				}))
				for tick := range int32(10) {
					toHalf()
					if ran.Load() != tick+1 {
						t.Fatalf("after tick %d the job has run %d times", tick+1, ran.Load())
					}
				}
			})
		})
	}
}

// A patient job runs for hours the first time, unless it is told to stop.
type patient struct {
	begun atomic.Bool
	ended chan error
}

func (*patient) Run() { panic("it is a ContextJob") }

func (p *patient) RunContext(ctx context.Context) {
	if !p.begun.CompareAndSwap(false, true) {
		return
	}
	select {
	case <-ctx.Done():
		p.ended <- context.Cause(ctx)
	case <-time.After(5 * time.Hour):
		p.ended <- nil
	}
}

func TestAJobStopsWhenItsLockIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		toHalf()
		q := redlocktest.New(t, 5)
		job := &patient{ended: make(chan error)}
		machines(t, q, job)
		toHalf()
		q.Lose("report")
		if err := <-job.ended; !errors.Is(err, redlock.ErrLost) {
			t.Errorf("the job ended with %v", err)
		}
	})
}
