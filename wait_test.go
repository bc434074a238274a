package redlock_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/clustertest"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// nearby runs a test over five masters that are a millisecond away.
func nearby(t *testing.T, test func(*testing.T, *clustertest.Cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		test(t, c)
	})
}

// holdLong takes the lock for longer than any of these tests lasts.
func holdLong(t *testing.T, l *redlock.Locker) *redlock.Lease {
	t.Helper()
	return mustLock(t, l, "a", redlock.WithTTL(time.Hour))
}

// queued returns a Lock that has been waiting for a second.
func queued(t *testing.T, l *redlock.Locker) waiter {
	t.Helper()
	w := lockInBackground(t.Context(), l, "a")
	time.Sleep(time.Second)
	return w
}

// passOn unlocks the lease, and then the lease of the waiter, which must get the lock within d.
func passOn(t *testing.T, le *redlock.Lease, to waiter, d time.Duration) {
	t.Helper()
	synctest.Wait()
	released := time.Now()
	mustUnlock(t, le)
	to.within(t, d, released)
}

// A contest is many Lockers that take one lock in turn, each as soon as it can.
type contest struct {
	hold time.Duration

	turns    []int           // of each Locker
	waits    []time.Duration // of each turn
	handOver int             // turns altogether
}

// run lets the Lockers contend for d. No holders may overlap, and tokens must rise.
func (ct *contest) run(t *testing.T, lockers []*redlock.Locker, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	ct.turns = make([]int, len(lockers))
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		held int
		last token
	)
	for i, l := range lockers {
		all.Go(func() {
			for {
				began := time.Now()
				le, err := l.Lock(ctx, "a")
				if err != nil {
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("Lock: %v", err)
					}
					return
				}
				mu.Lock()
				if held++; held != 1 {
					t.Error("two leases overlap")
				}
				last.follow(t, le)
				ct.turns[i]++
				ct.handOver++
				ct.waits = append(ct.waits, time.Since(began))
				mu.Unlock()
				time.Sleep(ct.hold)
				mu.Lock()
				held--
				mu.Unlock()
				if err := le.Unlock(t.Context()); err != nil {
					t.Errorf("Unlock: %v", err)
				}
			}
		})
	}
	all.Wait()
	slices.Sort(ct.waits)
}

// p99 returns the 99th percentile of the waits.
func (ct *contest) p99() time.Duration { return ct.waits[len(ct.waits)*99/100] }

// median returns the median number of turns, and the least.
func (ct *contest) median() (median, least int) {
	sorted := slices.Sorted(slices.Values(ct.turns))
	return sorted[len(sorted)/2], sorted[0]
}

// With pollers, 32 waiters cost the servers 24 to 100 requests for each hand-over, waits are up to
// twenty times a fair turn, and some waiters never get the lock.
func TestWaitersInManyProcessesTakeFairTurnsAndCostLittle(t *testing.T) {
	t.Parallel()
	for _, count := range []int{32, 200} {
		if count > 32 && raceDetector {
			t.Skip("200 take too long with the race detector")
		}
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(5)
			c.Jitter(time.Millisecond)
			length := time.Duration(count) * 200 * time.Millisecond
			ct := &contest{hold: 5 * time.Millisecond}
			ct.run(t, c.Lockers(t, count, redlock.WithTTL(8*time.Second)), length)
			each := float64(c.Trips()) / float64(ct.handOver)
			turn := time.Duration(count) * (length / time.Duration(ct.handOver))
			median, least := ct.median()
			t.Logf("%d Lockers: %d hand-overs, %.1f requests each, a fair turn %v, p99 wait %v, turns %d to %d",
				count, ct.handOver, each, turn, ct.p99(), least, median)
			if each > 18 {
				t.Errorf("%d Lockers: %.1f requests a hand-over", count, each)
			}
			if turn > time.Duration(count)*12*time.Millisecond {
				t.Errorf("%d Lockers: a fair turn takes %v", count, turn)
			}
			if ct.p99() > turn*3/2 {
				t.Errorf("%d Lockers: p99 wait %v, a fair turn is %v", count, ct.p99(), turn)
			}
			if least*10 < median*8 {
				t.Errorf("%d Lockers: turns: %v", count, ct.turns)
			}
		})
	}
}

