package redlock_test

import (
	"context"
	"crypto/sha1" //nolint:gosec // Redis's own fingerprint
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/clustertest"
	"github.com/go-redlock/redlock/internal/memnode"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// apart makes Lockers, each near to other nodes, and observes them.
func apart(t *testing.T, c *clustertest.Cluster, count int) (lockers []*redlock.Locker, seen []*recorder) {
	t.Helper()
	for k := range count {
		name := fmt.Sprint(k)
		for i, master := range c.Masters {
			d := 5 * time.Millisecond
			if i%count == k {
				d = time.Millisecond
			}
			master.LatencyOf(name, d)
		}
		r := new(recorder)
		lockers, seen = append(lockers, c.LockerAs(t, name, redlock.WithObserver(r))), append(seen, r)
	}
	return lockers, seen
}

// race makes all Lockers try the lock at the same time. It returns the leases, the number of calls
// that neither got the lock nor found it held, and how long each call took. A call that found the
// lock held must have seen that from a majority.
func race(t *testing.T, lockers []*redlock.Locker, name string) (won []*redlock.Lease, unsure int, times []time.Duration) {
	t.Helper()
	var all sync.WaitGroup
	var mu sync.Mutex
	for _, l := range lockers {
		all.Go(func() {
			var le *redlock.Lease
			var err error
			d := took(func() { le, err = l.TryLock(t.Context(), name) })
			mu.Lock()
			defer mu.Unlock()
			times = append(times, d)
			q, told := errors.AsType[*redlock.QuorumError](err)
			switch {
			case le != nil:
				won = append(won, le)
			case !told:
				t.Errorf("TryLock: %v", err)
			case errors.Is(err, redlock.ErrNoQuorum):
				unsure++
			case !errors.Is(err, redlock.ErrHeld) || q.Held < q.Needed:
				t.Errorf("TryLock: %v", err)
			}
		})
	}
	all.Wait()
	return won, unsure, times
}

// mustHaveOneWinner lets them race. One must win, and all others must be told that the lock is
// held.
func mustHaveOneWinner(t *testing.T, lockers []*redlock.Locker, name string) {
	t.Helper()
	won, unsure, _ := race(t, lockers, name)
	if len(won) != 1 || unsure > 0 {
		t.Fatalf("%d of %d callers won, %d have not seen whose the lock is", len(won), len(lockers), unsure)
	}
	mustUnlock(t, won[0])
}

// Simultaneous callers may split the nodes between them, so that none has a quorum. Then a cron job
// must still run once, and not zero times.
func TestTryLockDoesNotGiveUpOnASplitVote(t *testing.T) {
	t.Parallel()
	for _, callers := range []int{2, 3, 5} {
		for range 20 {
			synctest.Test(t, func(t *testing.T) {
				c := clustertest.New(5)
				lockers, _ := apart(t, c, callers)
				mustHaveOneWinner(t, lockers, "a")
				for _, l := range lockers {
					mustClose(t, l)
				}
			})
		}
	}
}

func TestOneOfAHundredSimultaneousTryLocksWins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Jitter(time.Millisecond)
		lockers := c.Lockers(t, 100)
		n := *rounds
		if raceDetector {
			n = max(n/10, 1)
		}
		for i := range n {
			mustHaveOneWinner(t, lockers, fmt.Sprint("a", i%4))
			time.Sleep(time.Second) // until the cleanup in the background is over
		}
	})
}

const stampede = 10 // processes of a job that is to run once

// Of simultaneous TryLocks one wins, whatever a minority of the nodes does, and the others are told
// that the lock is held.
func TestOfSimultaneousTryLocksOneWinsThoughAMinorityIsAway(t *testing.T) {
	t.Parallel()
	const timeout = 250 * time.Millisecond
	var losers, unsure atomic.Int64
	t.Cleanup(func() {
		if losers.Load() < 100*unsure.Load() {
			t.Errorf("%d of %d losers have not seen whose the lock is", unsure.Load(), losers.Load())
		}
	})
	for name, away := range map[string]func(*clustertest.Cluster){
		"healthy": func(*clustertest.Cluster) {},
		"refused": func(c *clustertest.Cluster) { c.Refuse(3, 4) },
		"frozen":  func(c *clustertest.Cluster) { c.Freeze(3, 4) },
	} {
		for _, jitter := range []time.Duration{time.Millisecond, 30 * time.Millisecond} {
			for _, warm := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%v/warm=%t", name, jitter, warm), func(t *testing.T) {
					t.Parallel()
					var all []time.Duration
					for i := range max(*rounds/5, 10) {
						synctest.Test(t, func(t *testing.T) {
							c := clustertest.New(5)
							c.Jitter(jitter)
							lockers := c.Lockers(t, stampede, redlock.WithNodeTimeout(timeout))
							if warm {
								warmUp(t, lockers...)
							}
							away(c)
							won, without, times := race(t, lockers, fmt.Sprint("job", i))
							losers.Add(int64(stampede - len(won)))
							unsure.Add(int64(without))
							if len(won) != 1 {
								t.Errorf("round %d: %d of %d won", i, len(won), stampede)
							}
							all = append(all, times...)
						})
					}
					slices.Sort(all)
					p99 := all[(len(all)-1)*99/100]
					if p99 > 4*timeout {
						t.Errorf("p99 of TryLock is %v", p99)
					}
					t.Logf("p50 %v p99 %v max %v", all[len(all)/2], p99, all[len(all)-1])
				})
			}
		}
	}
}

