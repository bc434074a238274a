package sim

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

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

// share takes the lock again and again: shared most of the time, and alone now and then.
func (th *throng) share(l *redlock.Locker, random *rand.Rand, end time.Time) {
	for time.Now().Before(end) {
		m := l.Mutex("a")
		if random.IntN(4) > 0 {
			m = m.Shared()
		}
		began := time.Now()
		le, err := m.Lock(context.Background())
		if err != nil {
			th.violate("Lock: %v", err)
			return
		}
		if d := time.Since(began); d > waitBound {
			th.violate("%v: one of six waited %v for its turn", m, d)
		}
		time.Sleep(time.Duration(random.Int64N(int64(2 * time.Millisecond))))
		if err := le.Unlock(context.Background()); err != nil && !errors.Is(err, redlock.ErrNoQuorum) {
			th.violate("Unlock: %v", err)
		}
	}
}

// While a majority serves, each reader and each writer gets its turn.
func TestAFrozenMinorityKeepsNeitherReadersNorWritersOut(t *testing.T) { //nolint:paralleltest // the library's jitter is seeded
	each(t, 1, func(seed uint64) *throng {
		th := newThrong(seed, 3, time.Millisecond)
		end := time.Now().Add(crowd)
		var all sync.WaitGroup
		for p, l := range th.locks {
			for g := range 2 {
				all.Go(func() { th.share(l, rand.New(rand.NewPCG(seed, uint64(10*p+g+2))), end) })
			}
		}
		th.freeze(end)
		all.Wait()
		return th
	})
}