func TestWaiterIsWokenByTheRelease(t *testing.T) {
	t.Parallel()
	nearby(t, func(t *testing.T, c *clustertest.Cluster) {
		le := holdLong(t, c.Locker(t))
		next := queued(t, c.Locker(t))
		time.Sleep(10 * time.Minute)
		passOn(t, le, next, 5*time.Millisecond)
	})
}

// lateReleases lets the first of two Lockers release the lock for which the second waits. The
// release reaches two of five masters so late that they refuse the second once more.
func lateReleases(t *testing.T, c *clustertest.Cluster) (second *redlock.Lease, late time.Time) {
	t.Helper()
	one, other := c.Locker(t), c.Locker(t)
	le, next := holdLong(t, one), queued(t, other)
	for _, m := range c.Masters[3:] {
		m.Slow(wire.Release, 20*time.Millisecond)
	}
	late = time.Now().Add(10*time.Millisecond + time.Millisecond/2) // halfway
	mustUnlock(t, le)
	second = next.lease(t)
	for _, m := range c.Masters[3:] {
		m.Slow(wire.Release, 0)
	}
	return second, late
}

// Nodes that were not needed for a waiter's grant do not pass the lock on to it after it has had
// the lock.
func TestWhoeverHasHadTheLockIsForgottenByTheNodesThatRefusedIt(t *testing.T) {
	t.Parallel()
	nearby(t, func(t *testing.T, c *clustertest.Cluster) {
		le, late := lateReleases(t, c)
		mustUnlock(t, le)
		time.Sleep(time.Until(late))
		synctest.Wait()
		for i, m := range c.Masters {
			if owner := m.Owner("a"); owner != "" {
				t.Errorf("node %d passes the lock on though nobody waits: %q", i, owner)
			}
		}
		if n := c.Sent(wire.Leave); n != 2 {
			t.Errorf("%d nodes were told", n)
		}
	})
}

// A node that refused the lock and reserves it later is asked for it while the lock is held. So all
// nodes have the lock in the end, and pass it on to the same waiter.
func TestTheHolderTakesTheLockOnNodesThatReserveItLate(t *testing.T) {
	t.Parallel()
	nearby(t, func(t *testing.T, c *clustertest.Cluster) {
		le, late := lateReleases(t, c)
		time.Sleep(time.Until(late) + 2*time.Millisecond)
		synctest.Wait()
		for i, m := range c.Masters {
			if owner := m.Owner("a"); owner == "" || owner != c.Masters[0].Owner("a") {
				t.Errorf("on node %d the lock is held by %q", i, owner)
			}
		}
		mustUnlock(t, le)
		time.Sleep(2 * time.Millisecond)
		c.WantNoLocks(t)
	})
}

// With many waiters each turn takes one attempt that fails, to join the queue, and one that wins.
func TestATurnTakesTwoAttempts(t *testing.T) {
	t.Parallel()
	nearby(t, func(t *testing.T, c *clustertest.Cluster) {
		c.Jitter(time.Millisecond)
		var ct contest
		ct.run(t, c.Lockers(t, 8), 10*time.Second)
		each := float64(c.Sent(wire.Acquire)) / 5 / float64(ct.handOver)
		if each > 2.05 || slices.Min(ct.turns) < slices.Max(ct.turns)*95/100 {
			t.Errorf("%.2f attempts a turn; turns %v", each, ct.turns)
		}
	})
}

// Two of the nodes that pass the lock on notify the second waiter, which checks whether the first
// has died.
func TestTwoNodesTellTheSecondWaiter(t *testing.T) {
	t.Parallel()
	nearby(t, func(t *testing.T, c *clustertest.Cluster) {
		one, zero := c.Locker(t), holdLong(t, c.Locker(t))
		first := queued(t, one)
		le := handOver(t, zero, first) // to a waiter that listens
		next, third := queued(t, c.LockerAs(t, "next")), queued(t, c.Locker(t))
		c.Stop("next")
		notices, looks, released := c.Notices(), c.Sent(wire.Inspect), time.Now()
		mustUnlock(t, le)
		time.Sleep(5 * time.Millisecond)
		if n := c.Notices() - notices; n != 5+2 {
			t.Errorf("%d notices were sent, five of them to the first", n)
		}
		third.within(t, 50*time.Millisecond, released)
		if c.Sent(wire.Inspect) == looks {
			t.Error("it did not look")
		}
		c.Resume("next")
		mustUnlock(t, next.lease(t))
	})
}

