package redlock_test

import (
	"bytes"
	"context"
	"flag"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/pool"
)

func mustLock(t *testing.T, l *redlock.Locker, name string, opts ...redlock.MutexOption) *redlock.Lease {
	t.Helper()
	le, err := l.Lock(t.Context(), name, opts...)
	if err != nil {
		t.Fatalf("Lock(%q): %v", name, err)
	}
	return le
}

// lockEverywhere locks, and waits until all nodes have answered. It is for a single goroutine in a
// bubble only.
func lockEverywhere(t *testing.T, l *redlock.Locker, name string, opts ...redlock.MutexOption) *redlock.Lease {
	t.Helper()
	le := mustLock(t, l, name, opts...)
	synctest.Wait()
	return le
}

func mustTryLock(t *testing.T, l *redlock.Locker, name string, opts ...redlock.MutexOption) *redlock.Lease {
	t.Helper()
	le, err := l.TryLock(t.Context(), name, opts...)
	if err != nil {
		t.Fatalf("TryLock(%q): %v", name, err)
	}
	return le
}

func mustExtend(t *testing.T, le *redlock.Lease) {
	t.Helper()
	if err := le.Extend(t.Context()); err != nil {
		t.Fatalf("Extend: %v", err)
	}
}

func mustUnlock(t *testing.T, le *redlock.Lease) {
	t.Helper()
	if err := le.Unlock(t.Context()); err != nil {
		t.Fatalf("Unlock: %v", err)
	}
}

func mustClose(t *testing.T, l *redlock.Locker) {
	t.Helper()
	if err := l.Close(t.Context()); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

// over makes a Locker of these nodes, which is closed at the end of the test even if it has work
// left.
func over(t *testing.T, nodes []pool.Node, opts ...redlock.Option) *redlock.Locker {
	t.Helper()
	l, err := redlock.New(nodes, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_ = l.Close(ctx)
	})
	return l
}

func with(opts ...redlock.Option) []redlock.Option { return opts }

// validity returns how long a lease lasts: the TTL less a hundredth and two milliseconds.
func validity(ttl time.Duration) time.Duration { return ttl - ttl/100 - 2*time.Millisecond }

// withGrace returns how long a call may take with that node timeout if a node's line does not
// report in time why there is no answer.
func withGrace(timeout time.Duration) time.Duration {
	return timeout + min(timeout/8, 3*time.Millisecond)
}

// took returns how long f takes.
func took(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

// heap returns how much memory is in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // far below
}

// A wallClock is the system's clock, but the test can step its time of day and move its monotonic
// clock forward.
type wallClock struct {
	mu         sync.Mutex
	wall, mono time.Duration
}

func (c *wallClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.mono)
}

func (c *wallClock) Wall() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.wall).Round(0)
}

func (c *wallClock) AfterFunc(d time.Duration, f func()) redlock.Timer { return time.AfterFunc(d, f) }

// step moves the time of day.
func (c *wallClock) step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall += d
}

// leap moves the monotonic clock.
func (c *wallClock) leap(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mono += d
}

type observer func(redlock.Event)

func (o observer) Observe(e redlock.Event) { o(e) }

// A recorder is an Observer that keeps the events.
type recorder struct {
	mu     sync.Mutex
	events []redlock.Event
}

func (r *recorder) Observe(e redlock.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// eventsOf returns the events of one kind so far, in order.
func eventsOf[E redlock.Event](r *recorder) (of []E) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e, ok := e.(E); ok {
			of = append(of, e)
		}
	}
	return of
}

// logged is a log that a test can read.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// count returns how many lines contain the text.
func (l *logged) count(text string) (n int) {
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// A waiter is a Lock, or a TryLock, in a goroutine of its own.
type waiter <-chan result

// result is what the call returned, and when.
type result struct {
	lease *redlock.Lease
	err   error
	at    time.Time
}

func lockInBackground(ctx context.Context, l *redlock.Locker, name string, opts ...redlock.MutexOption) waiter {
	return inBackground(func() (*redlock.Lease, error) { return l.Lock(ctx, name, opts...) })
}

func inBackground(lock func() (*redlock.Lease, error)) waiter {
	done := make(chan result, 1)
	go func() {
		le, err := lock()
		done <- result{le, err, time.Now()}
	}()
	return done
}

// lease returns the lease that the waiter gets.
func (w waiter) lease(t *testing.T) *redlock.Lease {
	t.Helper()
	r := <-w
	if r.err != nil {
		t.Fatalf("Lock: %v", r.err)
	}
	return r.lease
}

// within checks that the waiter has the lock at most d after that moment, and unlocks it.
func (w waiter) within(t *testing.T, d time.Duration, since time.Time) {
	t.Helper()
	r := <-w
	if waited := r.at.Sub(since); r.err != nil || waited > d {
		t.Fatalf("the waiter had the lock after %v, not %v: %v", waited, d, r.err)
	}
	mustUnlock(t, r.lease)
}

// handOver unlocks a lease for whose lock another call of its Locker waits, and returns that call's
// lease.
func handOver(t *testing.T, le *redlock.Lease, to waiter) *redlock.Lease {
	t.Helper()
	synctest.Wait() // the other call is in the queue
	mustUnlock(t, le)
	return to.lease(t)
}

// A token is the fencing token of the last of several leases.
type token uint64

// follow checks that the next lease's token is greater.
func (last *token) follow(t *testing.T, next *redlock.Lease) {
	t.Helper()
	if next.Fence() <= uint64(*last) {
		t.Errorf("token %d after %d", next.Fence(), *last)
	}
	*last = token(next.Fence())
}

// newRandom returns a source of random numbers.
func newRandom(t *testing.T, seed uint64) *random {
	t.Helper()
	return &random{r: rand.New(rand.NewPCG(seed, seed))} //nolint:gosec // a test's
}

type random struct {
	mu sync.Mutex
	r  *rand.Rand
}

func (r *random) below(n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.r.IntN(n)
}

func (r *random) time(d time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Duration(r.r.Int64N(int64(d)))
}

// rounds is how often the hundred callers compete; 1000 for a long run.
var rounds = flag.Int("rounds", 30, "how often a hundred simultaneous callers race for a lock")
