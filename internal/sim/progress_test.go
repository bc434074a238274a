package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/jitter"
	"github.com/go-redlock/redlock/internal/memnode"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

const (
	slowTimeout = 250 * time.Millisecond // of a node, where nodes are frozen
	// for which a lock may be free although somebody waits, while a majority serves.
	idleBound  = 4 * slowTimeout
	waitBound  = 8 * slowTimeout       // within which each of six gets its turn
	crowd      = 3 * time.Second       // how long they want the lock
	moment     = 25 * time.Millisecond // or that long
	thundering = 10                    // callers that try at once
)

// The bounds allow for one lost notice: if other nodes freeze just during a hand-over, the next
// waiter tries again by itself about half a second later. If a rule is left out, the bounds are
// exceeded by far.

// A throng is a few processes that want one lock while a minority of its nodes is frozen, again and
// again and for a long time.
type throng struct {
	random  *rand.Rand
	masters []*memnode.Node
	spread  time.Duration // by how much messages are late
	idle    time.Duration // for which a lock may be free although somebody waits
	locks   []*redlock.Locker

	mu      sync.Mutex
	waiters int
	since   time.Time // since when the lock has been free, or somebody has waited for it
	seen    []string  // violations
}

func newThrong(seed uint64, processes int, spread time.Duration) *throng {
	th := &throng{random: rand.New(rand.NewPCG(seed, 1)), spread: spread, idle: idleBound}
	for i := range []int{3, 5, 5}[th.random.IntN(3)] {
		th.masters = append(th.masters, memnode.New(fmt.Sprintf("node%d", i)))
	}
	for p := range processes {
		var nodes []pool.Node
		for i, m := range th.masters {
			nodes = append(nodes, wire.Seal(m.Through(th.network(seed, uint64(100*p+i)))))
		}
		l, err := redlock.New(nodes, redlock.WithNodeTimeout(slowTimeout))
		if err != nil {
			panic(err)
		}
		th.locks = append(th.locks, l)
	}
	return th
}

// network connects a process with a node: messages are late, but none is lost.
func (th *throng) network(seed, link uint64) func(memnode.Message) memnode.Fate {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 1000+link))
	base := time.Duration(20+random.IntN(200)) * time.Microsecond
	return func(memnode.Message) memnode.Fate {
		mu.Lock()
		defer mu.Unlock()
		late := func() time.Duration { return base + time.Duration(random.Int64N(int64(th.spread))) }
		return memnode.Fate{Delay: late(), DelayBack: late()}
	}
}

// minority returns as many of the nodes as may be away.
func (th *throng) minority() (some []*memnode.Node) {
	for _, i := range th.random.Perm(len(th.masters))[:(len(th.masters)-1)/2] {
		some = append(some, th.masters[i])
	}
	return some
}

// freeze freezes a minority, a different one each time.
func (th *throng) freeze(end time.Time) {
	for time.Now().Before(end) {
		some := th.minority()
		time.Sleep(time.Duration(th.random.Int64N(int64(2 * slowTimeout))))
		for _, m := range some {
			m.Freeze()
		}
		time.Sleep(time.Duration(th.random.Int64N(int64(8 * slowTimeout))))
		for _, m := range some {
			m.Thaw()
		}
	}
}

// flicker freezes a minority three times, for a moment or for longer.
func (th *throng) flicker() {
	for range 3 {
		some := th.minority()
		time.Sleep(time.Duration(th.random.Int64N(int64(moment))))
		for _, m := range some {
			m.Freeze()
		}
		time.Sleep(time.Duration(th.random.Int64N(int64([]time.Duration{moment, 2 * slowTimeout}[th.random.IntN(2)]))))
		for _, m := range some {
			m.Thaw()
		}
	}
}

// want takes the lock again and again.
func (th *throng) want(l *redlock.Locker, random *rand.Rand, end time.Time) {
	for time.Now().Before(end) {
		if random.IntN(4) == 0 {
			if le, err := l.TryLock(context.Background(), "a"); err == nil {
				th.hold(le, random)
			}
			continue
		}
		began := time.Now()
		th.wait(1)
		le, err := l.Lock(context.Background(), "a")
		th.wait(-1)
		if err != nil {
			th.violate("Lock: %v", err)
			return
		}
		if d := time.Since(began); d > waitBound {
			th.violate("one of six waited %v for its turn", d)
		}
		th.hold(le, random)
	}
}

// wait counts the waiters.
func (th *throng) wait(n int) {
	th.mu.Lock()
	defer th.mu.Unlock()
	if th.waiters += n; n > 0 && th.waiters == 1 {
		th.since = time.Now()
	}
}

