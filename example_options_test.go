package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-redlock/redlock"
)

func ExampleWithTTL() {
	locks := newLocks(redlock.WithTTL(time.Minute)) // for all locks
	defer locks.Close(ctx)

	short := newLease(locks, "ledger", redlock.WithTTL(10*time.Second)) // except this one
	fmt.Println(time.Until(short.Until()).Round(time.Second))
	// Output: 10s
}

// A renewals passes the results of renewals on.
type renewals chan error

func (r renewals) Observe(e redlock.Event) {
	if renewed, ok := e.(redlock.RenewedEvent); ok {
		r <- renewed.Err
	}
}

// A leader keeps its lock as long as it runs.
func ExampleWithRenewal() {
	watch := make(renewals, 10)
	locks := newLocks(redlock.WithTTL(time.Second), redlock.WithObserver(watch))
	defer locks.Close(ctx)

	lease := newLease(locks, "leader", redlock.WithRenewal(redlock.Forever))
	before := lease.Until()
	fmt.Println(<-watch) // after a third of the TTL
	fmt.Println(lease.Until().After(before))
	// Output:
	// <nil>
	// true
}

func ExampleWithWait() {
	locks := newLocks()
	defer locks.Close(ctx)
	newLease(locks, "ledger")

	_, err := locks.Lock(ctx, "ledger", redlock.WithWait(10*time.Millisecond))
	fmt.Println(errors.Is(err, redlock.ErrHeld) || errors.Is(err, context.DeadlineExceeded))
	// Output: true
}

// A very short job does not run twice on machines whose schedules differ a little.
func ExampleWithMinHold() {
	locks := newLocks()
	defer locks.Close(ctx)

	lease := newLease(locks, "report", redlock.WithMinHold(time.Minute))
	fmt.Println(lease.Unlock(ctx))
	_, err := locks.TryLock(ctx, "report")
	fmt.Println(errors.Is(err, redlock.ErrHeld))
	// Output:
	// <nil>
	// true
}

// A lock that only saves work, such as filling a cache once, needs no token.
func ExampleWithoutFencing() {
	locks := newLocks()
	defer locks.Close(ctx)
	fmt.Println(newLease(locks, "cache:front-page", redlock.WithoutFencing()).Fence())
	// Output: 0
}

// One lock has tokens in a Locker whose other locks have none.
func ExampleWithFencing() {
	locks := newLocks(redlock.WithoutFencing())
	defer locks.Close(ctx)
	fmt.Println(newLease(locks, "ledger", redlock.WithFencing()).Fence() > 0)
	// Output: true
}

func ExampleWithFenceRetention() {
	// for names that are locked once a month
	locks := newLocks(redlock.WithFenceRetention(30 * 24 * time.Hour))
	defer locks.Close(ctx)
	fmt.Println(newLease(locks, "monthly").Fence() > 0)
	// Output: true
}

func ExampleWithHolder() {
	host, _ := os.Hostname()
	locks := newLocks(redlock.WithHolder(fmt.Sprintf("%s/%d", host, os.Getpid())))
	defer locks.Close(ctx)
	newLease(locks, "ledger", redlock.WithHolder("web-3/812"))

	_, err := locks.TryLock(ctx, "ledger")
	if refused, ok := errors.AsType[*redlock.QuorumError](err); ok {
		fmt.Println("held by", refused.Holder)
	}
	// Output: held by web-3/812
}

func ExampleWithNodeTimeout() {
	// for masters on three continents
	locks := newLocks(redlock.WithNodeTimeout(500 * time.Millisecond))
	defer locks.Close(ctx)
	fmt.Println(newLease(locks, "ledger").Err())
	// Output: <nil>
}

func ExampleWithKeyPrefix() {
	locks := newLocks(redlock.WithKeyPrefix("billing:")) // the key is billing:ledger
	defer locks.Close(ctx)
	fmt.Println(newLease(locks, "ledger").Name())
	// Output: ledger
}

// A sleeper is the clock of a machine that was suspended: meanwhile the time of day has gone on,
// but the monotonic clock has not.
type sleeper struct{ slept atomic.Int64 }

func (*sleeper) Now() time.Time    { return time.Now() }
func (c *sleeper) Wall() time.Time { return time.Now().Add(time.Duration(c.slept.Load())) }

func (*sleeper) AfterFunc(d time.Duration, f func()) redlock.Timer { return time.AfterFunc(d, f) }

func ExampleWithClock() {
	clock := new(sleeper)
	locks := newLocks(redlock.WithClock(clock))
	defer locks.Close(ctx)

	lease := newLease(locks, "ledger")
	fmt.Println(lease.Err())
	clock.slept.Store(int64(time.Hour))
	fmt.Println(lease.Err())
	// Output:
	// <nil>
	// lease lost
}

func ExampleWithLogger() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{} // so that the output is always the same
			}
			return a
		},
	}))
	locks, err := redlock.New(fiveMasters()[:4], redlock.WithLogger(logger))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer locks.Close(ctx)
	// Output: level=WARN msg="redlock: an even number of nodes tolerates no more failures than one less" nodes=4
}

// A losses counts the leases that were lost.
type losses struct{ lost chan string }

func (l losses) Observe(e redlock.Event) {
	switch e := e.(type) {
	case redlock.LostEvent:
		l.lost <- e.Name + " was lost"
	case redlock.DangerEvent, redlock.DroppedEvent: // also of interest
	}
}

func ExampleWithObserver() {
	watch := losses{make(chan string, 1)}
	locks := newLocks(redlock.WithObserver(watch), redlock.WithTTL(20*time.Millisecond))
	defer locks.Close(ctx)
	newLease(locks, "ledger")
	fmt.Println(<-watch.lost)
	// Output: ledger was lost
}

func ExampleWithRestartGuard() {
	locks := newLocks(redlock.WithRestartGuard(time.Minute))
	defer locks.Close(ctx)

	// no TTL may be longer than the guard
	_, err := locks.Lock(ctx, "ledger", redlock.WithTTL(2*time.Minute))
	bad, ok := errors.AsType[*redlock.OptionError](err)
	fmt.Println(ok, bad.Option)
	// Output: true WithTTL
}