// The first attempt asks the others' nodes again under the same owner id, so it keeps the nodes
// that it has.
func TestTheFirstOfASplitVoteKeepsWhatItHas(t *testing.T) {
	t.Parallel()
	const callers, races = 3, 20
	once := 0
	for range races {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(5)
			lockers, seen := apart(t, c, callers)
			if won, _, _ := race(t, lockers, "a"); len(won) != 1 {
				t.Errorf("%d of %d callers won", len(won), callers)
			}
			for _, r := range seen {
				if a := eventsOf[redlock.AttemptEvent](r); a[0].Err == nil {
					once++
				}
			}
		})
	}
	if once < races*3/4 {
		t.Errorf("the winner's first attempt won in %d of %d races", once, races)
	}
}

// While an attempt has a majority and its registers are being made equal, another attempt's nodes
// do not matter.
func TestAnAttemptThatHasAMajorityGivesWayToNobody(t *testing.T) {
	t.Parallel()
	for range 10 { // the fingerprints say which comes first
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(3)
			c.Latency(time.Millisecond)
			ahead := fmt.Sprint(time.Now().Add(time.Hour).UnixMicro())
			// so that the second needs a repair
			c.Masters[0].Set("{a}:redlock:fence", ahead, time.Hour)
			c.Masters[2].Set("a", "0123456789abcdef0123456789abcdef", time.Minute)
			seen := new(recorder)
			l := c.Locker(t, redlock.WithObserver(seen))
			mustUnlock(t, mustTryLock(t, l, "a"))
			if a := eventsOf[redlock.AttemptEvent](seen); len(a) != 1 || a[0].Repairs != 1 {
				t.Errorf("attempts: %+v", a)
			}
			if n := c.Masters[2].Sent(wire.Acquire); n != 1 {
				t.Errorf("the other's node was asked %d times", n)
			}
		})
	}
}

// warmUp lets Lockers measure the round trips and notice silent nodes.
func warmUp(t *testing.T, lockers ...*redlock.Locker) {
	t.Helper()
	for _, l := range lockers {
		mustUnlock(t, mustLock(t, l, "warm"))
	}
	time.Sleep(time.Second)
}

// splitForGood keeps the Locker from a majority: of its three nodes one is away, and one has a lock
// that a crashed process has left, whose owner comes after every other one.
func splitForGood(t *testing.T, c *clustertest.Cluster, l *redlock.Locker) {
	t.Helper()
	warmUp(t, l)
	c.Masters[0].Set("a", last(), time.Minute)
	c.Refuse(2)
}

// A lock that a crashed process has left keeps all from a majority, so the first attempt asks again
// in vain.
func TestTryLockGivesUpAVoteThatStaysSplitWithinSixNodeTimeouts(t *testing.T) {
	t.Parallel()
	const timeout = 20 * time.Millisecond
	for i := range time.Duration(20) {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(3)
			c.Latency(timeout / (4 + 6*(i%2)))
			l := c.Locker(t, redlock.WithNodeTimeout(timeout))
			splitForGood(t, c, l)
			var err error
			d := took(func() { _, err = l.TryLock(t.Context(), "a") })
			// the last attempt begins within three, and asks again until five are over
			if d > 5*timeout+3*timeout/5 || d < timeout || !errors.Is(err, redlock.ErrNoQuorum) {
				t.Errorf("TryLock took %v: %v", d, err)
			}
		})
	}
}

// After each vain round the first of a split vote asks again within a quarter of a node timeout: it
// must not miss the moment when another gives up its nodes.
func TestTheFirstOfASplitVoteAsksAgainWithinAQuarterOfTheNodeTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const timeout, latency = 200 * time.Millisecond, 25 * time.Millisecond
		c := clustertest.New(3)
		c.Latency(latency)
		seen := new(recorder)
		l := c.Locker(t, redlock.WithNodeTimeout(timeout), redlock.WithObserver(seen))
		splitForGood(t, c, l)
		before := c.Masters[0].Sent(wire.Acquire)
		if _, err := l.TryLock(t.Context(), "a"); !errors.Is(err, redlock.ErrNoQuorum) {
			t.Fatalf("TryLock: %v", err)
		}
		var asked time.Duration // how long the attempts went on
		for _, a := range eventsOf[redlock.AttemptEvent](seen)[1:] {
			asked += a.Took
		}
		times := c.Masters[0].Sent(wire.Acquire) - before
		if most := asked / time.Duration(times); most > timeout/4+latency {
			t.Errorf("the node was asked %d times in %v, once in %v", times, asked, most)
		}
	})
}