func TestReleaserDoesNotBargeIn(t *testing.T) {
	t.Parallel()
	nearby(t, func(t *testing.T, c *clustertest.Cluster) {
		one, other := c.Locker(t), c.Locker(t)
		for range 20 {
			le, next := holdLong(t, one), queued(t, other)
			mustUnlock(t, le)
			again := lockInBackground(t.Context(), one, "a")
			le = next.lease(t)
			time.Sleep(time.Millisecond)
			select {
			case r := <-again:
				t.Fatalf("the releaser had it first: %v", r.err)
			default:
			}
			mustUnlock(t, le)
			mustUnlock(t, again.lease(t))
		}
	})
}

// subscribe makes a Locker wait for a lock that another has, so that the nodes can notify it.
func subscribe(t *testing.T, l, other *redlock.Locker) {
	t.Helper()
	mustLock(t, other, "b", redlock.WithTTL(time.Hour))
	lockInBackground(t.Context(), l, "b")
	time.Sleep(100 * time.Millisecond)
}

// If the nodes grant an attempt too late, it is released when their answers come, and until then
// blocks the next attempt: the waiter behind it is this process itself.
func TestWaiterBehindItsOwnLateAttemptTriesOnceThatIsReleased(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t)
		subscribe(t, l, c.Locker(t))
		start := time.Now()
		c.Slow(wire.Acquire, 498*time.Millisecond) // granted at 249 ms, answered too late
		// given up after a node timeout, at 500 ms, and repeated
		c.Slow(wire.Release, time.Second)
		next := lockInBackground(t.Context(), l, "a")
		time.Sleep(251 * time.Millisecond)
		c.Slow(wire.Acquire, 0)
		time.Sleep(240 * time.Millisecond)
		c.Slow(wire.Release, 0)
		next.within(t, 550*time.Millisecond, start)
		time.Sleep(time.Second) // until the slow requests are over
	})
}

// A node that was frozen may grant an attempt that was lost meanwhile. If the waiter's next attempt
// comes before that one's releases, it is this process itself that keeps the waiter out.
func TestWaiterBehindItsOwnLostAttemptHasTheLockOnceThatIsReleased(t *testing.T) {
	t.Parallel()
	for range 20 { // the next attempt begins at random
		nearby(t, func(t *testing.T, c *clustertest.Cluster) {
			l := c.Locker(t)
			subscribe(t, l, c.Locker(t))
			for _, m := range c.Masters[1:3] {
				m.Set("a", strings.Repeat("0a", 16), time.Minute) // a dead owner's
			}
			c.Slow(wire.Release, 100*time.Millisecond) // which is carried out after 50 ms
			c.Freeze(3, 4)
			start := time.Now()
			next := lockInBackground(t.Context(), l, "a")
			time.Sleep(20 * time.Millisecond)
			c.Thaw(3, 4)
			next.within(t, time.Second, start) // without a notice it takes three to five
		})
	}
}

// When the nodes go on, they carry out the last attempt, which takes the waiter out of their
// queues, and then its release. So no notice wakes the waiter, which rests.
func TestAWaiterTriesOnceAFrozenMajorityHasConfirmedThatItsAttemptIsReleased(t *testing.T) {
	t.Parallel()
	for range 20 { // it rests at random
		nearby(t, func(t *testing.T, c *clustertest.Cluster) {
			l := c.Locker(t)
			subscribe(t, l, c.Locker(t))
			c.Freeze(0, 1, 2)
			next := lockInBackground(t.Context(), l, "a")
			time.Sleep(10 * time.Second)
			c.Thaw(0, 1, 2)
			next.within(t, 600*time.Millisecond, time.Now())
		})
	}
}

