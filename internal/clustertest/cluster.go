// Package clustertest has masters in memory for the library's tests, and a network between them and
// each Locker, both with faults. It is for tests in a synctest bubble: before it answers a
// question, or changes what several masters do, it waits until all goroutines of the bubble are
// blocked.
package clustertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// A Cluster is a number of masters and the network to them.
type Cluster struct {
	Masters []*Master

	mu      sync.Mutex
	owners  map[string]bool          // ids that were sent
	stopped map[string]chan struct{} // by Locker; closed by Resume
}

// New makes n masters that are up and empty.
func New(n int) *Cluster {
	c := &Cluster{owners: make(map[string]bool), stopped: make(map[string]chan struct{})}
	for i := range n {
		c.Masters = append(c.Masters, newMaster(c, fmt.Sprintf("node%d:6379", i)))
	}
	return c
}

// Nodes returns the masters as nodes, in their order.
func (c *Cluster) Nodes() []pool.Node { return c.nodesOf("") }

func (c *Cluster) nodesOf(locker string) (nodes []pool.Node) {
	for _, m := range c.Masters {
		nodes = append(nodes, wire.Seal(m.As(locker)))
	}
	return nodes
}

// Locker makes a Locker that is closed at the end of the test, when all masters answer again.
func (c *Cluster) Locker(t testing.TB, opts ...redlock.Option) *redlock.Locker {
	t.Helper()
	return c.LockerAs(t, "", opts...)
}

// Lockers makes n of them.
func (c *Cluster) Lockers(t testing.TB, n int, opts ...redlock.Option) (lockers []*redlock.Locker) {
	t.Helper()
	for range n {
		lockers = append(lockers, c.Locker(t, opts...))
	}
	return lockers
}

// LockerAs makes a Locker with a name, so that it can have its own faults.
func (c *Cluster) LockerAs(t testing.TB, name string, opts ...redlock.Option) *redlock.Locker {
	t.Helper()
	l, err := redlock.New(c.nodesOf(name), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Thaw()
		c.Heal()
		if err := l.Close(context.Background()); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v", err)
		}
	})
	return l
}

// Freeze stops these masters, as SIGSTOP does. Here and below, no index means all masters.
func (c *Cluster) Freeze(masters ...int) { c.each(masters, (*Master).Freeze) }

// Thaw lets them go on. They carry out what was sent to them meanwhile.
func (c *Cluster) Thaw(masters ...int) { c.each(masters, (*Master).Thaw) }

// Refuse makes these masters refuse connections.
func (c *Cluster) Refuse(masters ...int) { c.each(masters, (*Master).Refuse) }

// Heal ends Refuse and [Master.DropReply].
func (c *Cluster) Heal(masters ...int) { c.each(masters, (*Master).Heal) }

func (c *Cluster) each(masters []int, f func(*Master)) {
	synctest.Wait()
	for i, m := range c.Masters {
		if len(masters) == 0 || slices.Contains(masters, i) {
			f(m)
		}
	}
}

// Hold gives the lock to another program.
func (c *Cluster) Hold(name string, ttl time.Duration, masters ...int) {
	c.each(masters, func(m *Master) { m.Set(name, foreign, ttl) })
}

// Delete deletes the lock, whoever has it.
func (c *Cluster) Delete(name string, masters ...int) {
	c.each(masters, func(m *Master) { m.Delete(name) })
}

// Latency sets how long a round trip takes.
func (c *Cluster) Latency(d time.Duration) {
	for _, m := range c.Masters {
		m.Latency(d)
	}
}

// Slow makes requests of that verb take longer by d.
func (c *Cluster) Slow(v pool.Verb, d time.Duration) {
	for _, m := range c.Masters {
		m.Slow(v, d)
	}
}

// Jitter makes each round trip take longer, by a random time below d.
func (c *Cluster) Jitter(d time.Duration) {
	for _, m := range c.Masters {
		m.with(func() { m.jitter = d })
	}
}

// Cut disconnects a Locker until Join: its requests are lost, and its subscriptions end.
func (c *Cluster) Cut(locker string) {
	for _, m := range c.Masters {
		m.cutOff(locker)
	}
}

// Join ends Cut.
func (c *Cluster) Join(locker string) {
	for _, m := range c.Masters {
		m.with(func() { delete(m.cut, locker) })
	}
}

// Stop makes a Locker send nothing until Resume, while its subscriptions stay, like a process that
// is stopped.
func (c *Cluster) Stop(locker string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped[locker] = make(chan struct{})
}

// Resume ends Stop.
func (c *Cluster) Resume(locker string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.stopped[locker])
	delete(c.stopped, locker)
}

// pass waits while the Locker is stopped, and records the owners of the requests that it sends.
func (c *Cluster) pass(locker string, calls []wire.Call) {
	c.mu.Lock()
	stopped := c.stopped[locker]
	c.mu.Unlock()
	if stopped != nil {
		<-stopped
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range calls {
		if r := calls[i].Request; r.Owner != "" {
			c.owners[r.Owner] = true
		}
	}
}

// Owners returns the owner ids that were sent.
func (c *Cluster) Owners() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.owners))
}

// Sent returns how many requests of these verbs were sent, of all verbs if none is given.
func (c *Cluster) Sent(verbs ...pool.Verb) (n int) {
	for _, m := range c.Masters {
		n += m.Sent(verbs...)
	}
	return n
}

// Trips returns how many round trips there were. A subscription counts as one.
func (c *Cluster) Trips() (n int) {
	for _, m := range c.Masters {
		m.with(func() { n += m.trips })
	}
	return n
}

// Notices returns how many notices were sent to waiters.
func (c *Cluster) Notices() (n int) {
	for _, m := range c.Masters {
		m.with(func() { n += m.notices })
	}
	return n
}

// Subscriptions returns how many subscriptions there are.
func (c *Cluster) Subscriptions() (n int) {
	for _, m := range c.Masters {
		m.with(func() { n += len(m.subscriptions) })
	}
	return n
}

// WantNoLocks checks that no lock is left, except those of [Cluster.Hold].
func (c *Cluster) WantNoLocks(t testing.TB) {
	t.Helper()
	for i, m := range c.Masters {
		synctest.Wait()
		for _, key := range m.Keys() {
			if owner := m.Owner(key); owner != "" && owner != foreign && !strings.HasSuffix(key, ":redlock:fence") {
				t.Errorf("master %d has %s left, of %.5s", i, key, owner)
			}
		}
	}
}
