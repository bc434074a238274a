package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/clustertest"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// A far node reports how far away it is, and may have no connection yet.
type far struct {
	wire.Node
	asked atomic.Int64

	mu    sync.Mutex
	trip  time.Duration
	told  time.Time // when that is known
	ready time.Time // when its connection has been made
}

// with changes the node while it is in use.
func (f *far) with(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *far) RoundTrip() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Now().Before(f.told) {
		return 0
	}
	return f.trip
}

func (f *far) Do(ctx context.Context, calls []wire.Call) {
	f.asked.Add(1)
	until, _ := ctx.Deadline()
	var ready time.Time
	f.with(func() { ready = f.ready })
	if ready.After(until) {
		time.Sleep(time.Until(until))
		for i := range calls {
			err := fmt.Errorf("dial: %w", pool.ErrConnecting)
			calls[i].Reply = wire.Reply{Verdict: wire.Unavailable, Unsent: true, Err: err}
		}
		return
	}
	time.Sleep(max(time.Until(ready), 0))
	f.Node.Do(ctx, calls)
}

// farAway makes the cluster's nodes as far away as told.
func farAway(c *clustertest.Cluster, trips ...time.Duration) (all []*far, nodes []pool.Node) {
	for i, d := range trips {
		c.Masters[i].Latency(d)
		f := &far{Node: c.Masters[i], trip: d}
		all, nodes = append(all, f), append(nodes, wire.Seal(f))
	}
	return all, nodes
}

func TestDefaultNodeTimeoutFollowsTheFarthestNode(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		ttl   time.Duration
		trips []time.Duration
		least time.Duration // how long a call waits for a silent majority
		most  time.Duration
		opts  []redlock.Option
	}{
		"near":               {time.Second, []time.Duration{ms, ms, ms}, 50 * ms, 50 * ms, nil},
		"one is far":         {time.Second, []time.Duration{ms, ms, 80 * ms}, 240 * ms, 247 * ms, nil},
		"beyond the TTL":     {time.Second, []time.Duration{ms, ms, 400 * ms}, 247 * ms, 247 * ms, nil},
		"ten seconds":        {10 * time.Second, []time.Duration{ms, 200 * ms, 200 * ms}, 600 * ms, 1000 * ms, nil},
		"given":              {time.Second, []time.Duration{ms, ms, 80 * ms}, 60 * ms, 60 * ms, []redlock.Option{redlock.WithNodeTimeout(60 * ms)}},
		"the TTL is small":   {40 * ms, []time.Duration{ms, ms, 80 * ms}, 20 * ms, 20 * ms, nil},
		"as the docs say":    {4 * time.Second, []time.Duration{ms, ms, ms}, 200 * ms, 200 * ms, nil},
		"no more than 250ms": {time.Hour, []time.Duration{ms, ms, ms}, 250 * ms, 250 * ms, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cluster := clustertest.New(3)
				_, nodes := farAway(cluster, c.trips...)
				l := over(t, nodes, append(c.opts, redlock.WithTTL(c.ttl))...)
				mustUnlock(t, mustTryLock(t, l, "b"))
				time.Sleep(2 * time.Second)
				cluster.Freeze(0, 1)
				var err error
				d := took(func() { _, err = l.TryLock(t.Context(), "a") })
				// To look for connections in the making takes a few milliseconds.
				if !errors.Is(err, redlock.ErrNoQuorum) || d < c.least || d > c.most+5*ms {
					t.Errorf("TryLock took %v: %v", d, err)
				}
				cluster.Thaw(0, 1)
				mustClose(t, l)
				time.Sleep(time.Second) // requests under way arrive
			})
		})
	}
}

// A node whose round trip has grown beyond the node timeout is not lost permanently.
func TestANodeThatHasMovedAwayIsHeardAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		all, nodes := farAway(c, time.Millisecond, time.Millisecond, time.Millisecond)
		l := over(t, nodes, redlock.WithTTL(time.Second))
		for range 20 {
			mustUnlock(t, mustTryLock(t, l, "a"))
		}
		synctest.Wait()
		c.Refuse(0)
		c.Masters[1].Latency(70 * time.Millisecond)
		// the next connection shows that
		all[1].with(func() { all[1].trip = 70 * time.Millisecond })
		if _, err := l.TryLock(t.Context(), "a"); !errors.Is(err, redlock.ErrNoQuorum) {
			t.Errorf("TryLock within 50 ms: %v", err)
		}
		time.Sleep(time.Second)
		mustUnlock(t, mustTryLock(t, l, "a"))
		c.Heal()
		mustClose(t, l)
	})
}

func TestTryLockWaitsForConnectionsInTheMaking(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		opts []redlock.Option
		most time.Duration
	}{
		"default":         {nil, 600 * time.Millisecond},
		"a fixed timeout": {[]redlock.Option{redlock.WithNodeTimeout(250 * time.Millisecond)}, 1200 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cluster := clustertest.New(3)
				all, nodes := farAway(cluster, 120*time.Millisecond, 120*time.Millisecond, 120*time.Millisecond)
				for _, f := range all {
					f.ready = time.Now().Add(450 * time.Millisecond)
				}
				l := over(t, nodes, c.opts...)
				var le *redlock.Lease
				if d := took(func() { le = mustTryLock(t, l, "a") }); d > c.most {
					t.Errorf("TryLock took %v", d)
				}
				mustUnlock(t, le)
				mustClose(t, l)
			})
		})
	}
}

