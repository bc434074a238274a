package main

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redlock/redlock"
)

const (
	late = "late renewals" // that no majority confirmed
	lost = "lost leases"

	// renewedTTL is that of the leases, each of which is renewed at a third of it.
	renewedTTL = 10 * time.Second
	// batch is how many leases are taken at once.
	batch = 50
)

// renewals measures one Locker whose leases renew themselves for that long, while somebody takes
// and releases a fresh lock every 20 ms. Meanwhile so many other processes compute.
func renewals(leases, loops int, lasts time.Duration) runner {
	return func(ctx context.Context, b *bench, c contestant) (v values, _ []float64, _ error) {
		err := b.opened(ctx, c, func(l locker) error {
			ours := l.(renewedLocker) //nolint:errcheck,forcetypeassert // it is
			taken, err := ours.takeMany(ctx, leases)
			defer func() {
				for _, set := range taken {
					_ = set.Unlock(ctx) // their end is not measured
				}
			}()
			if err != nil {
				return err
			}
			v, err = ours.renewing(ctx, b, loops, b.lasting(lasts))
			return err
		})
		return v, nil, err
	}
}

// renewing measures the renewals of all leases for that long.
func (l renewedLocker) renewing(ctx context.Context, b *bench, loops int, lasts time.Duration) (values, error) {
	stop, err := compute(loops)
	if err != nil {
		return nil, err
	}
	defer stop()
	before, err := b.servers.bill(ctx)
	if err != nil {
		return nil, err
	}
	renewed, own, begin := l.renewed.Load(), used(), time.Now()
	fresh := l.freshLocks(ctx, lasts)
	took := time.Since(begin).Seconds()
	count, mine := float64(l.renewed.Load()-renewed), used().minus(own)
	after, err := b.servers.bill(ctx)
	if err != nil {
		return nil, err
	}
	per := after.minus(before, 1)
	slices.Sort(fresh)
	return values{
		rate: count / took, serverCPU: per.cpu * 1e6 / count, clientCPU: mine.cpu * 1e6 / count,
		late: float64(l.late.Load()), lost: float64(l.lost.Load()),
		lockP50: percentile(fresh, 50), p99: percentile(fresh, 99), longest: percentile(fresh, 100),
	}, nil
}

// freshLocks takes and releases a lock every 20 ms for that long, and returns how long each took
// to be taken.
func (l renewedLocker) freshLocks(ctx context.Context, lasts time.Duration) (took []float64) {
	next := time.NewTicker(20 * time.Millisecond)
	defer next.Stop()
	for begin := time.Now(); time.Since(begin) < lasts; <-next.C {
		asked := time.Now()
		le, err := l.Lock(ctx, "fresh")
		if err != nil {
			l.late.Add(1)
			continue
		}
		took = append(took, micros(time.Since(asked)))
		_ = le.Unlock(ctx) // the next Lock would show it
	}
	return took
}

// A renewedLocker is this library with an observer that counts renewals.
type renewedLocker struct {
	ourLocker
	*renewalCounts
}

type renewalCounts struct{ renewed, late, lost atomic.Int64 }

// Observe implements redlock.Observer.
func (c *renewalCounts) Observe(e redlock.Event) {
	switch e := e.(type) {
	case redlock.RenewedEvent:
		if e.Err == nil {
			c.renewed.Add(1)
		} else {
			c.late.Add(1)
		}
	case redlock.LostEvent:
		c.lost.Add(1)
	}
}

func openRenewed(_ context.Context, addrs []string) (locker, error) {
	counts := &renewalCounts{}
	l, err := openOurs(addrs, redlock.WithObserver(counts))
	if err != nil {
		return nil, err
	}
	return renewedLocker{l.(ourLocker), counts}, nil //nolint:errcheck,forcetypeassert // it is
}

// takeMany takes so many leases that renew themselves, some at a time so that their renewals are
// spread as those of a service are. On error it returns those that it has.
func (l renewedLocker) takeMany(ctx context.Context, leases int) (taken []*redlock.Leases, _ error) {
	var mu sync.Mutex
	var work sync.WaitGroup
	var failed error
	next := time.NewTicker(time.Duration(int64(renewedTTL) * batch / int64(leases)))
	defer next.Stop()
	for first := 0; first < leases; first += batch {
		work.Go(func() {
			mutexes := make([]*redlock.Mutex, 0, batch)
			for i := first; i < min(first+batch, leases); i++ {
				mutexes = append(mutexes, l.Mutex("renewed:"+strconv.Itoa(i), redlock.WithTTL(renewedTTL), redlock.WithRenewal(redlock.Forever)))
			}
			set, err := redlock.LockAll(ctx, mutexes...)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = err
				return
			}
			taken = append(taken, set)
		})
		<-next.C
	}
	work.Wait()
	return taken, failed
}

// compute starts so many processes that do nothing but compute.
func compute(loops int) (stop func(), err error) {
	var started []*exec.Cmd
	stop = func() {
		for _, c := range started {
			_ = c.Process.Kill()
			_ = c.Wait() // it was killed
		}
	}
	for range loops {
		c := exec.Command("sh", "-c", "while :; do :; done")
		if err := c.Start(); err != nil {
			stop()
			return nil, fmt.Errorf("compute: %w", err)
		}
		started = append(started, c)
	}
	return stop, nil
}