func TestWaiterBehindAnUnansweredUnlockTriesOnceThatIsConfirmed(t *testing.T) {
	t.Parallel()
	nearby(t, func(t *testing.T, c *clustertest.Cluster) {
		l := c.Locker(t)
		subscribe(t, l, c.Locker(t))
		le, next := holdLong(t, l), queued(t, l)
		start := time.Now()
		// executed at 251 ms, after the waiter's attempt; then repeated, and found gone
		c.Slow(wire.Release, 501*time.Millisecond)
		time.AfterFunc(100*time.Millisecond, func() { c.Slow(wire.Release, 0) })
		if err := le.Unlock(t.Context()); !errors.Is(err, redlock.ErrNoQuorum) {
			t.Fatalf("Unlock: %v", err)
		}
		next.within(t, 300*time.Millisecond, start)
		time.Sleep(time.Second) // until the slow requests are over
	})
}

// A call that does not wait may get the lock for which another call of its process waits, as it may
// get any other lock.
func TestWaiterBehindATryLockOfItsOwnProcessHasTheLockNext(t *testing.T) {
	t.Parallel()
	nearby(t, func(t *testing.T, c *clustertest.Cluster) {
		l := c.Locker(t)
		holdLong(t, c.Locker(t))
		next := queued(t, l)
		c.Delete("a") // nobody is notified
		barged := mustTryLock(t, l, "a", redlock.WithTTL(time.Minute))
		time.Sleep(10 * time.Second) // the waiter asks again, and queues
		passOn(t, barged, next, 10*time.Millisecond)
	})
}

// A fullNode refuses to take locks, like a server without memory.
type fullNode struct{ wire.Node }

func (n fullNode) Do(ctx context.Context, calls []wire.Call) {
	if calls[0].Request.Verb != wire.Acquire {
		n.Node.Do(ctx, calls)
		return
	}
	time.Sleep(time.Millisecond)
	fail(calls, wire.Reply{Verdict: wire.Refused, Err: errors.New("OOM command not allowed")})
}

// The nodes also confirm the release of an attempt that was lost to another owner. That is no
// reason to try again at once.
func TestAnAttemptThatIsLostToAnotherIsNoReasonToTryAgainAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		c.Latency(time.Millisecond)
		// one is full, one has a dead owner's key, and one is free
		c.Masters[1].Set("a", strings.Repeat("0a", 16), time.Minute)
		l := over(t, asNodes([]wire.Node{fullNode{c.Masters[0]}, c.Masters[1], c.Masters[2]}))
		if _, err := l.Lock(t.Context(), "a", redlock.WithWait(10*time.Second)); !errors.Is(err, redlock.ErrNoQuorum) {
			t.Errorf("Lock: %v", err)
		}
		if n := c.Sent(wire.Acquire); n > 300 {
			t.Errorf("%d requests for the lock in 10 s", n)
		}
		mustClose(t, l)
	})
}

// A deaf node is one whose notices get lost.
type deaf struct{ wire.Node }

func (n deaf) Listen(ctx context.Context, inbox string, ready func(), _ func(wire.Notice)) error {
	return n.Node.Listen(ctx, inbox, ready, func(wire.Notice) {})
}

func deafened(masters []*clustertest.Master) (nodes []pool.Node) {
	for _, m := range masters {
		nodes = append(nodes, wire.Seal(deaf{m}))
	}
	return nodes
}

// Notices are hints: rueidislock sleeps until one comes, and they get lost.
func TestWaiterGetsTheLockThoughEveryNoticeIsLost(t *testing.T) {
	t.Parallel()
	nearby(t, func(t *testing.T, c *clustertest.Cluster) {
		one, other := over(t, deafened(c.Masters)), over(t, deafened(c.Masters))
		for _, ttl := range []time.Duration{2 * time.Second, time.Hour} {
			le := mustLock(t, one, "a", redlock.WithTTL(ttl))
			passOn(t, le, queued(t, other), 6*time.Second)
		}
	})
}

