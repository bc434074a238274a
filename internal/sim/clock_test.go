package sim

import (
	"context"
	"sync"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/pool"
)

// A clock is a client's: it runs at its own rate, and its wall clock is off. The client may be stopped, as by SIGSTOP: the clock
// runs on, but nothing that it wakes does.
type clock struct {
	mu     sync.Mutex
	start  time.Time // in the world
	shown  time.Time
	rate   float64
	skew   time.Duration
	halted chan struct{} // closed when it is resumed; nil: it runs
}

func newClock() *clock { return &clock{start: time.Now(), shown: time.Now(), rate: 1} }

func (c *clock) now() time.Time {
	return c.shown.Add(time.Duration(float64(time.Since(c.start)) * c.rate))
}

// set makes the clock run at rate from now on, and its wall clock off by skew.
func (c *clock) set(skew time.Duration, rate float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shown, c.start = c.now(), time.Now()
	c.rate, c.skew = rate, skew
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

func (c *clock) Wall() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now().Add(c.skew).Round(0)
}

// A timer keeps to the clock's rate at the time it is set.
type timer struct {
	*time.Timer
	clock *clock
}

// AfterFunc implements redlock.Clock.
func (c *clock) AfterFunc(d time.Duration, f func()) redlock.Timer {
	return timer{time.AfterFunc(c.scale(d), func() { c.wait(); f() }), c}
}

func (t timer) Reset(d time.Duration) bool { return t.Timer.Reset(t.clock.scale(d)) }

// scale is how long d of the clock's takes in the world, rounded up.
func (c *clock) scale(d time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rate == 1 {
		return d
	}
	return time.Duration(float64(d)/c.rate) + 1
}

func (c *clock) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.halted == nil {
		c.halted = make(chan struct{})
	}
}

func (c *clock) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.halted != nil {
		close(c.halted)
		c.halted = nil
	}
}

// wait waits while the client is stopped.
func (c *clock) wait() {
	for {
		c.mu.Lock()
		halted := c.halted
		c.mu.Unlock()
		if halted == nil {
			return
		}
		<-halted
	}
}

// tire stops the client at the worst moment, if it is to be: when it has just asked for a lease to be extended.
func (c *client) tire(calls []pool.Call) {
	for _, call := range calls {
		if v := call.Request.Verb; v != pool.Extend && v != pool.Rejoin {
			continue
		}
		if d := time.Duration(c.tired.Swap(0)); d > 0 {
			time.AfterFunc(10*time.Microsecond, c.stop) // the requests to the other nodes have left too
			time.AfterFunc(d, c.resume)
		}
	}
}

// A link is a node as a client that may be stopped reaches it.
type link struct {
	pool.Node
	client *client
	number int // of the node
}

func (l *link) Do(ctx context.Context, calls []pool.Call) {
	l.client.wait()
	l.client.tire(calls)
	sent := time.Now()
	l.Node.Do(ctx, calls)
	l.client.world.quarantined(l.number, sent, calls)
	l.client.wait()
}

func (l *link) Listen(ctx context.Context, inbox string, ready func(), heard func(pool.Notice)) error {
	return l.Node.Listen(ctx, inbox, ready, func(n pool.Notice) { l.client.wait(); heard(n) }) //nolint:wrapcheck // it is a Node's
}