// The node timeout of an attempt under way rises when a connection that it waits for shows how far
// its node is.
func TestTheFirstAttemptOutlastsConnectionsThatTellHowFarTheyGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		all, nodes := farAway(c, 120*time.Millisecond, 120*time.Millisecond, 120*time.Millisecond)
		for _, f := range all {
			f.told, f.ready = time.Now().Add(120*time.Millisecond), time.Now().Add(240*time.Millisecond)
		}
		seen := new(recorder)
		l := over(t, nodes, redlock.WithObserver(seen))
		le := mustLock(t, l, "a")
		if a := eventsOf[redlock.AttemptEvent](seen); len(a) != 1 || a[0].Took != 360*time.Millisecond {
			t.Errorf("attempts: %+v", a)
		}
		mustUnlock(t, le)
		mustClose(t, l)
	})
}

func TestTryLockDoesNotWaitForConnectionsForLong(t *testing.T) {
	t.Parallel()
	const timeout = 250 * time.Millisecond
	for name, bounds := range map[string]struct{ first, second time.Duration }{
		"none is made":        {time.Second + 2*timeout, timeout + 5*time.Millisecond},
		"most are refused":    {5 * time.Millisecond, 5 * time.Millisecond},
		"most were cut later": {timeout + 5*time.Millisecond, timeout + 5*time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := clustertest.New(3)
				all, nodes := farAway(c, time.Millisecond, time.Millisecond, time.Millisecond)
				l := over(t, nodes, redlock.WithNodeTimeout(timeout))
				never := time.Now().Add(time.Hour)
				all[0].ready = never
				switch name {
				case "none is made":
					all[1].ready, all[2].ready = never, never
				case "most are refused":
					c.Refuse(1, 2)
				default:
					all[0].with(func() { all[0].ready = time.Time{} })
					mustUnlock(t, mustTryLock(t, l, "a"))
					c.Freeze(0, 1)
				}
				for _, most := range []time.Duration{bounds.first, bounds.second} {
					var err error
					if d := took(func() { _, err = l.TryLock(t.Context(), "a") }); d > most || !errors.Is(err, redlock.ErrNoQuorum) {
						t.Errorf("TryLock took %v: %v", d, err)
					}
					time.Sleep(time.Second)
				}
				for _, f := range all {
					f.with(func() { f.ready = time.Time{} })
				}
				c.Thaw(0, 1)
				c.Heal()
			})
		})
	}
}

// Nodes that an attempt holds while it waits for a frozen node keep others from a majority.
func TestAFrozenMinorityDoesNotProlongASplitVote(t *testing.T) {
	t.Parallel()
	const timeout = 250 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t, redlock.WithNodeTimeout(timeout))
		c.Latency(time.Millisecond)
		mustUnlock(t, mustTryLock(t, l, "warm")) // measures the round trips
		synctest.Wait()
		time.Sleep(time.Second)
		c.Masters[0].Set("a", "0123456789abcdef0123456789abcdef", 40*time.Millisecond)
		c.Freeze(3, 4)
		// Another owner has one of the three nodes that answer for 40 ms. Waiting for the frozen
		// nodes would mean to hold the others for 250 ms.
		var le *redlock.Lease
		if d := took(func() { le = mustLock(t, l, "a") }); d > 100*time.Millisecond {
			t.Errorf("Lock took %v", d)
		}
		mustUnlock(t, le)
		c.Thaw(3, 4)
		mustClose(t, l)
	})
}

// A distant node is not a silent one: a call waits for it to get a free lock.
func TestAFarNodeIsNotTakenForSilent(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		_, nodes := farAway(c, ms, ms, ms, 100*ms, 100*ms)
		l := over(t, nodes, redlock.WithNodeTimeout(250*ms))
		for _, near := range c.Masters[:2] {
			near.Set("a", "0123456789abcdef0123456789abcdef", time.Minute)
		}
		for range 20 {
			var le *redlock.Lease
			// the near ones are split; the far ones decide
			if d := took(func() { le = mustTryLock(t, l, "a") }); d != 100*ms {
				t.Errorf("TryLock took %v", d)
			}
			mustUnlock(t, le)
			time.Sleep(time.Second)
		}
		mustClose(t, l)
	})
}

// A lease that was taken while the nodes were near is renewed, extended and released when they are
// far away.
func TestTheNodeTimeoutOfALeaseFollowsTheRoundTripsToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		all, nodes := farAway(c, time.Millisecond, time.Millisecond, time.Millisecond)
		l := over(t, nodes)
		renewed := lockEverywhere(t, l, "a", redlock.WithRenewal(redlock.Forever))
		plain := lockEverywhere(t, l, "b")
		for i, f := range all {
			c.Masters[i].Latency(300 * time.Millisecond)
			f.with(func() { f.trip = 300 * time.Millisecond }) // the next connection shows that
		}
		time.Sleep(9 * time.Second)
		mustExtend(t, plain)
		time.Sleep(9 * time.Second)
		mustUnlock(t, plain)
		mustUnlock(t, renewed)
		mustClose(t, l)
	})
}

// After a split vote a call does not wait for a node to which no connection could be made for a
// long time.
func TestAnUnreachableMinorityDoesNotProlongASplitVote(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		all, nodes := farAway(c, ms, ms, ms, ms, ms)
		for _, f := range all[3:] {
			f.ready, f.told = time.Now().Add(time.Hour), time.Now().Add(time.Hour)
		}
		l := over(t, nodes, redlock.WithNodeTimeout(250*ms))
		for range 8 {
			mustUnlock(t, mustTryLock(t, l, "warm"))
			time.Sleep(250 * ms)
		}
		c.Masters[0].Set("a", "0123456789abcdef0123456789abcdef", 40*ms)
		var le *redlock.Lease
		if d := took(func() { le = mustLock(t, l, "a") }); d > 100*ms {
			t.Errorf("Lock took %v", d)
		}
		mustUnlock(t, le)
		for _, f := range all {
			f.with(func() { f.ready = time.Time{} })
		}
	})
}