// last is an owner that comes after all others: see split.go.
func last() string {
	for i := 0; ; i++ {
		if o := fmt.Sprintf("%032x", i); sha1.Sum([]byte(o))[0] == 0xff { //nolint:gosec // Redis's own fingerprint
			return o
		}
	}
}

// A node is asked again under an owner id only if it has refused that before: a node that granted
// the lock and has lost it since would carry the request out twice. If no other attempt has a node,
// the attempt does not wait for silent nodes either.
func TestANodeThatHadTheLockIsNotAskedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		granted := make(map[string]int) // by owner id and node
		var nodes []pool.Node
		for i := range 5 {
			n := memnode.New(fmt.Sprintf("node%d:6379", i))
			keys, err := wire.Keys("", "a")
			if err != nil {
				t.Fatal(err)
			}
			if i < 2 { // the third has to be repaired
				n.Set(keys.Fence, fmt.Sprint(time.Now().Add(time.Hour).UnixMicro()), 0)
			}
			nodes = append(nodes, wire.Seal(scripted{n.Addr(), func(ctx context.Context, r *wire.Request) wire.Reply {
				if i > 2 {
					deadline, _ := ctx.Deadline()
					time.Sleep(time.Until(deadline))
					return wire.Reply{Verdict: wire.Unavailable, Err: errTimeout}
				}
				time.Sleep(time.Millisecond) // otherwise nobody needs to ask the silent nodes
				mu.Lock()
				defer mu.Unlock()
				if r.Verb == wire.Repair && len(granted) == 3 { // of the first attempt
					n.Delete(r.Lock)
				}
				reply := ask(ctx, n, r)
				if r.Verb == wire.Acquire && r.Lock == keys.Lock && reply.Verdict == wire.OK {
					granted[r.Owner+n.Addr()]++
				}
				return reply
			}}))
		}
		t.Cleanup(func() { time.Sleep(time.Second) }) // requests to the silent nodes end
		l := over(t, nodes)
		warmUp(t, l)
		var le *redlock.Lease
		var err error
		d := took(func() { le, err = l.TryLock(t.Context(), "a") })
		if err != nil {
			t.Fatal(err)
		}
		mustUnlock(t, le)
		mu.Lock()
		defer mu.Unlock()
		if len(granted) < 4 {
			t.Errorf("%d grants: the first attempt has won", len(granted))
		}
		for owner, times := range granted {
			if times > 1 {
				t.Errorf("the lock was taken %d times for one owner on %s", times, owner[32:])
			}
		}
		if d > 100*time.Millisecond {
			t.Errorf("it took %v", d)
		}
	})
}

// After a split vote the nodes' queues differ: a node that granted the lock to an attempt does not
// have its waiter in the queue. The queues must become equal again, or every release would split
// the next vote; with a minority away, all nodes that answer are needed.
func TestAfterASplitVoteTheNodesQueuesComeToAgree(t *testing.T) {
	t.Parallel()
	const processes, goroutines, length = 3, 2, 2 * time.Second
	locks := func(away func(*clustertest.Cluster)) (n int) {
		for range 10 {
			synctest.Test(t, func(t *testing.T) {
				c := clustertest.New(5)
				c.Jitter(time.Millisecond)
				lockers := c.Lockers(t, processes, redlock.WithNodeTimeout(250*time.Millisecond))
				warmUp(t, lockers...)
				away(c)
				var all sync.WaitGroup
				var count atomic.Int64
				end := time.Now().Add(length)
				for _, l := range lockers {
					for range goroutines {
						all.Go(func() {
							for time.Now().Before(end) {
								le := mustLock(t, l, "a")
								count.Add(1)
								time.Sleep(time.Millisecond)
								mustUnlock(t, le)
							}
						})
					}
				}
				all.Wait()
				n += int(count.Load())
			})
		}
		return n
	}
	frozen, refused := locks(func(c *clustertest.Cluster) { c.Freeze(3, 4) }), locks(func(c *clustertest.Cluster) { c.Refuse(3, 4) })
	if float64(frozen) < 0.9*float64(refused) {
		t.Errorf("%d locks with two nodes frozen, %d with two that refuse connections", frozen, refused)
	}
}
