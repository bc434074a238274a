// Package redlocktest is for testing programs that lock. It has real locks over masters in memory,
// with faults on command.
//
//	func TestItStopsWhenTheLockIsLost(t *testing.T) {
//		q := redlocktest.New(t, 5)
//		service := NewService(q.Locker())
//		…
//		q.Lose("invoice:42")
//		…
//	}
//
// # Time
//
// Everything also works inside a bubble of [testing/synctest], where TTLs and timeouts take no real
// time. Make the [Quorum] inside the bubble.
//
// # Faults
//
// The masters that [New] makes are numbered from 0 to n-1. [Quorum.Freeze], [Quorum.Kill],
// [Quorum.Restart], [Quorum.RestartWithData] and [Quorum.Slow] disturb a master. [Quorum.Isolate]
// cuts off one process. [Quorum.Hold] and [Quorum.Share] hold a lock as another process.
// [Quorum.Lose] takes a lock away from its holder.
//
// # Without locks
//
// A test that needs no real lock can use [Lease] together with its own interface: see the example.
// A context that ends with a lease, such as that of [redlock.Lease.Bind], ends in another
// goroutine: wait for its Done.
//
// # Outside a test
//
// [Nodes] returns masters in memory for a program that tries the library out.
//
// # Names
//
// A name given to a method of [Quorum] is the key on the masters. For a service that uses
// [redlock.WithKeyPrefix], use the view that [Quorum.WithPrefix] returns: its names are the
// service's.
package redlocktest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/memnode"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// A Quorum is a set of masters in memory. All its methods may be called concurrently.
type Quorum struct {
	*cluster
	prefix string                 // of the keys
	other  func() *redlock.Locker // another process, for Hold
}

// A cluster is what all views of a Quorum share.
type cluster struct {
	tb      testing.TB
	masters []*memnode.Node
	nodes   []pool.Node
	slow    []atomic.Int64 // nanoseconds that each master's answers come later

	mu     sync.Mutex
	leases []held // by the Lockers
	cables map[*redlock.Locker]*cable
}

// A held is a lease and the key of its lock.
type held struct {
	lease *redlock.Lease
	key   string
}

// A cable connects one Locker with all masters.
type cable struct{ cut atomic.Bool }

// New makes n masters, which are up and empty.
func New(tb testing.TB, n int) *Quorum {
	tb.Helper()
	if n < 1 {
		tb.Fatalf("redlocktest: New(%d): a quorum needs at least one master", n)
	}
	c := &cluster{tb: tb, slow: make([]atomic.Int64, n), cables: make(map[*redlock.Locker]*cable)}
	c.masters, _ = memnode.Cluster(n)
	c.nodes = c.reach(&cable{})
	return c.view("")
}

// WithPrefix returns a view of the same masters. Its Lockers put prefix before each name, as
// [redlock.WithKeyPrefix] does, and so do its methods that take a name.
func (q *Quorum) WithPrefix(prefix string) *Quorum { return q.view(q.prefix + prefix) }

func (c *cluster) view(prefix string) *Quorum {
	q := &Quorum{cluster: c, prefix: prefix}
	q.other = sync.OnceValue(func() *redlock.Locker {
		l, _ := q.locker(redlock.WithHolder("redlocktest"))
		return l
	})
	return q
}

// reach returns the masters as nodes that are reached over the cable.
func (c *cluster) reach(over *cable) []pool.Node {
	nodes := make([]pool.Node, len(c.masters))
	for i, m := range c.masters {
		nodes[i] = wire.Seal(m.Through(func(memnode.Message) memnode.Fate {
			return memnode.Fate{Drop: over.cut.Load(), DelayBack: time.Duration(c.slow[i].Load())}
		}))
	}
	return nodes
}

// Nodes returns the masters as nodes, for [redlock.New].
func (q *Quorum) Nodes() []pool.Node { return slices.Clone(q.nodes) }

// Locker makes a Locker over the masters, and closes it when the test is over. Each Locker acts
// like a separate process. It fails the test if the options are bad.
func (q *Quorum) Locker(opts ...redlock.Option) *redlock.Locker {
	q.tb.Helper()
	w := &watch{q: q}
	l, over := q.locker(append(slices.Clone(opts), redlock.WithObserver(w))...)
	w.locker = l
	q.mu.Lock()
	defer q.mu.Unlock()
	q.cables[l] = over
	return l
}

func (q *Quorum) locker(opts ...redlock.Option) (*redlock.Locker, *cable) {
	q.tb.Helper()
	if q.prefix != "" {
		opts = append([]redlock.Option{redlock.WithKeyPrefix(q.prefix)}, opts...)
	}
	over := &cable{}
	l, err := redlock.New(q.reach(over), opts...)
	if err != nil {
		q.tb.Fatalf("redlocktest: %v", err)
	}
	q.tb.Cleanup(func() {
		q.repair() // so that Close need not wait
		over.cut.Store(false)
		_ = l.Close(context.Background())
	})
	return l, over
}

// A watch tracks the leases that a Locker holds.
type watch struct {
	q      *Quorum
	locker *redlock.Locker // set before the first lease
}

// Observe implements redlock.Observer.
func (*watch) Observe(redlock.Event) {}

