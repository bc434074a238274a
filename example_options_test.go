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
	"github.com/go-redlock/redlock/redlocktest"
)

func ExampleWithTTL() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	// for all locks
	locks, err := redlock.New(nodes, redlock.WithTTL(time.Minute))
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	short, err := locks.Lock(ctx, "ledger", redlock.WithTTL(10*time.Second)) // except this one
	if err != nil {
		panic(err)
	}
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
	ctx := context.Background()
	watch := make(renewals, 10)
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes, redlock.WithTTL(3*time.Second), redlock.WithObserver(watch))
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	lease, err := locks.Lock(ctx, "leader", redlock.WithRenewal(redlock.Forever))
	if err != nil {
		panic(err)
	}
	before := lease.Until()
	fmt.Println(<-watch) // after a third of the TTL
	fmt.Println(lease.Until().After(before))
	// Output:
	// <nil>
	// true
}

func ExampleWithWait() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)
	if _, err := locks.Lock(ctx, "ledger"); err != nil {
		panic(err)
	}

	_, err = locks.Lock(ctx, "ledger", redlock.WithWait(10*time.Millisecond))
	fmt.Println(errors.Is(err, redlock.ErrHeld) || errors.Is(err, context.DeadlineExceeded))
	// Output: true
}

// A very short job does not run twice on machines whose schedules differ a little.
func ExampleWithMinHold() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	lease, err := locks.Lock(ctx, "report", redlock.WithMinHold(time.Minute))
	if err != nil {
		panic(err)
	}
	fmt.Println(lease.Unlock(ctx))
	_, err = locks.TryLock(ctx, "report")
	fmt.Println(errors.Is(err, redlock.ErrHeld))
	// Output:
	// <nil>
	// true
}

// A lock that only saves work, such as filling a cache once, needs no token.
func ExampleWithoutFencing() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes)
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)
	lease, err := locks.Lock(ctx, "cache:front-page", redlock.WithoutFencing())
	if err != nil {
		panic(err)
	}
	fmt.Println(lease.Fence())
	// Output: 0
}

// One lock has tokens in a Locker whose other locks have none.
func ExampleWithFencing() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes, redlock.WithoutFencing())
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)
	lease, err := locks.Lock(ctx, "ledger", redlock.WithFencing())
	if err != nil {
		panic(err)
	}
	fmt.Println(lease.Fence() > 0)
	// Output: true
}

func ExampleWithFenceRetention() {
	ctx := context.Background()
	// for names that are locked once a month
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes, redlock.WithFenceRetention(30*24*time.Hour))
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)
	lease, err := locks.Lock(ctx, "monthly")
	if err != nil {
		panic(err)
	}
	fmt.Println(lease.Fence() > 0)
	// Output: true
}

func ExampleWithHolder() {
	ctx := context.Background()
	host, _ := os.Hostname()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes, redlock.WithHolder(fmt.Sprintf("%s/%d", host, os.Getpid())))
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)
	if _, err := locks.Lock(ctx, "ledger", redlock.WithHolder("web-3/812")); err != nil {
		panic(err)
	}

	_, err = locks.TryLock(ctx, "ledger")
	if refused, ok := errors.AsType[*redlock.QuorumError](err); ok {
		fmt.Println("held by", refused.Holder)
	}
	// Output: held by web-3/812
}

func ExampleWithNodeTimeout() {
	ctx := context.Background()
	// for masters on three continents
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes, redlock.WithNodeTimeout(500*time.Millisecond))
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)
	lease, err := locks.Lock(ctx, "ledger")
	if err != nil {
		panic(err)
	}
	fmt.Println(lease.Err())
	// Output: <nil>
}

func ExampleWithKeyPrefix() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	// the key of "ledger" is billing:ledger
	locks, err := redlock.New(nodes, redlock.WithKeyPrefix("billing:"))
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)
	lease, err := locks.Lock(ctx, "ledger")
	if err != nil {
		panic(err)
	}
	fmt.Println(lease.Name())
	// Output: ledger
}

// A sleeper is the clock of a machine that was suspended: meanwhile the time of day has gone on,
// but the monotonic clock has not.
type sleeper struct{ slept atomic.Int64 }

func (*sleeper) Now() time.Time    { return time.Now() }
func (c *sleeper) Wall() time.Time { return time.Now().Add(time.Duration(c.slept.Load())) }

func (*sleeper) AfterFunc(d time.Duration, f func()) redlock.Timer { return time.AfterFunc(d, f) }

func ExampleWithClock() {
	ctx := context.Background()
	clock := new(sleeper)
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes, redlock.WithClock(clock))
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	lease, err := locks.Lock(ctx, "ledger")
	if err != nil {
		panic(err)
	}
	fmt.Println(lease.Err())
	clock.slept.Store(int64(time.Hour))
	fmt.Println(lease.Err())
	// Output:
	// <nil>
	// lease lost
}

func ExampleWithLogger() {
	ctx := context.Background()
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{} // so that the output is always the same
			}
			return a
		},
	}))
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes[:4], redlock.WithLogger(logger))
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
	ctx := context.Background()
	watch := losses{make(chan string, 1)}
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes, redlock.WithObserver(watch), redlock.WithTTL(20*time.Millisecond))
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)
	if _, err := locks.Lock(ctx, "ledger"); err != nil {
		panic(err)
	}
	fmt.Println(<-watch.lost)
	// Output: ledger was lost
}

func ExampleWithRestartGuard() {
	ctx := context.Background()
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes, redlock.WithRestartGuard(time.Minute))
	if err != nil {
		panic(err)
	}
	defer locks.Close(ctx)

	// no TTL may be longer than the guard
	_, err = locks.Lock(ctx, "ledger", redlock.WithTTL(2*time.Minute))
	bad, ok := errors.AsType[*redlock.OptionError](err)
	fmt.Println(ok, bad.Option)
	// Output: true WithTTL
}
