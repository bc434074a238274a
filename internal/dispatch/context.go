package dispatch

import (
	"context"
	"os"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
)

// An ioContext is the context of one round trip after the other. Usually only the network looks at
// it, which keeps to the deadline: so it needs no timer.
type ioContext struct {
	context.Context //nolint:containedctx // it is one
	until           time.Time
	done            chan struct{} // closed at that time, if start was called
	timer           clock.Timer   // which closes done
}

// Deadline implements context.Context.
func (c *ioContext) Deadline() (time.Time, bool) { return c.until, true }

// Done implements context.Context.
func (c *ioContext) Done() <-chan struct{} { return c.done }

// Err implements context.Context. It returns the network's error, because no caller's context has
// ended.
func (c *ioContext) Err() error {
	select {
	case <-c.done:
		return os.ErrDeadlineExceeded
	default:
		return nil
	}
}

// start makes the context end at its deadline, until stop: so go-redis waits for a connection no
// longer than that, however long making one takes. A context that has not ended reuses its timer
// and channel.
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
	if !c.timer.Stop() { // the context ends, now or in a moment
		c.timer = nil
	}
}
