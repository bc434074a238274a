package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	leastTurns = "least turns" // one waiter's, divided by the mean or the median
	mostTurns  = "most turns"
	gapP50     = "gap p50" // from the call of unlock to the return of the next lock
	gapP99     = "gap p99"
	evenness   = "least over most turns"
	fairTurn   = "fair turn"
	lateness   = "p99 in fair turns"
	overlaps   = "overlaps"
	readsBare  = "reads after set-up"
)

// crowd measures n waiters in one process that want one lock and hold it for no time.
func crowd(n int, lasts time.Duration) runner {
	return func(ctx context.Context, b *bench, c contestant) (v values, waits []float64, _ error) {
		err := b.opened(ctx, c, func(l locker) error {
			_, _, _ = b.jostle(ctx, l, n, b.lasting(lasts/4)) // warm up
			var err error
			v, waits, err = b.jostle(ctx, l, n, b.lasting(lasts))
			return err
		})
		return v, curve(waits), err
	}
}

// jostle lets n goroutines take turns.
func (b *bench) jostle(ctx context.Context, l locker, n int, lasts time.Duration) (values, []float64, error) {
	ctx, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	waits := make([][]float64, n)
	var holders, overlap atomic.Int64
	var wg sync.WaitGroup
	begin := time.Now()
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() {
			for ctx.Err() == nil {
				asked := time.Now()
				h, err := l.lock(ctx, "bench")
				if err != nil {
					errs[i] = err
					continue
				}
				waits[i] = append(waits[i], micros(time.Since(asked)))
				if holders.Add(1) > 1 {
					overlap.Add(1)
				}
				holders.Add(-1)
				if err := h.unlock(context.WithoutCancel(ctx)); err != nil {
					errs[i] = err
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	var all []float64
	var turns []float64
	for _, w := range waits {
		all = append(all, w...)
		turns = append(turns, float64(len(w)))
	}
	if len(all) == 0 {
		return nil, nil, fmt.Errorf("nobody got the lock: %w", errors.Join(errs...))
	}
	slices.Sort(all)
	mean := float64(len(all)) / float64(n)
	return values{
		rate: float64(len(all)) / took.Seconds(), p50: percentile(all, 50), p99: percentile(all, 99), longest: percentile(all, 100),
		leastTurns: slices.Min(turns) / mean, mostTurns: slices.Max(turns) / mean, overlaps: float64(overlap.Load()),
	}, all, nil
}

const (
	heapPerWaiter  = "heap"
	stackPerWaiter = "stack"
	goroutines     = "goroutines"
)

// memory measures how much memory n waiters for one lock take besides their goroutines.
func memory(n int) runner {
	return func(ctx context.Context, b *bench, c contestant) (v values, _ []float64, _ error) {
		err := b.opened(ctx, c, func(l locker) error {
			h, err := l.lock(ctx, "bench")
			if err != nil {
				return err
			}
			waiting, leave := context.WithCancel(ctx)
			parked := crowdSize(n, func() { <-waiting.Done() }, leave)
			waiting, leave = context.WithCancel(ctx)
			v = crowdSize(n, func() {
				if h, err := l.lock(waiting, "bench"); err == nil {
					_ = h.unlock(ctx)
				}
			}, leave)
			for metric := range v {
				v[metric] -= parked[metric]
			}
			return h.unlock(ctx)
		})
		return v, nil, err
	}
}

// crowdSize returns how much memory each of n goroutines in wait takes.
func crowdSize(n int, wait func(), leave func()) values {
	before := memoryNow()
	var wg sync.WaitGroup
	for range n {
		wg.Go(wait)
	}
	time.Sleep(time.Second) // until all are idle
	v := memoryNow()
	for metric := range v {
		v[metric] = (v[metric] - before[metric]) / float64(n)
	}
	leave()
	wg.Wait()
	return v
}

func memoryNow() values {
	runtime.GC()
	runtime.GC() // the second collection frees what pools keep
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return values{heapPerWaiter: float64(m.HeapAlloc), stackPerWaiter: float64(m.StackInuse), goroutines: float64(runtime.NumGoroutine())}
}