func TestWaiterGetsTheLockWhenItExpires(t *testing.T) {
	t.Parallel()
	nearby(t, func(t *testing.T, c *clustertest.Cluster) {
		start := time.Now()
		crashed := mustLock(t, c.LockerAs(t, "crashed"), "a", redlock.WithTTL(3*time.Second))
		synctest.Wait()
		c.Cut("crashed")
		lockInBackground(t.Context(), c.Locker(t), "a").within(t, 3100*time.Millisecond, start)
		if d := time.Since(start); d < 3*time.Second || crashed.Err() == nil {
			t.Errorf("the waiter had it after %v: %v", d, crashed.Err())
		}
	})
}

// Another program notifies nobody of its release. redsync's waiters ask every 50 to 250 ms.
func TestAWaiterBehindAnotherProgramLooksAgainSoon(t *testing.T) {
	t.Parallel()
	nearby(t, func(t *testing.T, c *clustertest.Cluster) {
		l := c.Locker(t)
		for round := range 20 {
			c.Hold("a", time.Hour)
			asked := c.Sent(wire.Acquire)
			next := queued(t, l)
			time.Sleep(2*time.Second + time.Duration(round)*37*time.Millisecond)
			if n := (c.Sent(wire.Acquire) - asked) / 5; n > 3800/150+3 {
				t.Errorf("it asked %d times in less than four seconds", n)
			}
			c.Delete("a")
			next.within(t, 260*time.Millisecond, time.Now())
		}
		c.WantNoLocks(t)
	})
}

func TestAStaleKeyOfAnotherProgramOnAMinorityIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	nearby(t, func(t *testing.T, c *clustertest.Cluster) {
		c.Hold("a", time.Hour, 0)
		le, next := holdLong(t, c.Locker(t)), queued(t, c.Locker(t))
		asked := c.Sent(wire.Acquire)
		time.Sleep(time.Minute)
		if n := (c.Sent(wire.Acquire) - asked) / 5; n > 60 {
			t.Errorf("it asked %d times in a minute", n)
		}
		mustUnlock(t, le)
		mustUnlock(t, next.lease(t))
	})
}

// An unheard node refuses subscriptions.
type unheard struct {
	wire.Node
	why error
}

func (n unheard) Listen(context.Context, string, func(), func(wire.Notice)) error { return n.why }

// If subscriptions are forbidden, waiters poll, within bounds, and the log says so once.
func TestWaitersPollWhereSubscriptionsCannotBeHad(t *testing.T) {
	t.Parallel()
	for name, why := range map[string]error{"impossible": wire.ErrNoListen, "forbidden": errors.New("NOPERM no channels")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nearby(t, func(t *testing.T, c *clustertest.Cluster) {
				var nodes []pool.Node
				for _, m := range c.Masters {
					nodes = append(nodes, wire.Seal(unheard{m, why}))
				}
				log := new(logged)
				one, other := over(t, nodes), over(t, nodes, redlock.WithLogger(log.logger()))
				for range 5 {
					le, next := holdLong(t, one), lockInBackground(t.Context(), other, "a")
					requests := c.Sent(wire.Acquire)
					time.Sleep(5 * time.Second)
					if n := c.Sent(wire.Acquire) - requests; n > 5*60 {
						t.Errorf("%d requests in 5s of polling", n)
					}
					passOn(t, le, next, time.Second)
				}
				if n := log.count("subscriptions"); n != 1 {
					t.Errorf("it was logged %d times", n)
				}
			})
		})
	}
}

// Subscriptions that break are made again, and a notice that was missed meanwhile blocks no waiter.
func TestWaiterSurvivesBrokenSubscriptions(t *testing.T) {
	t.Parallel()
	nearby(t, func(t *testing.T, c *clustertest.Cluster) {
		one, other := c.Locker(t), c.Locker(t)
		for range 5 {
			le, next := holdLong(t, one), queued(t, other)
			for _, m := range c.Masters {
				m.Disconnect()
			}
			time.Sleep(10 * time.Second)
			passOn(t, le, next, 10*time.Second)
		}
	})
}

