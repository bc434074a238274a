package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/jonboulle/clockwork"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/redlocktest"
)

// A late clock is behind the other clocks.
type late struct {
	clockwork.Clock
	by time.Duration
}

func (l late) Now() time.Time { return l.Clock.Now().Add(-l.by) }

// machine runs the task each minute in a scheduler whose clock is late, until the test ends.
func machine(t *testing.T, behind time.Duration, task gocron.Task, opts ...gocron.SchedulerOption) gocron.Scheduler {
	t.Helper()
	opts = append(opts, gocron.WithClock(late{clockwork.NewRealClock(), behind}))
	s, err := gocron.NewScheduler(opts...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.NewJob(gocron.CronJob("* * * * *", false), task, gocron.WithName("report")); err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { _ = s.Shutdown() })
	return s
}

// behind is how far each machine's clock is behind.
var behind = []time.Duration{0, 5 * time.Second, 20 * time.Second}

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
				q := redlocktest.New(t, 5)
				var ran, at atomic.Int32
				for _, by := range behind {
					locker := gocron.WithDistributedLocker(Locker{q.Locker()})
					machine(t, by, gocron.NewTask(func(ctx context.Context) {
						ran.Add(1)
						if at.Add(1) > 1 {
							t.Error("two machines run the job at once")
						}
						pause(ctx, task)
						at.Add(-1)
					}), locker)
				}
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

func TestAJobThatLocksItselfRunsOnceATickAndStopsWhenTheLockIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		toHalf()
		q := redlocktest.New(t, 5)
		var ran atomic.Int32
		ended := make(chan error, 1)
		for _, by := range behind {
			machine(t, by, Once(q.Locker(), "report", func(ctx context.Context, _ *redlock.Lease) error {
				if ran.Add(1) == 3 {
					pause(ctx, time.Hour)
					ended <- context.Cause(ctx)
				}
				return ctx.Err()
			}))
		}
		for tick := range int32(3) {
			toHalf()
			if ran.Load() != tick+1 {
				t.Fatalf("after tick %d the job has run %d times", tick+1, ran.Load())
			}
		}
		q.Lose("report")
		if err := <-ended; !errors.Is(err, redlock.ErrLost) {
			t.Errorf("the job ended with %v", err)
		}
	})
}

func TestTheLeaderRunsTheJobsAndTheNextTakesOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		toHalf()
		q := redlocktest.New(t, 5)
		ran := make([]atomic.Int32, 2)
		retire := make([]context.CancelFunc, 2)
		lockers := make([]*redlock.Locker, 2)
		for i := range 2 {
			ctx, cancel := context.WithCancel(t.Context())
			var elector Elector
			lockers[i], retire[i] = q.Locker(), cancel
			go elector.Campaign(ctx, lockers[i], "scheduler")
			synctest.Wait() // the first leads
			machine(t, 0, gocron.NewTask(func() { ran[i].Add(1) }), gocron.WithDistributedElector(&elector))
		}
		runs := func(first, second int32) {
			t.Helper()
			if a, b := ran[0].Load(), ran[1].Load(); a != first || b != second {
				t.Fatalf("the machines have run the job %d and %d times, not %d and %d", a, b, first, second)
			}
		}
		toHalf()
		toHalf()
		toHalf()
		runs(3, 0)
		retire[0]() // like a machine that stops
		toHalf()
		toHalf()
		runs(3, 2)
		q.Isolate(lockers[1]) // and like one that is cut off
		toHalf()
		toHalf()
		runs(3, 2)
	})
}

func TestTheHandbooksLockerIsThisOne(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/once.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```go\n")
	snippet, _, found := strings.Cut(rest, "```\n")
	if !found || !strings.Contains(string(program), strings.Replace(snippet, "30*time.Second", "skew", 1)) {
		t.Errorf("docs/once.md has another:\n%s", snippet)
	}
}
