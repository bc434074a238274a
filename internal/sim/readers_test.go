package sim

import (
	"math/rand/v2"
	"slices"

	"github.com/go-redlock/redlock"
)

// mutex returns the mutex of that name. Where there are readers most take it shared, for TTLs that
// are not all alike.
func (c *client) mutex(name string, opts []redlock.MutexOption, random *rand.Rand) *redlock.Mutex {
	if !c.world.regime.readers {
		return c.locks.Mutex(name, opts...)
	}
	if random.IntN(3) == 0 {
		opts = append(slices.Clip(opts), redlock.WithTTL(c.world.ttl*2/3))
	}
	m := c.locks.Mutex(name, opts...)
	if random.IntN(8) < 5 {
		return m.Shared()
	}
	return m
}

// clash returns one of the holdings that must not be valid together with h, or nil.
func (h *holding) clash(held []*holding) *holding {
	for _, o := range held {
		if !o.Shared() || !h.Shared() {
			return o
		}
	}
	return nil
}

// reads judges the token of a reader: it is at least that of each writer that was returned before
// the reader's call began. The tokens of writers whose call begins from now on are above it. mu is
// held.
func (w *world) reads(name string, h *holding, before mark) {
	switch f := h.Fence(); {
	case f == 0:
		w.note("client %d shares %s without a token", h.client, name)
	case f < before.top:
		w.note("client %d shares %s with token %d, though %d had been returned before", h.client, name, f, before.top)
	}
	w.read[name] = max(w.read[name], h.Fence())
}
