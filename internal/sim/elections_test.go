package sim

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/election"
)

var errResigned = errors.New("it has led long enough")

// campaign makes the client a candidate for a while: until it resigns, or gives up.
func (c *client) campaign(name string, random *rand.Rand) {
	w := c.world
	ctx, cancel := context.WithTimeout(w.ctx, time.Duration(random.Int64N(int64(4*w.pace))))
	defer cancel()
	var leads atomic.Bool
	resigned := false
	err := election.New(c.locks, name, w.terms...).Lead(ctx, func(ctx context.Context, le *redlock.Lease) error {
		if leads.Swap(true) {
			w.violate("client %d: its function leads twice at once", c.number)
		}
		defer leads.Store(false)
		c.lead(ctx, name, le, random)
		if resigned = le.Err() == nil && random.IntN(4) > 0; resigned {
			return errResigned
		}
		return ctx.Err()
	})
	switch {
	case resigned && errors.Is(err, errResigned), ctx.Err() != nil:
	case errors.Is(err, redlock.ErrLost):
		w.violate("client %d: its campaign ended with a lead that was lost: %v", c.number, err)
	}
}

// lead leads for a while. The token of a valid term is above those of all terms before it, since
// when it began no other was valid.
func (c *client) lead(ctx context.Context, name string, le *redlock.Lease, random *rand.Rand) {
	w := c.world
	var before mark
	if le.Err() == nil {
		before = w.mark(name)
	}
	h := &holding{Lease: le, client: c.number}
	w.taken(name, h, before, c.alone)
	for range 1 + random.IntN(4) {
		h.rest(time.Duration(random.Int64N(int64(w.pace / 2))))
		c.wait()
		if le.Err() != nil {
			break
		}
	}
	if le.Err() == nil {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(time.Millisecond):
		w.violate("client %d: its term is over, but not its context", c.number)
	}
}