// withoutHead makes the first waiter in the nodes' queues go away while another has the lock, and
// checks that the second has the lock within d of its release.
func withoutHead(t *testing.T, leave, comeBack func(*clustertest.Cluster, string), d time.Duration) {
	t.Helper()
	nearby(t, func(t *testing.T, c *clustertest.Cluster) {
		le := holdLong(t, c.Locker(t))
		head, next := queued(t, c.LockerAs(t, "head")), queued(t, c.Locker(t))
		leave(c, "head")
		passOn(t, le, next, d)
		comeBack(c, "head")
		mustUnlock(t, head.lease(t))
	})
}

// The first waiter no longer listens. The next one gets the lock at the release.
func TestQueueDoesNotStallWhenItsHeadDies(t *testing.T) {
	t.Parallel()
	withoutHead(t, (*clustertest.Cluster).Cut, (*clustertest.Cluster).Join, 20*time.Millisecond)
}

// The first waiter's attempts do not arrive. The next one asks after the reservation has ended.
func TestQueueDoesNotStallWhenItsHeadFreezesSubscribed(t *testing.T) {
	t.Parallel()
	withoutHead(t, (*clustertest.Cluster).Stop, (*clustertest.Cluster).Resume, 100*time.Millisecond)
}

// The waiter behind a dead or frozen first one may come after the release: at the release nobody
// could notify it that it is next.
func TestWaiterThatComesDuringTheReservationOfAFrozenHeadIsNotHeldUp(t *testing.T) {
	t.Parallel()
	nearby(t, func(t *testing.T, c *clustertest.Cluster) {
		le, head := holdLong(t, c.Locker(t)), queued(t, c.LockerAs(t, "head"))
		c.Stop("head")
		mustUnlock(t, le)
		time.Sleep(time.Millisecond)
		lockInBackground(t.Context(), c.Locker(t), "a").within(t, 50*time.Millisecond, time.Now())
		c.Resume("head")
		mustUnlock(t, head.lease(t))
	})
}

// If one process of many freezes while it waits, or is killed, the others go on nearly as before.
func TestContestGoesOnWhileOneWaiterIsFrozen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const count, d = 16, 4 * time.Second
		c := clustertest.New(5)
		c.Jitter(time.Millisecond)
		lockers := c.Lockers(t, count)
		before := &contest{hold: 5 * time.Millisecond}
		before.run(t, lockers, d)
		le, frozen := mustLock(t, lockers[0], "a"), queued(t, c.LockerAs(t, "frozen"))
		c.Stop("frozen")
		mustUnlock(t, le)
		during := &contest{hold: 5 * time.Millisecond}
		during.run(t, lockers, d)
		turn := count * d / time.Duration(during.handOver)
		if during.handOver*10 < before.handOver*8 || during.p99() > 3*turn {
			t.Errorf("%d hand-overs with a frozen waiter, %d without; p99 wait %v, a fair turn %v",
				during.handOver, before.handOver, during.p99(), turn)
		}
		c.Resume("frozen")
		mustUnlock(t, frozen.lease(t))
	})
}

// A waiter that leaves, in whatever state, delays nobody: a lock that is reserved for it is passed
// on.
func TestWaiterThatLeavesPassesItsReservationOn(t *testing.T) {
	t.Parallel()
	nearby(t, func(t *testing.T, c *clustertest.Cluster) {
		one, two, three := c.Locker(t), c.Locker(t), c.Locker(t)
		for quarters := range 8 { // of a millisecond
			le := holdLong(t, one)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			leaving := lockInBackground(ctx, two, "a")
			time.Sleep(100 * time.Millisecond)
			next := queued(t, three)
			time.AfterFunc(time.Duration(quarters)*250*time.Microsecond, cancel)
			released := time.Now()
			mustUnlock(t, le)
			if r := <-leaving; r.err == nil {
				mustUnlock(t, r.lease)
			}
			next.within(t, 30*time.Millisecond, released)
		}
	})
}

func TestWaiterThatGivesUpTellsTheNodes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t)
		le := mustLock(t, c.Locker(t), "a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.Lock(ctx, "a"); !errors.Is(err, redlock.ErrHeld) {
			t.Errorf("Lock: %v", err)
		}
		if n := c.Sent(wire.Leave); n != 3 {
			t.Errorf("%d of 3 nodes were told", n)
		}
		mustUnlock(t, le)
	})
}

