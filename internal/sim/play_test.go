package sim

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"runtime/pprof"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redlock/redlock"
)

// play runs the schedule to its end.
func (w *world) play() {
	defer w.cancel()
	if w.regime.turns {
		w.race()
		return
	}
	timers := make([]*time.Timer, 0, 2*len(w.faults))
	for _, f := range w.faults {
		timers = append(timers, time.AfterFunc(f.at, f.begin), time.AfterFunc(f.at+f.lasts, f.end))
	}
	peace := make(chan struct{})
	time.AfterFunc(8*w.pace, func() {
		w.over.Store(true)
		for _, t := range timers {
			t.Stop()
		}
		for _, f := range w.faults {
			f.end()
		}
		close(peace)
	})
	var work sync.WaitGroup
	for _, c := range w.life {
		count := 1
		if w.regime.hands {
			count = 3
		} else if !c.alone {
			count += 1 + c.random.IntN(2)
		}
		for i := range count {
			random := rand.New(rand.NewPCG(w.seed, uint64(c.number*100+i+5000)))
			work.Go(func() { c.work(random) })
		}
	}
	done := make(chan struct{})
	go func() { work.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(8*w.pace + w.patience()):
		if *verbose {
			_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 2)
		}
		w.violate("a waiter got neither its turn nor an error, %v after all faults were over", w.patience())
		for _, c := range w.life {
			_ = c.locks.Close(context.Background())
		}
		<-done
	}
	<-peace
	for _, c := range w.life {
		began := time.Now()
		if err := c.locks.Close(context.Background()); err != nil {
			w.violate("client %d: Close: %v", c.number, err)
		}
		bound := 1500 * time.Millisecond
		if w.short.Load() { // there are no more answers
			bound = w.ttl + w.lastMessage() + time.Second
		}
		if took := time.Since(began); took > bound {
			w.violate("client %d: Close took %v", c.number, took)
		}
		if n := c.locks.Stats().Dropped; n > 0 {
			w.violate("client %d dropped %d releases", c.number, n)
		}
	}
	if left := w.leftovers(w.frozenLong); w.regime.tidy && !w.short.Load() && len(left) > 0 {
		w.violate("left on the nodes when all is over: %v", left)
	}
	if w.regime.wrong {
		return // how long a TTL is cannot be told
	}
	time.Sleep(w.lastMessage() + 2*w.ttl)
	if left := w.leftovers(func(int) bool { return false }); len(left) > 0 {
		w.violate("left on the nodes a TTL later: %v", left)
	}
}

// patience is the time after all faults within which the last waiter must get its turn. A key that
// was left behind lasts longer on a node whose clock was set back.
func (w *world) patience() time.Duration {
	if w.regime.wrong {
		return patience + 2*maxSkew
	}
	return patience
}

// work is the work of one goroutine of a client.
func (c *client) work(random *rand.Rand) {
	w := c.world
	spread := w.pace / time.Duration(1+random.IntN(20))
	if w.regime.fierce {
		spread = 2 * time.Millisecond
	}
	for w.sent.Load() < w.budget && !w.over.Load() && !w.short.Load() {
		if w.rush.Load() > 0 {
			c.dash(random)
			continue
		}
		if w.regime.hands {
			c.hand(random)
			continue
		}
		time.Sleep(time.Microsecond + time.Duration(random.Int64N(int64(spread))))
		c.wait()
		name := w.names[random.IntN(len(w.names))]
		switch {
		case w.regime.elects && random.IntN(8) > 0:
			c.campaign(name, random)
		case w.regime.sets && random.IntN(8) > 0, len(w.names) > 1 && random.IntN(4) == 0:
			c.holdAll(random)
		case random.IntN(12) == 0:
			c.do(name, random)
		default:
			c.hold(name, random)
		}
	}
}

// dash takes the lock if it is free at once, or soon, and releases it.
func (c *client) dash(random *rand.Rand) {
	w := c.world
	time.Sleep(time.Microsecond + time.Duration(random.Int64N(int64(time.Millisecond))))
	c.wait()
	name := w.names[random.IntN(len(w.names))]
	before := w.mark(name)
	take := c.locks.TryLock
	if random.IntN(2) == 0 {
		take = c.locks.Lock
	}
	ctx, cancel := context.WithTimeout(w.ctx, timeout)
	defer cancel()
	if le, err := take(ctx, name, w.terms...); err == nil {
		w.taken(name, &holding{Lease: le, client: c.number}, before, c.alone)
		_ = le.Unlock(w.ctx) // the lease may be lost by now
	}
}

