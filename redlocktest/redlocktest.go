// Package redlocktest is for testing programs that lock: real locks over masters in memory, with
// faults on command.
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
// Everything works inside a bubble of [testing/synctest] too, where TTLs and timeouts pass in no
// time. Make the [Quorum] inside it.
//
// # Faults
//
// The masters are those of [New], from 0 to n-1. [Quorum.Freeze], [Quorum.Kill], [Quorum.Restart],
// [Quorum.RestartWithData] and [Quorum.Slow] are what happens to a master, [Quorum.Isolate] is what
// happens to one process, [Quorum.Hold] is somebody else who has a lock, and [Quorum.Lose] takes
// one away from its holder.
//
// # Without locks
//
// A test that needs no lock, but something that looks like one, has [Lease], and an interface of
// its own: see the example. What ends with a lease, such as the context of [redlock.Lease.Bind],
// does so in a goroutine of its own: wait for its Done.
//
// # Names
//
// The methods of [Quorum] that take a name mean the key on the masters. For a service that has
// [redlock.WithKeyPrefix] take the view of [Quorum.WithPrefix], whose names are the service's.
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
	other  func() *redlock.Locker // somebody else's, for Hold
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

// A held lease, and the key of its lock.
type held struct {
	lease *redlock.Lease
	key   string
}

// A cable is what leads from one Locker to all masters.
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

// WithPrefix returns a view of the same masters: its Lockers put prefix before their keys, as
// [redlock.WithKeyPrefix] does, and the names that its methods take mean keys with that prefix.
func (q *Quorum) WithPrefix(prefix string) *Quorum { return q.view(q.prefix + prefix) }

func (c *cluster) view(prefix string) *Quorum {
	q := &Quorum{cluster: c, prefix: prefix}
	q.other = sync.OnceValue(func() *redlock.Locker {
		l, _ := q.locker(redlock.WithHolder("redlocktest"))
		return l
	})
	return q
}

// reach returns the masters as they are reached over a cable.
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

// Locker makes a Locker of the masters, and closes it when the test is over. Several of them are as
// several processes. It fails the test if the options are bad.
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

// A watch knows the leases of a Locker that are held.
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

// Isolate cuts a Locker of this Quorum off from all masters, as a network partition does to one
// process, until rejoin is called or the test is over: what it sends is lost, and no answer reaches
// it, while the others go on. It fails the test if the Locker is not one of [Quorum.Locker].
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

// Freeze stops master i, as SIGSTOP does: what is sent to it waits, and it answers nothing until
// Thaw.
func (q *Quorum) Freeze(i int) {
	q.tb.Helper()
	q.master(i).Freeze()
}

// Thaw lets master i go on after Freeze. It does what was sent to it meanwhile.
func (q *Quorum) Thaw(i int) {
	q.tb.Helper()
	q.master(i).Thaw()
}

// Kill ends master i: connections to it are refused until Restart.
func (q *Quorum) Kill(i int) {
	q.tb.Helper()
	q.master(i).Kill()
}

// Restart restarts master i. It comes back empty, as one without persistence does.
func (q *Quorum) Restart(i int) {
	q.tb.Helper()
	q.master(i).Restart(false)
}

// RestartWithData restarts master i, and it keeps what it had, as one does that writes each change
// to its disk. Connections to it break.
func (q *Quorum) RestartWithData(i int) {
	q.tb.Helper()
	q.master(i).Restart(true)
}

// Slow has the answers of master i come that much later, until Slow sets another delay; 0 is none.
// It fails the test if delay is negative.
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

// repair has all masters answer again.
func (q *Quorum) repair() {
	for i, m := range q.masters {
		m.Thaw()
		m.Start(true)
		q.slow[i].Store(0)
	}
}

// Hold takes the lock of that name for somebody else, who holds and renews it until release is
// called or the test is over. It fails the test if the lock is not free.
func (q *Quorum) Hold(name string) (release func()) {
	q.tb.Helper()
	le, err := q.other().TryLock(context.Background(), name, redlock.WithRenewal(redlock.Forever))
	if err != nil {
		q.tb.Fatalf("redlocktest: Hold: %v", err)
	}
	return func() { _ = le.Unlock(context.Background()) }
}

// Lose takes the lock of that name away from whoever has it, as an operator's mistake or the loss
// of a majority does. The lease of one of the Quorum's Lockers has ended with ErrLost when Lose
// returns, if a majority of the masters answers; that of another Locker ends with its next renewal.
// It fails the test if nobody has the name.
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
			_ = h.lease.Extend(context.Background()) // which finds out
		}
	}
}

// Held reports whether one owner has the lock of that name on a majority of the masters.
func (q *Quorum) Held(name string) bool {
	votes := make(map[string]int)
	for _, m := range q.masters {
		owner, _, found := m.Get(q.prefix + name)
		if !found || strings.HasPrefix(owner, "R:") { // reserved for a waiter
			continue
		}
		if votes[owner]++; votes[owner] > len(q.masters)/2 {
			return true
		}
	}
	return false
}
