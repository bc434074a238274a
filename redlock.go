package redlock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-redlock/redlock/internal/dispatch"
	"github.com/go-redlock/redlock/internal/notify"
	"github.com/go-redlock/redlock/internal/release"
	"github.com/go-redlock/redlock/internal/schedule"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// A Locker takes locks over a quorum of nodes. It is made by [New] and safe for concurrent use by
// any number of goroutines. Make one for a set of nodes and keep it: it shares round trips and
// waits between all its locks.
type Locker struct {
	engine
	queues   queues
	drained  chan struct{} // closed once Close is over
	closeErr error
	signOff  []func() error
}

// New makes a Locker over the nodes, each an independent master with one vote. It does not connect:
// each call finds out anew which nodes are reachable. An even number of nodes works, but tolerates
// no more failures than one node less.
//
// It fails with an [*OptionError] if there are no nodes, a node is nil or was not made by package
// pool, an address is given twice, or options are out of range or do not fit together. On success
// call [Locker.Close] in the end.
func New(nodes []pool.Node, opts ...Option) (*Locker, error) {
	masters, err := nodesOf(nodes)
	if err != nil {
		return nil, err
	}
	c := defaults()
	for i, o := range opts {
		if o == nil {
			return nil, &OptionError{fmt.Sprintf("opts[%d]", i), nil, "the option is nil"}
		}
		if err := o.applyLocker(&c); err != nil {
			return nil, err
		}
	}
	if err := c.check(masters); err != nil {
		return nil, err
	}
	l := &Locker{drained: make(chan struct{})}
	l.config, l.quorum, l.closed = c, len(nodes)/2+1, make(chan struct{})
	l.dispatch = dispatch.New(masters, l.hooks())
	l.renewals = schedule.New(l.clock, renewalSlack, schedule.Hooks{Ready: l.hasRoom, Ran: l.dispatch.Depart})
	l.journal.logger, l.journal.spawn = l.logger, l.dispatch.Go
	l.lines = l.dispatch.Lines()
	l.health = make([]health, len(nodes))
	for i, n := range masters {
		gaveUp := func(why error) { l.gaveUp(i, why) }
		l.backlogs = append(l.backlogs, release.New(l.lines[i], &l.dispatch.Group, l.clock, gaveUp))
		l.signOff = append(l.signOff, n.Open())
	}
	l.notifier = notify.New(l.dispatch, l.quorum, l.clock, l.logger, notify.Hooks{
		Timeout:  func() time.Duration { return l.timeout(&l.terms) },
		Unused:   l.queues.unused,
		Reserved: l.queues.reserved,
		Occupied: l.occupiedAt,
	})
	l.queues.notifier, l.queues.prefix, l.queues.needed, l.queues.done = l.notifier, l.prefix, l.quorum, l.closed
	l.queues.byName = make(map[string]namesakes)
	if len(nodes)%2 == 0 {
		l.logger.Warn("redlock: an even number of nodes tolerates no more failures than one less", "nodes", len(nodes))
	}
	return l, nil
}

// nodesOf checks the nodes given to New, and unwraps them.
func nodesOf(given []pool.Node) ([]wire.Node, error) {
	if len(given) == 0 {
		return nil, &OptionError{"nodes", len(given), "a Locker needs at least one node"}
	}
	nodes := make([]wire.Node, len(given))
	seen := make(map[string]int, len(given))
	for i, g := range given {
		option := fmt.Sprintf("nodes[%d]", i)
		if g == nil {
			return nil, &OptionError{option, nil, "the node is nil"}
		}
		n := wire.NodeOf(g)
		if n == nil {
			return nil, &OptionError{option, fmt.Sprintf("%T", g), "it was not made by package pool; a type that embeds a node is none"}
		}
		if bad, ok := n.(interface{ Unfit() error }); ok {
			return nil, &OptionError{option, n.Addr(), bad.Unfit().Error()}
		}
		if j, twice := seen[n.Addr()]; twice {
			return nil, &OptionError{option, n.Addr(), fmt.Sprintf("the address is that of nodes[%d] too: a master has one vote", j)}
		}
		nodes[i], seen[n.Addr()] = n, i
	}
	return nodes, nil
}

// made returns an error for a Locker that is zero or nil.
func (l *Locker) made() error {
	if l == nil || len(l.lines) == 0 {
		return &OptionError{"Locker", nil, "it was not made by New"}
	}
	return nil
}

// String returns how many nodes the Locker has.
func (l *Locker) String() string {
	if l.made() != nil {
		return "redlock.Locker(none)"
	}
	return fmt.Sprintf("redlock.Locker(%d nodes)", len(l.lines))
}