// take takes the lock in one of the possible ways.
func (c *client) take(name string, random *rand.Rand) (*holding, bool) {
	w := c.world
	opts := slices.Clone(w.terms)
	switch random.IntN(8) {
	case 0, 1:
		opts = append(opts, redlock.WithRenewal(redlock.Forever))
	case 2:
		opts = append(opts, redlock.WithRenewal(w.ttl))
	case 3:
		if !w.regime.tidy {
			opts = append(opts, redlock.WithMinHold(w.ttl/2))
		}
	}
	ctx, cancel := w.ctx, func() {}
	bound := time.Duration(0)
	if random.IntN(3) == 0 {
		bound = time.Duration(random.Int64N(int64(2 * w.pace)))
		ctx, cancel = context.WithTimeout(ctx, bound)
	}
	defer cancel()
	before := w.marks()

	began := time.Now()
	lock, tryLock := c.ways(name, opts, random)
	try := random.IntN(4) == 0
	if try {
		lock = tryLock
	}
	le, err := lock(ctx)
	if err != nil {
		took := time.Since(began)
		switch {
		case c.strays(began):
		case try && took > 6*(timeout+grace), !try && bound > 0 && took > bound+timeout+grace:
			w.violate("client %d: Lock of %s failed after %v, its wait was %v: %v", c.number, name, took, bound, err)
		}
		return nil, false
	}
	h := &holding{le, c.number, len(opts) == len(w.terms)}
	if le.Permits() > 0 && le.Slot() >= c.permits {
		w.violate("client %d has slot %d of %d", c.number, le.Slot(), c.permits)
	}
	what := exclusive(name, le)
	w.taken(what, h, before(what), c.alone)
	return h, true
}

// strays reports whether the client's clock or the client itself may have stood still since then.
func (c *client) strays(time.Time) bool {
	r := c.world.regime
	if r.wrong {
		return true
	}
	for _, f := range c.world.faults {
		if slices.Contains([]string{"stop", "doze", "suspend"}, f.kind) && f.client == c.number {
			return true
		}
	}
	return false
}

// taken judges a lease that was just returned. before is the mark of the moment at which the call
// began.
func (w *world) taken(name string, h *holding, before mark, alone bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case len(w.terms) > 0: // without tokens
	case h.Shared():
		w.reads(name, h, before)
	default:
		w.numbered(name, h, max(before.top, before.read), alone)
	}
	if h.Err() != nil {
		return
	}
	held := slices.DeleteFunc(w.held[name], func(o *holding) bool { return o.Err() != nil })
	if o := h.clash(held); o != nil {
		w.overlaps++
		if w.regime.exclusive {
			w.note("clients %d and %d have %s at the same time", o.client, h.client, name)
		}
	}
	w.held[name] = append(held, h)
}

// numbered judges the lease's token. mu is held.
func (w *world) numbered(name string, h *holding, above uint64, alone bool) {
	seen := w.tokens[name]
	if seen == nil {
		seen = make(map[uint64]bool)
		w.tokens[name] = seen
	}
	switch f := h.Fence(); {
	case f == 0:
		w.note("client %d has %s without a token", h.client, name)
	case w.regime.lag && !w.regime.guard && f+slack > above:
		// A node trusts a hint that is only so little behind its clock: the protocol's slack.
	case w.regime.name == "losses" && w.ahead.Load() && f <= w.top[name] && f+uint64(lead.Microseconds()) > w.top[name]:
		// A block may end as far ahead of the clocks as a turn is long, and later tokens begin
		// above it. If a register is lost, a token of that time may come again, or a lower one: see
		// "Lost registers" in docs/safety.md.
	case seen[f]:
		w.note("token %d of %s was given out twice", f, name)
	case f <= above && (alone || w.regime.exclusive):
		w.note("token %d of %s is not above %d, which had been returned before", f, name, above)
	}
	seen[h.Fence()] = true
	w.top[name] = max(w.top[name], h.Fence())
}

// hold takes the lock, keeps it for a while, and mostly unlocks it.
func (c *client) hold(name string, random *rand.Rand) {
	w := c.world
	h, ok := c.take(name, random)
	if !ok {
		return
	}
	holds, short := 8, 5*time.Millisecond
	if w.regime.fierce {
		holds, short = 32, time.Millisecond
	}
	switch random.IntN(holds) {
	case 0, 1:
		h.rest(w.pace / 2)
	case 2:
		h.rest(2 * w.pace)
	case 3:
		h.rest(w.pace/4 + time.Duration(random.Int64N(int64(w.pace))))
		c.wait()
		c.extend(h, random)
		h.rest(w.pace * 3 / 4)
	default:
		h.rest(10*time.Microsecond + time.Duration(random.Int64N(int64(short))))
	}
	c.wait()
	if h.Err() != nil {
		// By the client's clock, which may be stopped, it has ended: not later than it should.
		if ended := c.Now(); h.Until().After(ended) {
			w.violate("client %d: the lease has ended, yet lasts until %v later", c.number, h.Until().Sub(ended))
		}
	}
	if h.plain && !w.regime.tidy && random.IntN(20) == 0 {
		return // as if it had crashed
	}
	began := time.Now()
	err := h.Unlock(context.Background())
	if took := time.Since(began); took > timeout+grace+time.Millisecond && !c.strays(began) {
		w.violate("client %d: Unlock took %v: %v", c.number, took, err)
	}
	if h.Err() == nil {
		w.violate("client %d: the lease is valid after Unlock", c.number)
	}
	if random.IntN(10) == 0 && !errors.Is(h.Unlock(context.Background()), redlock.ErrReleased) {
		w.violate("client %d: Unlock twice", c.number)
	}
}

