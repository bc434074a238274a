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
// The masters are those of [New], from 0 to n-1. [Quorum.Freeze], [Quorum.Kill] and
// [Quorum.Restart] are what happens to a master, [Quorum.Hold] is somebody else who has a lock, and
// [Quorum.Lose] takes one away from its holder.
//
// # Without locks
//
// A test that needs no lock, but something that looks like one, has [Lease], and an interface of
// its own: see the example. What ends with a lease, such as the context of [redlock.Lease.Bind],
// does so in a goroutine of its own: wait for its Done.
//
// # Names
//
// The methods of [Quorum] that take a name mean the key on the masters: with
// [redlock.WithKeyPrefix] that is the prefix and the name.
package redlocktest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/memnode"
	"github.com/go-redlock/redlock/pool"
)

// A Quorum is a set of masters in memory. All its methods may be called concurrently.
type Quorum struct {
	tb      testing.TB
	masters []*memnode.Node
	nodes   []pool.Node
	other   func() *redlock.Locker // somebody else's, for Hold

	mu     sync.Mutex
	leases []*redlock.Lease // held by the Lockers
}

// New makes n masters, which are up and empty.
func New(tb testing.TB, n int) *Quorum {
	tb.Helper()
	if n < 1 {
		tb.Fatalf("redlocktest: New(%d): a quorum needs at least one master", n)
	}
	q := &Quorum{tb: tb}
	q.masters, q.nodes = memnode.Cluster(n)
	q.other = sync.OnceValue(func() *redlock.Locker { return q.locker(redlock.WithHolder("redlocktest")) })
	return q
}

// Nodes returns the masters as nodes, for [redlock.New].
func (q *Quorum) Nodes() []pool.Node { return slices.Clone(q.nodes) }

// Locker makes a Locker of the masters, and closes it when the test is over. Several of them are as
// several processes. It fails the test if the options are bad.
func (q *Quorum) Locker(opts ...redlock.Option) *redlock.Locker {
	q.tb.Helper()
	w := &watch{q: q}
	w.locker = q.locker(append(slices.Clone(opts), redlock.WithObserver(w))...)
	return w.locker
}

func (q *Quorum) locker(opts ...redlock.Option) *redlock.Locker {
	q.tb.Helper()
	l, err := redlock.New(q.nodes, opts...)
	if err != nil {
		q.tb.Fatalf("redlocktest: %v", err)
	}
	q.tb.Cleanup(func() {
		q.repair() // so that Close need not wait
		_ = l.Close(context.Background())
	})
	return l
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
		w.q.leases = append(slices.DeleteFunc(w.q.leases, ended), le)
	}
}

func ended(le *redlock.Lease) bool {
	select {
	case <-le.Done():
		return true
	default:
		return false
	}
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

func (q *Quorum) master(i int) *memnode.Node {
	q.tb.Helper()
	if i < 0 || i >= len(q.masters) {
		q.tb.Fatalf("redlocktest: there is no master %d among %d", i, len(q.masters))
	}
	return q.masters[i]
}

// repair has all masters answer again.
func (q *Quorum) repair() {
	for _, m := range q.masters {
		m.Thaw()
		m.Start(true)
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
// of a majority does. The lease of one of the quorum's Lockers has ended with ErrLost when Lose
// returns, if a majority of the masters answers; under a key prefix it ends with its next renewal.
func (q *Quorum) Lose(name string) {
	q.tb.Helper()
	for _, m := range q.masters {
		m.Delete(name)
	}
	q.mu.Lock()
	leases := slices.Clone(q.leases)
	q.mu.Unlock()
	for _, le := range leases {
		if le.Name() == name {
			_ = le.Extend(context.Background()) // which finds out
		}
	}
}

// Held reports whether one owner has the lock of that name on a majority of the masters.
func (q *Quorum) Held(name string) bool {
	votes := make(map[string]int)
	for _, m := range q.masters {
		owner, _, found := m.Get(name)
		if !found || strings.HasPrefix(owner, "R:") { // reserved for a waiter
			continue
		}
		if votes[owner]++; votes[owner] > len(q.masters)/2 {
			return true
		}
	}
	return false
}
