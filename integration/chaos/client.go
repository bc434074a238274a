package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/pool"
)

const (
	workers = 4 // of each client process
	names   = 6 // of locks that they contend for
	permits = 2 // of the semaphore that they contend for
)

// orders are the settings that a client process is started with.
type orders struct {
	ID    int
	Seed  uint64
	Nodes []string
	TTL   time.Duration
	Guard time.Duration // 0: none
	Rate  float64       // of its clock
}

// A report is what a client process reports, one on each line.
type report struct {
	What   string // see below
	Kind   string `json:",omitempty"` // of a [want]
	Lease  int    `json:",omitempty"`
	Name   string `json:",omitempty"`
	Token  uint64 `json:",omitempty"`
	Called int64  `json:",omitempty"` // in nanoseconds of the machine's monotonic clock
	At     int64  `json:",omitempty"`
	Until  int64  `json:",omitempty"`
	Text   string `json:",omitempty"`

	Slot, Permits int  `json:",omitempty"` // these are as in [history.Lease]
	Shared        bool `json:",omitempty"`
}

// What clients report.
const (
	// a lease: the call was Called, and returned At; it lasts Until, unless it is renewed.
	locked = "locked"
	ended  = "ended"  // a lease: it ended At; freed says when it was released
	freed  = "freed"  // a lease: a majority had released it At
	write  = "write"  // a write to the resources, with Token
	failed = "failed" // a call that got no lease: it was Called, and returned At; Text says why
	broken = "broken" // a promise, and Text says which
)

// A worker is one process of clients.
type worker struct {
	orders
	clock  *skewed
	locker *redlock.Locker
	leases atomic.Int64

	mu  sync.Mutex
	out *json.Encoder
}

// work is the work of a client process until its input ends. Its input is orders to its clock.
func work(text string) error {
	w := &worker{out: json.NewEncoder(os.Stdout)}
	if err := json.Unmarshal([]byte(text), &w.orders); err != nil {
		return err
	}
	w.clock = newSkewed(w.Rate)
	nodes, err := pool.Dial(w.Nodes...)
	if err != nil {
		return err
	}
	opts := []redlock.Option{
		redlock.WithTTL(w.TTL), redlock.WithClock(w.clock), redlock.WithHolder(fmt.Sprintf("client %d", w.ID)),
	}
	if w.Guard > 0 {
		opts = append(opts, redlock.WithRestartGuard(w.Guard))
	}
	if w.locker, err = redlock.New(nodes, opts...); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() { w.loop(ctx, rand.New(rand.NewPCG(w.Seed, uint64(i)))) })
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if name, ok := strings.CutPrefix(in.Text(), "hold "); ok {
			all.Go(func() { w.keep(ctx, name) })
			continue
		}
		if text, ok := strings.CutPrefix(in.Text(), "contend "); ok {
			w.contend(ctx, text, all.Go)
			continue
		}
		w.obey(in.Text())
	}
	stop()
	all.Wait()
	closing, cancel := context.WithTimeout(context.Background(), 2*w.TTL)
	defer cancel()
	return w.locker.Close(closing)
}

// obey shifts the clock: "wall 3600s" or "rate 1.5".
func (w *worker) obey(order string) {
	var rate float64
	if _, err := fmt.Sscanf(order, "rate %g", &rate); err == nil {
		w.clock.run(rate)
	}
	if text, ok := strings.CutPrefix(order, "wall "); ok {
		if d, err := time.ParseDuration(text); err == nil {
			w.clock.shift(d)
		}
	}
}

func (w *worker) tell(r report) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.out.Encode(r) // the parent has ended if this fails
}

// loop takes what it chooses, and releases it.
func (w *worker) loop(ctx context.Context, random *rand.Rand) {
	for ctx.Err() == nil {
		var opts []redlock.MutexOption
		renews := random.IntN(10) == 0
		if renews {
			opts = append(opts, redlock.WithRenewal(3*w.TTL))
		}
		of := wants[random.IntN(len(wants))](w.locker, random, opts)
		if c, ok := w.await(ctx, of, renews, random); ok {
			w.hold(ctx, c, renews, random)
		}
	}
}

// await waits for what is wanted, for a while. Now and then it does not wait.
func (w *worker) await(ctx context.Context, of want, renews bool, random *rand.Rand) (*claim, bool) {
	if random.IntN(4) == 0 {
		defer sleep(ctx, time.Duration(random.IntN(10))*time.Millisecond)
		return w.take(ctx, of, of.try, renews)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*w.TTL+time.Duration(random.IntN(2000))*time.Millisecond)
	defer cancel()
	return w.take(ctx, of, of.lock, renews)
}

// contend starts contenders for a while: "name 3s".
func (w *worker) contend(ctx context.Context, text string, start func(func())) {
	name, length, _ := strings.Cut(text, " ")
	d, err := time.ParseDuration(length)
	if err != nil {
		w.tell(report{What: broken, Text: err.Error()})
		return
	}
	for _, of := range contenders {
		start(func() { w.repeat(ctx, of(w.locker, name), d) })
	}
}

// repeat takes what is wanted and releases it again and again, for that long.
func (w *worker) repeat(ctx context.Context, of want, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for ctx.Err() == nil {
		how := of.lock
		if rand.IntN(4) == 0 {
			how = of.try
		}
		if c, ok := w.take(ctx, of, how, false); ok {
			sleep(ctx, time.Millisecond)
			c.release()
		}
	}
}

// keep takes a lock, reports that, and keeps it for as long as it lasts.
func (w *worker) keep(ctx context.Context, name string) {
	of := wantLock(w.locker, name, redlock.WithWait(w.TTL/4))
	c, ok := w.take(ctx, of, of.lock, false)
	if !ok {
		return
	}
	select {
	case <-c.Done():
	case <-ctx.Done():
	}
	c.release()
}

// hold does what holders do: work a little, write, release. Some hold for longer, some stop without
// a release, and some look at their lease, pause for too long, and write.
func (w *worker) hold(ctx context.Context, c *claim, renews bool, random *rand.Rand) {
	act := random.IntN(1000)
	paused := act == 0 && !renews
	switch {
	case paused:
		sleep(ctx, w.TTL+w.TTL/2)
	case act < 6:
		sleep(c.Context(), time.Duration(random.Int64N(int64(2*w.TTL))))
	default:
		sleep(c.Context(), time.Duration(random.IntN(8000))*time.Microsecond)
	}
	if paused || c.Err() == nil {
		c.write()
	}
	if act == 7 {
		<-c.Done() // abandoned
	}
	c.release()
}

// outcome returns a word for why a lock was not taken.
func outcome(err error) string {
	switch {
	case errors.Is(err, redlock.ErrHeld):
		return "held"
	case errors.Is(err, redlock.ErrNoQuorum):
		return "no quorum"
	case errors.Is(err, redlock.ErrTooLate):
		return "too late"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "wait over"
	}
	return err.Error()
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
