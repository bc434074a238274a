package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/integration/clocks"
	"github.com/go-redlock/redlock/pool"
)

// environment is the variable by which this program knows that it is a client.
const environment = "REDLOCK_TOKENS_CLIENT"

const (
	private = 5 // workers of a client with a Locker each
	shared  = 2 // workers that share a Locker, so that tokens are handed over within it
	names   = 8 // they contend for

	// retention is longer than all shifts together.
	retention = 48 * time.Hour
	pace      = 60 * time.Millisecond // between two acquisitions of a worker, at most
)

// orders are the settings that a client process is started with.
type orders struct {
	Seed    uint64
	Nodes   []string
	Count   int    // of acquisitions
	Clock   string // the file with the offset of its clock
	Records string // the file it writes to
}

// A client is one process of clients.
type client struct {
	orders
	clock clock
	left  atomic.Int64

	mu  sync.Mutex
	out io.Writer
}

// work is the work of a client process until it has enough acquisitions, or its input ends.
func work(text string) error {
	c := &client{}
	if err := json.Unmarshal([]byte(text), &c.orders); err != nil {
		return err
	}
	c.left.Store(int64(c.Count))
	var err error
	if c.clock.offset, err = offset(c.Clock); err != nil {
		return err
	}
	f, err := os.Create(c.Records)
	if err != nil {
		return err
	}
	defer f.Close()
	out := bufio.NewWriter(f)
	c.out = out
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	if err := c.run(ctx); err != nil {
		return err
	}
	return out.Flush()
}

// run runs the workers.
func (c *client) run(ctx context.Context) error {
	var all sync.WaitGroup
	for i := range private + 1 {
		w := &worker{client: c}
		count := 1
		if i == private {
			count = shared
		}
		locker, err := c.open(w)
		if err != nil {
			return err
		}
		defer locker.Close(context.Background())
		w.locker, w.alone = locker, count == 1
		for j := range count {
			all.Go(func() { w.loop(ctx, rand.New(rand.NewPCG(c.Seed, uint64(i*shared+j)))) })
		}
	}
	all.Wait()
	return nil
}

func (c *client) open(w *worker) (*redlock.Locker, error) {
	nodes, err := pool.Dial(c.Nodes...)
	if err != nil {
		return nil, err
	}
	return redlock.New(nodes, redlock.WithTTL(ttl), redlock.WithFenceRetention(retention), redlock.WithClock(c.clock), redlock.WithObserver(w))
}

// A worker takes locks from a Locker and releases them.
type worker struct {
	*client
	locker *redlock.Locker
	alone  bool // with its Locker
	failed atomic.Int64
}

// Observe implements redlock.Observer. A Locker with one user makes one attempt at a time, so the
// attempt that wins began after the last that failed.
func (w *worker) Observe(e redlock.Event) {
	if a, ok := e.(redlock.AttemptEvent); ok && a.Err != nil {
		w.failed.Store(clocks.Monotonic())
	}
}

func (w *worker) loop(ctx context.Context, random *rand.Rand) {
	for ctx.Err() == nil && w.left.Load() > 0 {
		r := record{name: fmt.Sprintf("name-%d", random.IntN(names))}
		called := clocks.Monotonic()
		lease, err := w.take(ctx, r.name, random.IntN(2) == 0)
		if err == nil {
			r.returned, r.token = clocks.Monotonic(), lease.Fence()
			if w.alone {
				r.began = max(called, w.failed.Load())
			}
			w.note(r)
			sleep(ctx, time.Duration(random.Int64N(int64(2*time.Millisecond))))
			// it may have been lost because of a fault
			_ = lease.Unlock(context.Background())
		}
		sleep(ctx, time.Duration(random.Int64N(int64(pace))))
	}
}

func (w *worker) take(ctx context.Context, name string, waits bool) (*redlock.Lease, error) {
	if !waits {
		return w.locker.TryLock(ctx, name)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*ttl)
	defer cancel()
	return w.locker.Lock(ctx, name)
}

func (c *client) note(r record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r.write(c.out)
	c.left.Add(-1)
}

// A clock is a client's clock, whose time of day may be shifted.
type clock struct {
	offset *int64 // in seconds; the parent process writes it
}

// offset reads the offset from the mapped file, so that a shift takes effect at once, even in a
// process that was stopped meanwhile.
func offset(file string) (*int64, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	memory, err := unix.Mmap(int(f.Fd()), 0, 8, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return (*int64)(unsafe.Pointer(&memory[0])), nil
}

// Now implements redlock.Clock.
func (clock) Now() time.Time { return time.Now() }

// Wall implements redlock.Clock.
func (c clock) Wall() time.Time {
	return time.Now().Round(0).Add(time.Duration(atomic.LoadInt64(c.offset)) * time.Second)
}

// AfterFunc implements redlock.Clock.
func (clock) AfterFunc(d time.Duration, f func()) redlock.Timer { return time.AfterFunc(d, f) }

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