// hand takes the lock, often extends it, and hands it on meanwhile.
func (c *client) hand(random *rand.Rand) {
	w := c.world
	time.Sleep(beat * time.Duration(random.IntN(16)))
	name := w.names[0]
	before := w.mark(name)
	ctx, cancel := context.WithTimeout(w.ctx, 2*w.pace)
	defer cancel()
	le, err := c.locks.Lock(ctx, name, w.terms...)
	if err != nil {
		return
	}
	h := &holding{Lease: le, client: c.number}
	w.taken(name, h, before, c.alone)
	extended := make(chan struct{})
	if random.IntN(4) > 0 {
		go func() { defer close(extended); _ = h.Extend(context.Background()) }()
	} else {
		close(extended)
	}
	h.rest(beat * time.Duration(1+random.IntN(3)))
	c.outlived(h)
	_ = h.Unlock(context.Background())
	<-extended
}

// rest waits until the lease ends, or d.
func (h *holding) rest(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-h.Done():
	}
}

func (c *client) extend(h *holding, random *rand.Rand) {
	ctx, cancel := context.Background(), func() {}
	if random.IntN(3) == 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(random.Int64N(int64(2*timeout))))
	}
	defer cancel()
	before := h.Until()
	if err := h.Extend(ctx); err == nil && h.Until().Before(before) && h.Err() == nil {
		c.world.violate("client %d: Extend shortened the lease", c.number)
	}
}

// do holds the lock in Do.
func (c *client) do(name string, random *rand.Rand) {
	w := c.world
	ctx, cancel := context.WithTimeout(w.ctx, 2*w.pace)
	defer cancel()
	before := w.marks()
	_ = c.doing(ctx, name, random, func(ctx context.Context, le *redlock.Lease) error {
		h := &holding{Lease: le, client: c.number}
		what := exclusive(name, le)
		w.taken(what, h, before(what), c.alone)
		h.rest(time.Duration(random.Int64N(int64(2 * w.pace))))
		c.wait()
		return ctx.Err()
	})
}

// race makes a few goroutines of one client take the lock again and again. Then all registers are
// lost: at once, or with the guard one after the other. The clocks agree, so the other client's
// token must be above all earlier ones.
func (w *world) race() {
	one, other := w.life[0], w.life[1]
	random := rand.New(rand.NewPCG(w.seed, 7000))
	left := int64(100 + random.IntN(maxTurns))
	var turns atomic.Int64
	var work sync.WaitGroup
	for i := range 2 + random.IntN(2) {
		rest, hold := 1+random.Int64N(int64(500*time.Microsecond)), 1+random.Int64N(int64(20*time.Microsecond))
		random := rand.New(rand.NewPCG(w.seed, uint64(7001+i)))
		work.Go(func() {
			for turns.Add(1) <= left {
				w.turn(one, 0, time.Duration(random.Int64N(hold)))
				time.Sleep(time.Duration(random.Int64N(rest)))
			}
		})
	}
	work.Wait()
	if w.regime.guard {
		for i, n := range w.nodes {
			n.Restart(false)
			w.lost(i)
			w.turn(other, timeout, 0) // the guard begins with the first request
			time.Sleep(w.ttl + w.ttl/50 + 200*time.Millisecond)
		}
	} else {
		for _, n := range w.nodes {
			n.Flush()
		}
		time.Sleep(lead)
	}
	w.turn(other, time.Second, 0)
	for _, c := range w.life {
		if err := c.locks.Close(context.Background()); err != nil {
			w.violate("client %d: Close: %v", c.number, err)
		}
	}
}

// turn takes the lock for a while.
func (w *world) turn(c *client, wait, hold time.Duration) {
	name, ctx := w.names[0], w.ctx
	if wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, wait)
		defer cancel()
	}
	before := w.mark(name)
	le, err := c.locks.Lock(ctx, name)
	if err != nil {
		return
	}
	w.taken(name, &holding{Lease: le, client: c.number}, before, true)
	time.Sleep(hold)
	_ = le.Unlock(w.ctx)
}
