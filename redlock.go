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

// New makes a Locker of the nodes, each an independent master with one vote. It does not connect: a
// node that is away is found out, and forgiven, at every call. An even number of nodes works but
// tolerates no more failures than one less.
//
// It fails on no nodes, nil, a node that package pool has not made, an address given twice, and
// options that are out of range or do not fit together, with an [*OptionError]. On success
// [Locker.Close] must be called in the end.
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
	l.renewals = schedule.New(l.clock, renewalSlack)
	l.dispatch = dispatch.New(masters, l.hooks())
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
		Occupied: l.occupiedAt,
	})
	l.queues.notifier, l.queues.prefix, l.queues.needed, l.queues.done = l.notifier, l.prefix, l.quorum, l.closed
	l.queues.byName = make(map[string]*localQueue)
	if len(nodes)%2 == 0 {
		l.logger.Warn("redlock: an even number of nodes tolerates no more failures than one less", "nodes", len(nodes))
	}
	return l, nil
}

// nodesOf checks what New is given, and returns the nodes.
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

// Lock takes the lock of that name, and waits while others have it or too few nodes answer: until
// ctx ends, or as long as [WithWait] says. ctx bounds the wait alone; the lease outlives it. Over a
// single node a cancellation may be heard only when the node has answered, a node timeout late at
// most; a deadline is kept.
//
// On success the lease is valid and must be unlocked in the end. On failure it is nil, and nothing
// stays locked. The error then is an [*OptionError] for bad arguments, ErrClosed, a [*QuorumError]
// of the last verdict and the end of the wait, or the error of a context that ended before there
// was a verdict. Where a majority of the nodes refuses for good (no permission, a key of another
// type) it returns at once.
func (l *Locker) Lock(ctx context.Context, name string, opts ...MutexOption) (*Lease, error) {
	return l.Mutex(name, opts...).Lock(ctx)
}

// TryLock takes the lock of that name if it can be had now. It does not wait for a holder or for
// nodes to return, and so ends within the node timeout; only where simultaneous callers have split
// the nodes between them do they go on, for about six node timeouts at most, so that one of them
// succeeds. It says [ErrHeld] only where it has seen one owner on a majority of the nodes; where
// the votes stay split it is ErrNoQuorum. A quorum that is missing only because connections to the
// nodes are still being made, as in a process that has just started far away from them, is waited
// for: for a second and the node timeout at most.
//
// On success the lease is valid and must be unlocked in the end. On failure it is nil, and nothing
// stays locked; errors are those of Lock.
func (l *Locker) TryLock(ctx context.Context, name string, opts ...MutexOption) (*Lease, error) {
	return l.Mutex(name, opts...).TryLock(ctx)
}

// Do runs fn while it holds the lock of that name; see [Mutex.Do].
func (l *Locker) Do(ctx context.Context, name string, fn func(context.Context, *Lease) error, opts ...MutexOption) error {
	return l.Mutex(name, opts...).Do(ctx, fn)
}

// TryDo is Do without waiting; see [Mutex.TryDo].
func (l *Locker) TryDo(ctx context.Context, name string, fn func(context.Context, *Lease) error, opts ...MutexOption) error {
	return l.Mutex(name, opts...).TryDo(ctx, fn)
}

// Close refuses new calls, wakes those that wait with ErrClosed, stops renewals and ends the
// contexts of all leases with ErrClosed. What is still held is not released, for the code under it
// may still run: it may be unlocked later, or expires. Then Close waits for the clean-ups in the
// background: until ctx ends, and for at most one node timeout more. At last it signs off from the
// nodes, which closes the clients that [pool.Dial] made, if no other Locker uses them.
//
// It returns nil exactly if the background work was done. It may be called more than once, and
// concurrently: each call returns once the first has.
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

// Stats is what a Locker has under way.
type Stats struct {
	Leases int // held and not ended
	// requests on their way to nodes, and releases that are owed to nodes which did not answer, or
	// refused them, or are to be sent once more
	Pending int
	// releases given up because too many were owed to their node: their keys last until their TTL
	Dropped uint64
	// releases given up because their node refused them for as long as their keys may have lasted
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
