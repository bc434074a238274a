package main

import (
	"sync"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/integration/clocks"
)

// skewed is a client's clock, which runs at a rate of its own and may be shifted.
type skewed struct {
	mu     sync.Mutex
	rate   float64
	offset time.Duration // of the wall clock
	now    time.Time     // what the clock showed
	then   int64         // at this real time
}

func newSkewed(rate float64) *skewed {
	return &skewed{rate: rate, now: time.Now(), then: clocks.Monotonic()}
}

// Now implements redlock.Clock.
func (c *skewed) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read(clocks.Monotonic())
}

// read returns what the clock shows at a real time. mu is held.
func (c *skewed) read(at int64) time.Time {
	return c.now.Add(time.Duration(float64(at-c.then) * c.rate))
}

// Wall implements redlock.Clock.
func (c *skewed) Wall() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Round(0).Add(c.offset)
}

// AfterFunc implements redlock.Clock.
func (c *skewed) AfterFunc(d time.Duration, f func()) redlock.Timer {
	return &skewedTimer{time.AfterFunc(c.stretch(d), f), c}
}

// stretch returns the real duration of d by this clock.
func (c *skewed) stretch(d time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(float64(d) / c.rate)
}

// real returns the real time at which the clock showed, or will show, t.
func (c *skewed) real(t time.Time) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.then + int64(float64(t.Sub(c.now))/c.rate)
}

// run sets the rate.
func (c *skewed) run(rate float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := clocks.Monotonic()
	c.now, c.then, c.rate = c.read(at), at, rate
}

// shift sets the offset of the wall clock.
func (c *skewed) shift(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset = d
}

type skewedTimer struct {
	*time.Timer
	clock *skewed
}

func (t *skewedTimer) Reset(d time.Duration) bool { return t.Timer.Reset(t.clock.stretch(d)) }
