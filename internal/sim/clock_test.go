package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/wire"
)

// A clock is a client's clock: it runs at its own rate, and its wall clock is wrong. The client may
// be stopped, as by SIGSTOP: then the clock goes on, but nothing that it wakes does. The client's
// machine may be suspended: meanwhile the monotonic clock stands still.
type clock struct {
	mu     sync.Mutex
	mono   reading
	wall   reading
	rate   float64
	skew   time.Duration
	asleep bool          // the machine is suspended
	halted chan struct{} // closed when it is resumed; nil: it runs
}

// A reading is what a clock showed at a time of the world.
type reading struct{ shown, at time.Time }

func (r reading) now(rate float64) time.Time {
	return r.shown.Add(time.Duration(float64(time.Since(r.at)) * rate))
}

func newClock() *clock {
	r := reading{time.Now(), time.Now()}
	return &clock{mono: r, wall: r, rate: 1}
}

// now returns what the monotonic clock shows. mu is held.
func (c *clock) now() time.Time {
	if c.asleep {
		return c.mono.shown
	}
	return c.mono.now(c.rate)
}

// set makes the clock run at rate from now on, and makes its wall clock wrong by skew.
func (c *clock) set(skew time.Duration, rate float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mono, c.wall = reading{c.now(), time.Now()}, reading{c.wall.now(c.rate), time.Now()}
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
	return c.wall.now(c.rate).Add(c.skew).Round(0)
}

// A timer runs at the clock's rate of the time when it is set.
type timer struct {
	*time.Timer
	clock *clock
}

// AfterFunc implements redlock.Clock.
func (c *clock) AfterFunc(d time.Duration, f func()) redlock.Timer {
	return timer{time.AfterFunc(c.scale(d), func() { c.wait(); f() }), c}
}

func (t timer) Reset(d time.Duration) bool { return t.Timer.Reset(t.clock.scale(d)) }

// scale returns how long d by the clock takes in the world, rounded up.
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

// suspend stops the client, and its monotonic clock.
func (c *clock) suspend() {
	c.stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mono.shown, c.asleep = c.now(), true
}

func (c *clock) wake() {
	c.mu.Lock()
	c.mono, c.asleep = reading{c.now(), time.Now()}, false
	c.mu.Unlock()
	c.resume()
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

// tire stops the client, if it is due, at the worst moment: when it has just sent an extension.
func (c *client) tire(calls []wire.Call) {
	for i := range calls {
		if v := calls[i].Request.Verb; v != wire.Extend && v != wire.Rejoin {
			continue
		}
		if d := time.Duration(c.tired.Swap(0)); d > 0 {
			// the requests to the other nodes have been sent too
			time.AfterFunc(10*time.Microsecond, c.stop)
			time.AfterFunc(d, c.resume)
		}
	}
}

// A link is the way of a client, which may be stopped, to a node.
type link struct {
	wire.Node
	client *client
	number int         // of the node
	ways   []wire.Node // to all nodes

	mu     sync.Mutex
	random *rand.Rand
}

// way returns the node that the address leads to for the next message.
func (l *link) way() wire.Node {
	w := l.client.world
	if !w.regime.moves || !w.rough.Load() {
		return l.Node
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.random.IntN(6) > 0 {
		return l.Node
	}
	return l.ways[l.random.IntN(len(l.ways))]
}

// Addr implements wire.Node. A server that two addresses lead to has two.
func (l *link) Addr() string { return fmt.Sprintf("node%d", l.number) }

func (l *link) Do(ctx context.Context, calls []wire.Call) {
	l.client.wait()
	l.client.tire(calls)
	sent := time.Now()
	l.client.begin(calls)
	l.way().Do(ctx, calls)
	l.client.world.quarantined(l.number, sent, calls)
	l.client.world.mourn(ctx, calls)
	l.client.wait()
}

func (l *link) Listen(ctx context.Context, inbox string, ready func(), heard func(wire.Notice)) error {
	return l.Node.Listen(ctx, inbox, ready, func(n wire.Notice) { l.client.wait(); heard(n) }) //nolint:wrapcheck // it is a Node's
}
