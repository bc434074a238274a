package sim

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/go-redlock/redlock"
)

// holdAll takes several locks at once, keeps them for a while, and mostly unlocks them.
func (c *client) holdAll(random *rand.Rand) {
	w := c.world
	some := random.Perm(len(w.names))[:2+random.IntN(len(w.names)-1)]
	before := w.marks()
	ms := make([]*redlock.Mutex, len(some))
	for i, n := range some {
		opts := w.terms
		if random.IntN(4) == 0 {
			opts = append(slices.Clip(opts), redlock.WithRenewal(redlock.Forever))
		}
		ms[i] = c.mutex(w.names[n], opts, random)
	}
	ls, ok := c.takeAll(ms, random)
	if !ok {
		return
	}
	held := make([]*holding, len(some))
	for i, n := range some {
		held[i] = &holding{Lease: ls.Lease(w.names[n]), client: c.number}
		w.taken(w.names[n], held[i], before(w.names[n]), c.alone)
	}
	switch random.IntN(6) {
	case 0:
		held[0].rest(w.pace / 2)
	case 1:
		held[0].rest(w.pace / 4)
		c.wait()
		_ = ls.Extend(context.Background())
	default:
		held[0].rest(10*time.Microsecond + time.Duration(random.Int64N(int64(5*time.Millisecond))))
	}
	c.wait()
	began := time.Now()
	err := ls.Unlock(context.Background())
	if took := time.Since(began); took > timeout+grace+time.Millisecond && !c.strays(began) {
		w.violate("client %d: Unlock of several took %v: %v", c.number, took, err)
	}
	if ls.Err() == nil {
		w.violate("client %d: several leases are valid after Unlock", c.number)
	}
}

// takeAll takes several locks in one of the possible ways.
func (c *client) takeAll(ms []*redlock.Mutex, random *rand.Rand) (*redlock.Leases, bool) {
	w := c.world
	ctx, cancel := w.ctx, func() {}
	bound := time.Duration(0)
	if random.IntN(4) == 0 {
		bound = time.Duration(random.Int64N(int64(2 * w.pace)))
		ctx, cancel = context.WithTimeout(ctx, bound)
	}
	defer cancel()
	take := redlock.LockAll
	if random.IntN(4) == 0 {
		take, bound = redlock.TryLockAll, 0
	}
	began := time.Now()
	ls, err := take(ctx, ms...)
	if took := time.Since(began); err != nil && bound > 0 && took > bound+timeout+grace && !c.strays(began) {
		w.violate("client %d: LockAll failed after %v, its wait was %v: %v", c.number, took, bound, err)
	}
	return ls, err == nil
}
