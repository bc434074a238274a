package sim

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/wire"
)

const maxPermits = 4

// permit decides how many permits there are. Not all clients allow the same number.
func (w *world) permit(random *rand.Rand) {
	permits := 1 + random.IntN(maxPermits)
	for _, c := range w.life {
		c.permits = permits
		if random.IntN(8) == 0 {
			c.permits = 1 + random.IntN(maxPermits)
		}
	}
}

// locks returns the keys of all locks, which hold an owner or nothing.
func (w *world) locks() []string {
	if !w.regime.permits {
		return w.names
	}
	var locks []string
	for _, name := range w.names {
		slots, err := wire.SlotKeys("", name, maxPermits)
		if err != nil {
			panic(err)
		}
		for _, k := range slots {
			locks = append(locks, k.Lock)
		}
	}
	return locks
}

// ways returns the ways to take the lock of that name, alone or shared, or a permit.
func (c *client) ways(name string, opts []redlock.MutexOption, random *rand.Rand) (lock, try func(context.Context) (*redlock.Lease, error)) {
	if c.world.regime.permits {
		s := c.locks.Semaphore(name, c.permits, opts...)
		return s.Acquire, s.TryAcquire
	}
	m := c.mutex(name, opts, random)
	return m.Lock, m.TryLock
}

// doing is Do of the lock of that name, alone or shared, or of a permit.
func (c *client) doing(ctx context.Context, name string, random *rand.Rand, fn func(context.Context, *redlock.Lease) error) error {
	if c.world.regime.permits {
		return c.locks.Semaphore(name, c.permits, c.world.terms...).Do(ctx, fn)
	}
	return c.mutex(name, c.world.terms, random).Do(ctx, fn)
}

// lease returns the lease of that name that ctx carries.
func (c *client) lease(ctx context.Context, name string) (*redlock.Lease, bool) {
	if c.world.regime.permits {
		return c.locks.Semaphore(name, c.permits).FromContext(ctx)
	}
	return c.locks.FromContext(ctx, name)
}

// A mark is what the tokens of a lock, or of a slot, are compared with.
type mark struct {
	top  uint64 // the greatest token that was returned
	read uint64 // and the greatest that was returned to a reader
}

// marks returns the marks of that moment.
func (w *world) marks() func(what string) mark {
	w.mu.Lock()
	defer w.mu.Unlock()
	top, read := maps.Clone(w.top), maps.Clone(w.read)
	return func(what string) mark { return mark{top[what], read[what]} }
}

// mark is that of one lock.
func (w *world) mark(what string) mark {
	w.mu.Lock()
	defer w.mu.Unlock()
	return mark{w.top[what], w.read[what]}
}

// exclusive returns what only this lease may have: the lock of that name, or a slot.
func exclusive(name string, le *redlock.Lease) string {
	if le.Permits() == 0 {
		return name
	}
	return fmt.Sprintf("%s, slot %d", name, le.Slot())
}