// ObserveContext implements redlock.ContextObserver.
func (w *watch) ObserveContext(ctx context.Context, e redlock.Event) {
	acquired, ok := e.(redlock.AcquiredEvent)
	if !ok {
		return
	}
	if le, ok := w.locker.FromContext(ctx, acquired.Name); ok {
		w.q.mu.Lock()
		defer w.q.mu.Unlock()
		w.q.leases = append(slices.DeleteFunc(w.q.leases, ended), held{le, w.q.prefix + acquired.Name})
	}
}

func ended(h held) bool {
	select {
	case <-h.lease.Done():
		return true
	default:
		return false
	}
}

// Isolate cuts a Locker of this Quorum off from all masters, as a network partition cuts off a
// process, until rejoin is called or the test is over. The Locker's requests are lost, and no
// answer reaches it; other Lockers are not affected. It fails the test if [Quorum.Locker] has not
// made the Locker.
func (q *Quorum) Isolate(l *redlock.Locker) (rejoin func()) {
	q.tb.Helper()
	q.mu.Lock()
	over := q.cables[l]
	q.mu.Unlock()
	if over == nil {
		q.tb.Fatalf("redlocktest: Isolate: the Locker is not of this Quorum")
	}
	over.cut.Store(true)
	return func() { over.cut.Store(false) }
}

// Freeze stops master i, as SIGSTOP does: requests to it wait, and it answers nothing until Thaw.
func (q *Quorum) Freeze(i int) {
	q.tb.Helper()
	q.master(i).Freeze()
}

// Thaw lets master i go on after Freeze. It then carries out the requests that were sent meanwhile.
func (q *Quorum) Thaw(i int) {
	q.tb.Helper()
	q.master(i).Thaw()
}

// Kill stops master i: connections to it are refused until Restart.
func (q *Quorum) Kill(i int) {
	q.tb.Helper()
	q.master(i).Kill()
}

// Restart restarts master i without its data, like a server without persistence.
func (q *Quorum) Restart(i int) {
	q.tb.Helper()
	q.master(i).Restart(false)
}

// RestartWithData restarts master i with its data, like a server that writes each change to its
// disk. Connections to it break.
func (q *Quorum) RestartWithData(i int) {
	q.tb.Helper()
	q.master(i).Restart(true)
}

// Slow delays each answer of master i by delay, until Slow sets another one; 0 is no delay. It
// fails the test if delay is negative.
func (q *Quorum) Slow(i int, delay time.Duration) {
	q.tb.Helper()
	q.master(i)
	if delay < 0 {
		q.tb.Fatalf("redlocktest: Slow: the delay %v is negative", delay)
	}
	q.slow[i].Store(int64(delay))
}

func (q *Quorum) master(i int) *memnode.Node {
	q.tb.Helper()
	if i < 0 || i >= len(q.masters) {
		q.tb.Fatalf("redlocktest: there is no master %d among %d", i, len(q.masters))
	}
	return q.masters[i]
}

// repair makes all masters answer again.
func (q *Quorum) repair() {
	for i, m := range q.masters {
		m.Thaw()
		m.Start(true)
		q.slow[i].Store(0)
	}
}

// Hold takes the lock of that name as another process would, and holds and renews it until release
// is called or the test is over. It fails the test if the lock is not free.
func (q *Quorum) Hold(name string) (release func()) {
	q.tb.Helper()
	le, err := q.other().TryLock(context.Background(), name, redlock.WithRenewal(redlock.Forever))
	if err != nil {
		q.tb.Fatalf("redlocktest: Hold: %v", err)
	}
	return func() { _ = le.Unlock(context.Background()) }
}

// Share takes the shared lock of that name as another process would: see [redlock.Mutex.Shared].
// Otherwise it is like Hold.
func (q *Quorum) Share(name string) (release func()) {
	q.tb.Helper()
	le, err := q.other().Mutex(name, redlock.WithRenewal(redlock.Forever)).Shared().TryLock(context.Background())
	if err != nil {
		q.tb.Fatalf("redlocktest: Share: %v", err)
	}
	return func() { _ = le.Unlock(context.Background()) }
}

// Lose takes the lock of that name away from its holder, or from all readers, as an operator's
// mistake or the loss of a majority would. If the holder is one of the Quorum's Lockers and a
// majority of the masters answers, the lease has ended with ErrLost when Lose returns; the lease of
// another Locker ends with its next renewal. Lose fails the test if nobody holds the lock.
func (q *Quorum) Lose(name string) {
	q.tb.Helper()
	found := false
	for _, m := range q.masters {
		_, _, here := m.Get(q.prefix + name)
		found = found || here
		m.Delete(q.prefix + name)
	}
	if !found {
		q.tb.Fatalf("redlocktest: Lose: nobody has the lock %q", q.prefix+name)
	}
	q.mu.Lock()
	leases := slices.Clone(q.leases)
	q.mu.Unlock()
	for _, h := range leases {
		if h.key == q.prefix+name {
			_ = h.lease.Extend(context.Background()) // it notices that the lock is lost
		}
	}
}

// Held reports whether one owner has the lock of that name on a majority of the masters, or readers
// share it there.
func (q *Quorum) Held(name string) bool {
	votes := make(map[string]int)
	for _, m := range q.masters {
		owner, _, found := m.Get(q.prefix + name)
		if !found || strings.HasPrefix(owner, "R:") { // reserved for a waiter
			continue
		}
		if strings.HasPrefix(owner, wire.SharedValue) {
			owner = wire.SharedValue
		}
		if votes[owner]++; votes[owner] > len(q.masters)/2 {
			return true
		}
	}
	return false
}
