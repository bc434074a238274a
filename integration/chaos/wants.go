package main

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/integration/clocks"
)

// A want is what a client asks for at a time: one lock, alone or shared, a pair of locks, or a
// permit.
type want struct {
	kind    string   // which of these, for the report
	names   []string // of the locks, or of the semaphore
	permits int      // of the semaphore
	// they take it, as Lock and TryLock do
	lock, try func(context.Context) (holding, error)
}

// A holding is what a client has got.
type holding struct {
	held
	leases []*redlock.Lease
}

// held is what a [redlock.Lease] and [redlock.Leases] have in common.
type held interface {
	Context() context.Context
	Done() <-chan struct{}
	Err() error
	Unlock(ctx context.Context) error
}

// wants are what clients choose from.
var wants = []func(*redlock.Locker, *rand.Rand, []redlock.MutexOption) want{
	func(l *redlock.Locker, random *rand.Rand, opts []redlock.MutexOption) want {
		return wantLock(l, shared(random.IntN(names)), opts...)
	},
	func(l *redlock.Locker, random *rand.Rand, opts []redlock.MutexOption) want {
		pair := random.Perm(names)[:2]
		return wantPair(l, shared(pair[0]), shared(pair[1]), random.IntN(3) == 0, opts...)
	},
	func(l *redlock.Locker, random *rand.Rand, opts []redlock.MutexOption) want {
		return wantShare(l, shared(random.IntN(names)), opts...)
	},
	func(l *redlock.Locker, _ *rand.Rand, opts []redlock.MutexOption) want {
		return wantPermit(l, "permits", opts...)
	},
}

// contenders are what goroutines of each client want in a loop while masters are frozen for long.
var contenders = []func(l *redlock.Locker, name string, opts ...redlock.MutexOption) want{wantLock, wantLock, wantPermit}

func shared(i int) string { return fmt.Sprintf("shared-%d", i) }

func wantLock(l *redlock.Locker, name string, opts ...redlock.MutexOption) want {
	m := l.Mutex(name, opts...)
	return want{kind: "lock", names: []string{name}, lock: one(m.Lock), try: one(m.TryLock)}
}

// wantShare wants a lock together with other readers.
func wantShare(l *redlock.Locker, name string, opts ...redlock.MutexOption) want {
	m := l.Mutex(name, opts...).Shared()
	return want{kind: "share", names: []string{name}, lock: one(m.Lock), try: one(m.TryLock)}
}

func wantPermit(l *redlock.Locker, name string, opts ...redlock.MutexOption) want {
	s := l.Semaphore(name, permits, opts...)
	return want{kind: "permit", names: []string{name}, permits: permits, lock: one(s.Acquire), try: one(s.TryAcquire)}
}

// wantPair wants two locks, the second shared or alone.
func wantPair(l *redlock.Locker, first, second string, reads bool, opts ...redlock.MutexOption) want {
	ms := []*redlock.Mutex{l.Mutex(first, opts...), l.Mutex(second, opts...)}
	if reads {
		ms[1] = ms[1].Shared()
	}
	all := func(take func(context.Context, ...*redlock.Mutex) (*redlock.Leases, error)) func(context.Context) (holding, error) {
		return func(ctx context.Context) (holding, error) {
			ls, err := take(ctx, ms...)
			return holding{ls, []*redlock.Lease{ls.Lease(first), ls.Lease(second)}}, err
		}
	}
	return want{kind: "pair", names: []string{first, second}, lock: all(redlock.LockAll), try: all(redlock.TryLockAll)}
}

// one returns a function that takes one lease.
func one(take func(context.Context) (*redlock.Lease, error)) func(context.Context) (holding, error) {
	return func(ctx context.Context) (holding, error) {
		le, err := take(ctx)
		return holding{le, []*redlock.Lease{le}}, err
	}
}

// A claim is what a client holds, and what it reports about that.
type claim struct {
	holding
	worker  *worker
	reports []report // one for each lease, to be completed
}

// take takes what is wanted, in this way, and reports how that went. Leases that renew themselves
// are reported without an end.
func (w *worker) take(ctx context.Context, of want, how func(context.Context) (holding, error), renews bool) (*claim, bool) {
	called := clocks.Monotonic()
	got, err := how(ctx)
	at := clocks.Monotonic()
	if err != nil {
		for _, name := range of.names {
			w.tell(report{What: failed, Name: name, Permits: of.permits, Called: called, At: at, Text: outcome(err)})
		}
		return nil, false
	}
	c := &claim{holding: got, worker: w}
	for _, le := range got.leases {
		r := report{Lease: int(w.leases.Add(1)), Name: le.Name(), Slot: le.Slot(), Permits: le.Permits(), Shared: le.Shared(), Token: le.Fence()}
		c.reports = append(c.reports, r)
		r.What, r.Kind, r.Called, r.At = locked, of.kind, called, at
		if !renews {
			r.Until = w.clock.real(le.Until())
		}
		w.tell(r)
	}
	return c, true
}

// write writes to the resources, under each lease that is not shared.
func (c *claim) write() {
	for _, r := range c.reports {
		if !r.Shared {
			r.What = write
			c.worker.tell(r)
		}
	}
}

// release releases the leases.
func (c *claim) release() {
	w, at := c.worker, clocks.Monotonic()
	for i, r := range c.reports {
		r.What, r.At = ended, min(at, w.clock.real(c.leases[i].Until()))
		w.tell(r)
	}
	if err := c.Unlock(context.Background()); err == nil {
		at = clocks.Monotonic()
		for _, r := range c.reports {
			r.What, r.At = freed, at
			w.tell(r)
		}
	}
	if c.Err() == nil {
		w.tell(report{What: broken, Text: "a lease that was unlocked calls itself valid"})
	}
}