// Two nodes that keep the queue are down. The queues of the others are enough.
func TestWaitersAreWokenThoughAMinorityOfNodesIsDown(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(*clustertest.Cluster, ...int){
		"frozen": (*clustertest.Cluster).Freeze, "refused": (*clustertest.Cluster).Refuse,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nearby(t, func(t *testing.T, c *clustertest.Cluster) {
				one, other := c.Locker(t), c.Locker(t)
				fault(c, 0, 1)
				for range 5 {
					le := holdLong(t, one)
					passOn(t, le, queued(t, other), 10*time.Millisecond)
				}
			})
		})
	}
}

// Subscriptions are made when somebody waits, and end some time after nobody waits.
func TestSubscriptionLastsWhileSomebodyWaits(t *testing.T) {
	t.Parallel()
	nearby(t, func(t *testing.T, c *clustertest.Cluster) {
		other := c.Locker(t)
		le := holdLong(t, c.Locker(t))
		if n := c.Subscriptions(); n != 0 {
			t.Errorf("%d subscriptions before anybody waits", n)
		}
		next, last := queued(t, other), queued(t, other)
		if n := c.Subscriptions(); n != 5 {
			t.Errorf("%d subscriptions of one Locker on five nodes", n)
		}
		mustUnlock(t, le)
		mustUnlock(t, next.lease(t))
		mustUnlock(t, last.lease(t))
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := c.Subscriptions(); n != 0 {
			t.Errorf("%d subscriptions after everybody has had the lock", n)
		}
	})
}

// A node with wrong notices does not keep a waiter from trying, because notices are hints.
func TestWaiterTriesThoughANodeTellsItToWaitForEver(t *testing.T) {
	t.Parallel()
	for name, every := range map[string]time.Duration{"once": time.Hour, "again and again": 100 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := clustertest.New(3)
				l := over(t, append(deafened(c.Masters[1:]), wire.Seal(&putsOff{Node: c.Masters[0], every: every, lock: "a"})))
				le := mustLock(t, c.Locker(t), "a", redlock.WithTTL(time.Minute))
				next := lockInBackground(t.Context(), l, "a", redlock.WithWait(40*time.Second))
				time.Sleep(5 * time.Second)
				passOn(t, le, next, 7*time.Second)
			})
		})
	}
}

// A putsOff is a node that tells every listener that it is next, and to ask in a year.
type putsOff struct {
	wire.Node
	every time.Duration
	lock  string
}

func (n *putsOff) Listen(ctx context.Context, _ string, ready func(), heard func(wire.Notice)) error {
	ready()
	for later := time.Second; ; later = n.every {
		select {
		case <-time.After(later):
			heard(wire.Notice{Lock: n.lock, Next: 365 * 24 * time.Hour})
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Clocks that differ between processes give nobody a better place, and no node another register.
func TestClocksThatAreApartCostNeitherTurnsNorRepairs(t *testing.T) {
	t.Parallel()
	for _, apart := range []time.Duration{2 * time.Millisecond, 50 * time.Millisecond, 800 * time.Millisecond} {
		nearby(t, func(t *testing.T, c *clustertest.Cluster) {
			c.Jitter(time.Millisecond)
			var events recorder
			lockers := make([]*redlock.Locker, 8)
			for i := range lockers {
				clock := &wallClock{wall: time.Duration(i%3-1) * apart}
				lockers[i] = c.Locker(t, redlock.WithClock(clock), redlock.WithObserver(&events))
			}
			var ct contest
			ct.run(t, lockers, 5*time.Second)
			repaired := 0
			for _, e := range eventsOf[redlock.AttemptEvent](&events) {
				if e.Repairs > 0 {
					repaired++
				}
			}
			if slices.Min(ct.turns) < slices.Max(ct.turns)*9/10 || repaired > ct.handOver/100 {
				t.Errorf("%v apart: turns %v, %d repaired", apart, ct.turns, repaired)
			}
		})
	}
}
