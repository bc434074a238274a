package dispatch

import (
	"context"
	"os"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
)

// An ioContext is the context of one round trip after the other. All that looks at it in most of
// them is the network, which keeps to the deadline: so it needs no timer.
type ioContext struct {
	context.Context //nolint:containedctx // it is one
	until           time.Time
	done            chan struct{} // closed at that time, where the context is to end then
	timer           clock.Timer   // which does it
}

// Deadline implements context.Context.
func (c *ioContext) Deadline() (time.Time, bool) { return c.until, true }

// Done implements context.Context.
func (c *ioContext) Done() <-chan struct{} { return c.done }

// Err implements context.Context, with the network's error: a caller's context has not ended.
func (c *ioContext) Err() error {
	select {
	case <-c.done:
		return os.ErrDeadlineExceeded
	default:
		return nil
	}
}

// start has the context end at its deadline, until stop: go-redis waits that long for a connection,
// however long one takes to be made. Timer and channel of a context that has not ended are used
// again.
func (c *ioContext) start(until time.Time) {
	left := until.Sub(clock.IO())
	if c.timer != nil {
		c.timer.Reset(left)
		return
	}
	done := make(chan struct{})
	c.done, c.timer = done, clock.System{}.AfterFunc(left, func() { close(done) })
}

func (c *ioContext) stop() {
	if !c.timer.Stop() { // it ends, now or in a moment
		c.timer = nil
	}
}
