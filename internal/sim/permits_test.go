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

// ways returns the ways to take the lock of that name, or a permit.
func (c *client) ways(name string, opts []redlock.MutexOption) (lock, try func(context.Context) (*redlock.Lease, error)) {
	if c.world.regime.permits {
		s := c.locks.Semaphore(name, c.permits, opts...)
		return s.Acquire, s.TryAcquire
	}
	m := c.locks.Mutex(name, opts...)
	return m.Lock, m.TryLock
}

// doing is Do of the lock of that name, or of a permit.
func (c *client) doing(ctx context.Context, name string, fn func(context.Context, *redlock.Lease) error) error {
	if c.world.regime.permits {
		return c.locks.Semaphore(name, c.permits, c.world.terms...).Do(ctx, fn)
	}
	return c.locks.Do(ctx, name, fn, c.world.terms...)
}

// lease returns the lease of that name that ctx carries.
func (c *client) lease(ctx context.Context, name string) (*redlock.Lease, bool) {
	if c.world.regime.permits {
		return c.locks.Semaphore(name, c.permits).FromContext(ctx)
	}
	return c.locks.FromContext(ctx, name)
}

// marks are the greatest tokens returned so far, for each thing that one owner has at a time.
func (w *world) marks() map[string]uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.top)
}

// exclusive returns what only this lease may have: the lock of that name, or a slot.
func exclusive(name string, le *redlock.Lease) string {
	if le.Permits() == 0 {
		return name
	}
	return fmt.Sprintf("%s, slot %d", name, le.Slot())
}