// hold keeps the lock for a moment.
func (th *throng) hold(le *redlock.Lease, random *rand.Rand) {
	th.mu.Lock()
	idle := time.Since(th.since)
	watched := th.waiters > 0
	th.mu.Unlock()
	if watched && idle > th.idle {
		th.violate("the lock was idle for %v though somebody waited", idle)
	}
	time.Sleep(time.Duration(random.Int64N(int64(2 * time.Millisecond))))
	th.mu.Lock()
	th.since = time.Now()
	th.mu.Unlock()
	if err := le.Unlock(context.Background()); err != nil && !errors.Is(err, redlock.ErrNoQuorum) {
		th.violate("Unlock: %v", err)
	}
}

func (th *throng) violate(format string, args ...any) {
	th.mu.Lock()
	defer th.mu.Unlock()
	th.seen = append(th.seen, fmt.Sprintf(format, args...))
}

func (th *throng) close() {
	for _, m := range th.masters {
		m.Thaw()
	}
	for _, l := range th.locks {
		if err := l.Close(context.Background()); err != nil {
			th.violate("Close: %v", err)
		}
	}
}

// While a majority serves, a lock that somebody wants is not idle for long, and each waiter gets
// its turn.
func TestAFrozenMinorityLeavesNoWantedLockIdle(t *testing.T) { //nolint:paralleltest // the library's jitter is seeded
	each(t, 1, func(seed uint64) *throng {
		th := newThrong(seed, 3, time.Millisecond)
		end := time.Now().Add(crowd)
		var all sync.WaitGroup
		for p, l := range th.locks {
			for g := range 2 {
				all.Go(func() { th.want(l, rand.New(rand.NewPCG(seed, uint64(10*p+g+2))), end) })
			}
		}
		th.freeze(end)
		all.Wait()
		return th
	})
}

// Those that want the lock once more do not depend on others that come later, whose releases would
// notify them too.
func TestAMinorityThatFreezesForMomentsLeavesNobodyBehind(t *testing.T) { //nolint:paralleltest // the library's jitter is seeded
	each(t, 10, func(seed uint64) *throng {
		th := newThrong(seed, 3, []time.Duration{time.Millisecond, 4 * time.Millisecond}[seed/2%2])
		th.idle = waitBound // where all begin at once, two changes of the minority may split votes
		end := time.Now().Add(moment)
		take := []func(*redlock.Locker, *rand.Rand, time.Time){th.want, th.share}[seed%2]
		var all sync.WaitGroup
		for p, l := range th.locks {
			for g := range 2 {
				all.Go(func() { take(l, rand.New(rand.NewPCG(seed, uint64(10*p+g+2))), end) })
			}
		}
		th.flicker()
		all.Wait()
		return th
	})
}

// While a majority serves, one of several simultaneous TryLocks wins. A call that reports the lock
// as held has seen it held.
func TestOfSimultaneousTryLocksOneWins(t *testing.T) { //nolint:paralleltest // the library's jitter is seeded
	each(t, 1, func(seed uint64) *throng {
		th := newThrong(seed, thundering, []time.Duration{time.Millisecond, 15 * time.Millisecond}[seed%2])
		for _, m := range th.minority() {
			m.Freeze()
		}
		for round := range 4 {
			var all sync.WaitGroup
			var won []*redlock.Lease
			for _, l := range th.locks {
				all.Go(func() {
					began := time.Now()
					le, err := l.TryLock(context.Background(), fmt.Sprint("job", round))
					th.mu.Lock()
					defer th.mu.Unlock()
					q, _ := errors.AsType[*redlock.QuorumError](err)
					switch {
					case err == nil:
						won = append(won, le)
					case errors.Is(err, redlock.ErrHeld) && q.Held < q.Needed:
						th.seen = append(th.seen, fmt.Sprintf("held, by no majority: %v", err))
					case time.Since(began) > 7*slowTimeout:
						th.seen = append(th.seen, fmt.Sprintf("TryLock took %v", time.Since(began)))
					}
				})
			}
			all.Wait()
			if len(won) != 1 {
				th.violate("%d of %d won", len(won), len(th.locks))
			}
			for _, le := range won {
				_ = le.Unlock(context.Background())
			}
		}
		return th
	})
}

// each plays a scene for a tenth as many seeds as a regime has schedules, or for forty, and that
// many times: the usual scene takes as long as ten schedules.
func each(t *testing.T, times int, scene func(seed uint64) *throng) {
	t.Helper()
	seeds := times * max(*count/10, min(*count, 40))
	for seed := *first; seed < *first+uint64(seeds); seed++ {
		synctest.Test(t, func(t *testing.T) {
			jitter.Seed(seed)
			th := scene(seed)
			th.close()
			for _, s := range th.seen {
				t.Errorf("seed %d: %s", seed, s)
			}
			time.Sleep(time.Minute) // requests under way arrive
		})
	}
}
