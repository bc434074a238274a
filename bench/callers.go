package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/go-redlock/redlock/internal/redisserver"
)

// A bench holds the settings of one run of this program.
type bench struct {
	servers *servers
	scale   float64 // every duration is multiplied by it
}

// lasting returns the duration, scaled.
func (b *bench) lasting(d time.Duration) time.Duration { return time.Duration(float64(d) * b.scale) }

// opened calls use with the contestant's locker on new servers.
func (b *bench) opened(ctx context.Context, c contestant, use func(locker) error) error {
	if err := b.servers.flush(ctx); err != nil {
		return err
	}
	l, err := c.open(ctx, b.servers.Addrs()[:c.nodes])
	if err != nil {
		return err
	}
	return errors.Join(use(l), l.close())
}

// callers measures n callers, each of which locks and unlocks a lock of its own.
func callers(n int, lasts time.Duration) runner {
	return func(ctx context.Context, b *bench, c contestant) (v values, _ []float64, _ error) {
		err := b.opened(ctx, c, func(l locker) error {
			load(ctx, l, n, b.lasting(lasts/4)) // warm up
			before, err := b.servers.bill(ctx)
			if err != nil {
				return err
			}
			own := used()
			t := load(ctx, l, n, b.lasting(lasts))
			mine := used().minus(own)
			after, err := b.servers.bill(ctx)
			if err != nil {
				return err
			}
			v = t.values()
			per := after.minus(before, 1)
			v[reads], v[commands] = per.reads/t.pairs(), per.commands/t.pairs()
			v[serverCPU], v[clientCPU] = per.cpu*1e6/t.pairs(), mine.cpu*1e6/t.pairs()
			v[allocs], v[allocated] = mine.mallocs/t.pairs(), mine.bytes/t.pairs()
			return nil
		})
		return v, nil, err
	}
}

// faulty measures n callers with all nodes healthy, and then from the moment on at which one node
// has a fault. It has servers of its own.
func faulty(n int, lasts time.Duration, befall fault) runner {
	return func(ctx context.Context, b *bench, c contestant) (v values, _ []float64, _ error) {
		masters, err := redisserver.Start(c.nodes)
		if err != nil {
			return nil, nil, err
		}
		defer masters.Stop()
		l, err := c.open(ctx, masters.Addrs())
		if err != nil {
			return nil, nil, err
		}
		load(ctx, l, n, b.lasting(lasts/4)) // warm up
		well := load(ctx, l, n, b.lasting(lasts))
		if err := befall(masters.Process(1)); err != nil {
			return nil, nil, errors.Join(err, l.close())
		}
		ill := load(ctx, l, n, b.lasting(lasts))
		v = ill.values()
		for metric, was := range well.values() {
			v["healthy "+metric] = was
		}
		_ = l.close() // its error may say that the node did not answer
		return v, nil, nil
	}
}

// A fault is a way in which a node can fail.
type fault func(*os.Process) error

var (
	frozen  fault = func(p *os.Process) error { return p.Signal(syscall.SIGSTOP) }
	refused fault = (*os.Process).Kill
)

// A tally records what some callers did.
type tally struct {
	both, locks, unlocks []float64 // how long each took
	last                 time.Time // when the last pair was done
	took                 time.Duration
	failed               int
	err                  error
}

func (t *tally) pairs() float64 { return float64(len(t.both)) }

// patience is how long a caller may take to finish what it has begun. redsync needs ten seconds if
// a node is frozen. rueidislock may wait forever for a free lock, which counts as a failure.
const patience = 12 * time.Second

// load has n callers lock and unlock locks of their own for that long, and then finish what they
// have begun.
func load(ctx context.Context, l locker, n int, lasts time.Duration) tally {
	ctx, cancel := context.WithTimeout(ctx, lasts+patience)
	defer cancel()
	tallies := make([]tally, n)
	begin := time.Now()
	end := begin.Add(lasts)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			name, t := fmt.Sprintf("bench:%d", i), &tallies[i]
			t.both, t.locks, t.unlocks = make([]float64, 0, 1024), make([]float64, 0, 1024), make([]float64, 0, 1024)
			for first := true; first || time.Now().Before(end); first = false {
				t.pair(ctx, l, name)
			}
		})
	}
	wg.Wait()
	var total tally
	for _, t := range tallies {
		total.took = max(total.took, t.last.Sub(begin))
		total.both = append(total.both, t.both...)
		total.locks = append(total.locks, t.locks...)
		total.unlocks = append(total.unlocks, t.unlocks...)
		total.failed += t.failed
		total.err = errors.Join(total.err, t.err)
	}
	slices.Sort(total.both)
	slices.Sort(total.locks)
	slices.Sort(total.unlocks)
	return total
}

// pair locks and unlocks once.
func (t *tally) pair(ctx context.Context, l locker, name string) {
	begin := time.Now()
	h, err := l.lock(ctx, name)
	locked := time.Now()
	if err == nil {
		err = h.unlock(ctx)
	}
	done := time.Now()
	if err != nil {
		t.failed++
		t.err = err
		return
	}
	t.last = done
	t.both = append(t.both, micros(done.Sub(begin)))
	t.locks = append(t.locks, micros(locked.Sub(begin)))
	t.unlocks = append(t.unlocks, micros(done.Sub(locked)))
}

func (t *tally) values() values {
	return values{
		rate: t.pairs() / t.took.Seconds(), failures: float64(t.failed),
		p50: percentile(t.both, 50), p99: percentile(t.both, 99), longest: percentile(t.both, 100),
		lockP50: percentile(t.locks, 50), unlockP50: percentile(t.unlocks, 50),
	}
}