// Lock takes the lock of that name. It waits while another owner has the lock or too few nodes
// answer: until ctx ends, or as long as [WithWait] says. ctx bounds the wait alone; the lease
// outlives it. Over a single node Lock may notice a cancellation only when the node has answered,
// at most a node timeout late; it keeps a deadline.
//
// On success the lease is valid and must be unlocked in the end. On failure it is nil, and nothing
// stays locked. The error then is an [*OptionError] for bad arguments, ErrClosed, or a
// [*QuorumError] with the last verdict and what ended the wait. If the context ended before there
// was a verdict, the error wraps the context's; it is a [*QuorumError] with each node's answer so
// far if nodes had been asked by then. Lock returns at once where a majority of the nodes refuses
// permanently (no permission, a key of another type).
func (l *Locker) Lock(ctx context.Context, name string, opts ...MutexOption) (*Lease, error) {
	m := l.Mutex(name, opts...)
	return m.take(ctx, &m.terms, (*Mutex).await)
}

// TryLock takes the lock of that name if it is free now. It waits neither for a holder nor for
// nodes to return, so it ends within the node timeout, with two exceptions. Where simultaneous
// callers have split the nodes between them, they go on for about six node timeouts at most, so
// that one of them succeeds. And where a quorum is missing only because connections to the nodes
// are still being made, as in a process that has just started far away from them, TryLock waits for
// a second and the node timeout at most. It returns [ErrHeld] only if it has seen one owner on a
// majority of the nodes; where the votes stay split it returns ErrNoQuorum.
//
// On success the lease is valid and must be unlocked in the end. On failure it is nil, and nothing
// stays locked; the errors are the same as Lock's.
func (l *Locker) TryLock(ctx context.Context, name string, opts ...MutexOption) (*Lease, error) {
	m := l.Mutex(name, opts...)
	return m.take(ctx, &m.terms, (*Mutex).try)
}

// Do runs fn while it holds the lock of that name; see [Mutex.Do].
func (l *Locker) Do(ctx context.Context, name string, fn func(context.Context, *Lease) error, opts ...MutexOption) error {
	return l.Mutex(name, opts...).Do(ctx, fn)
}

// TryDo is Do without waiting; see [Mutex.TryDo].
func (l *Locker) TryDo(ctx context.Context, name string, fn func(context.Context, *Lease) error, opts ...MutexOption) error {
	return l.Mutex(name, opts...).TryDo(ctx, fn)
}

// Close refuses new calls, ends waiting calls with ErrClosed, stops renewals and ends the contexts
// of all leases with ErrClosed. It does not release locks that are still held, because the code
// under them may still run: they can be unlocked later, or they expire. Then Close waits for the
// background work: until ctx ends, and at most one node timeout longer. Last it gives up the nodes,
// which closes the clients that [pool.Dial] made if no other Locker uses them.
//
// It returns nil if and only if the background work was done and the clients closed without an
// error. It may be called more than once, and concurrently: each call returns once the first has.
func (l *Locker) Close(ctx context.Context) error {
	if err := l.made(); err != nil {
		return err
	}
	live, first := l.leases.close()
	if !first {
		<-l.drained
		return l.closeErr
	}
	l.queues.close()
	close(l.closed)
	l.notifier.Close()
	for _, le := range live {
		le.close()
	}
	if l.closeErr = l.drain(ctx); l.closeErr == nil {
		l.dispatch.Join()
	}
	for _, f := range l.signOff {
		if err := f(); err != nil {
			l.closeErr = errors.Join(l.closeErr, fmt.Errorf("redlock: close: %w", err))
		}
	}
	close(l.drained)
	return l.closeErr
}

// drain waits for the background work: until it is done, or ctx has ended and a node timeout has
// passed since.
func (l *Locker) drain(ctx context.Context) error {
	grace := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		l.clock.AfterFunc(l.timeout(&l.terms), func() { close(grace) })
	})
	defer stop()
	defer func() {
		l.dispatch.Retire()
		for _, b := range l.backlogs {
			b.Close()
		}
	}()
	if !l.dispatch.Drain(grace) {
		return fmt.Errorf("redlock: close: %d requests or releases are still under way: %w", l.dispatch.Pending(), ended(ctx))
	}
	return nil
}

// Stats counts what a Locker has under way.
type Stats struct {
	Leases int // held and not ended
	// requests on their way to nodes, and releases that are still to be sent again: the node did
	// not answer, or refused, or must get them twice
	Pending int
	// releases given up because too many waited for their node: their keys last until their TTL
	Dropped uint64
	// releases given up because their node refused them until their keys must have expired
	Refused uint64
}

// Stats returns what the Locker has under way.
func (l *Locker) Stats() Stats {
	if l.made() != nil {
		return Stats{}
	}
	s := Stats{Leases: l.leases.count(), Pending: l.dispatch.Pending()}
	for _, b := range l.backlogs {
		s.Dropped += b.Dropped()
		s.Refused += b.Refused()
	}
	return s
}
