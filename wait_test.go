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

// A contest is many Lockers that take one lock in turn, each as soon as it can.
type contest struct {
	cluster *clustertest.Cluster
	hold    time.Duration

	turns    []int           // of each Locker
	waits    []time.Duration // of each turn
	handOver int             // turns altogether
}

// run lets the Lockers contend for d. Nobody may overlap, and tokens must rise.
func (ct *contest) run(t *testing.T, lockers []*redlock.Locker, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	ct.turns = make([]int, len(lockers))
	var (
		all   sync.WaitGroup
		mu    sync.Mutex
		held  int
		token uint64
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
				if le.Fence() <= token {
					t.Errorf("token %d after %d", le.Fence(), token)
				}
				token = le.Fence()
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

// p99 is the wait that one turn in a hundred exceeds.
func (ct *contest) p99() time.Duration { return ct.waits[len(ct.waits)*99/100] }

// median returns the median number of turns, and the least.
func (ct *contest) median() (median, least int) {
	sorted := slices.Sorted(slices.Values(ct.turns))
	return sorted[len(sorted)/2], sorted[0]
}

// Pollers cost the servers 24 to 100 requests a hand-over with 32 waiters, waits reach twenty times
// a fair turn, and some get none.
func TestWaitersInManyProcessesTakeFairTurnsAndCostLittle(t *testing.T) {
	t.Parallel()
	for _, count := range []int{32, 200} {
		if count > 32 && raceDetector {
			t.Skip("200 take too long with the race detector")
		}
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(5)
			c.Jitter(time.Millisecond)
			lockers := c.Lockers(t, count, redlock.WithTTL(8*time.Second))
			ct := &contest{cluster: c, hold: 5 * time.Millisecond}
			ct.run(t, lockers, time.Duration(count)*200*time.Millisecond)
			each := float64(c.Trips()) / float64(ct.handOver)
			turn := time.Duration(count) * (time.Duration(count) * 200 * time.Millisecond / time.Duration(ct.handOver))
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
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		one, other := c.Locker(t), c.Locker(t)
		le := mustLock(t, one, "a", redlock.WithTTL(time.Hour))
		waiting := lockInBackground(t.Context(), other, "a")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		released := time.Now()
		mustUnlock(t, le)
		r := <-waiting
		if d := r.at.Sub(released); r.err != nil || d > 5*time.Millisecond {
			t.Errorf("the waiter had it %v after the release: %v", d, r.err)
		}
		mustUnlock(t, r.lease)
	})
}

// Between a release and the attempt of the one who waited longest nobody barges in, the releaser
// least of all. The next attempt of a process that has passed a crowded lock on would only compete
// with the new owner's.
func TestReleaserOfACrowdedLockLetsTheNewOwnerGoFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		one, other := c.Locker(t), c.Locker(t)
		le := mustLock(t, one, "a")
		waiting := lockInBackground(t.Context(), other, "a")
		time.Sleep(100 * time.Millisecond)
		for range 4 { // they take turns
			mustUnlock(t, le)
			r := <-waiting
			one, other, le = other, one, r.lease
			waiting = lockInBackground(t.Context(), other, "a")
			time.Sleep(100 * time.Millisecond)
		}
		asked := c.Sent(wire.Acquire)
		mustUnlock(t, le)
		again := lockInBackground(t.Context(), one, "a")
		time.Sleep(time.Millisecond / 2)
		if n := c.Sent(wire.Acquire) - asked; n != 5 {
			t.Errorf("%d requests for the lock, want those of the new owner alone", n)
		}
		mustUnlock(t, (<-waiting).lease)
		mustUnlock(t, (<-again).lease)

		start := time.Now() // nobody else wants it
		mustUnlock(t, mustLock(t, one, "b"))
		if d := time.Since(start); d > 2*time.Millisecond {
			t.Errorf("another lock took %v", d)
		}
	})
}

func TestReleaserDoesNotBargeIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		one, other := c.Locker(t), c.Locker(t)
		for range 20 {
			le := mustLock(t, one, "a")
			waiting := lockInBackground(t.Context(), other, "a")
			time.Sleep(20 * time.Millisecond)
			mustUnlock(t, le)
			again := lockInBackground(t.Context(), one, "a")
			r := <-waiting
			time.Sleep(time.Millisecond)
			select {
			case r := <-again:
				t.Fatalf("the releaser had it first: %v", r.err)
			default:
			}
			mustUnlock(t, r.lease)
			mustUnlock(t, (<-again).lease)
		}
	})
}

// An attempt that the nodes grant after its time is released as soon as they are heard of, and
// until then stands in the way of the next. Its release is told to nobody: who waits behind it is
// this process itself.
func TestWhoWaitsForItsOwnLateAttemptTriesOnceThatIsReleased(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		one, other := c.Locker(t), c.Locker(t)
		le := mustLock(t, one, "b")
		elsewhere := lockInBackground(t.Context(), other, "b") // so that it listens
		time.Sleep(100 * time.Millisecond)
		start := time.Now()
		c.Slow(wire.Acquire, 498*time.Millisecond) // granted at 249 ms, answered too late
		// given up after a node timeout, at 500 ms, and repeated
		c.Slow(wire.Release, time.Second)
		waiting := lockInBackground(t.Context(), other, "a")
		time.Sleep(251 * time.Millisecond)
		c.Slow(wire.Acquire, 0)
		time.Sleep(240 * time.Millisecond)
		c.Slow(wire.Release, 0)
		r := <-waiting
		if d := r.at.Sub(start); r.err != nil || d > 550*time.Millisecond {
			t.Errorf("had after %v: %v", d, r.err)
		}
		mustUnlock(t, r.lease)
		mustUnlock(t, le)
		mustUnlock(t, (<-elsewhere).lease)
		time.Sleep(time.Second) // what the nodes were slow with
	})
}

func TestWhoWaitsBehindAnUnansweredUnlockTriesOnceThatIsConfirmed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		one, other := c.Locker(t), c.Locker(t)
		elsewhere := mustLock(t, one, "b")
		alsoThere := lockInBackground(t.Context(), other, "b") // so that it listens
		le := mustLock(t, other, "a")
		waiting := lockInBackground(t.Context(), other, "a")
		time.Sleep(100 * time.Millisecond)
		start := time.Now()
		// executed at 251 ms, after the waiter's attempt; then repeated, and found gone
		c.Slow(wire.Release, 501*time.Millisecond)
		time.AfterFunc(100*time.Millisecond, func() { c.Slow(wire.Release, 0) })
		if err := le.Unlock(t.Context()); !errors.Is(err, redlock.ErrNoQuorum) {
			t.Fatalf("Unlock: %v", err)
		}
		r := <-waiting
		if d := r.at.Sub(start); r.err != nil || d > 300*time.Millisecond {
			t.Errorf("had after %v: %v", d, r.err)
		}
		mustUnlock(t, r.lease)
		mustUnlock(t, elsewhere)
		mustUnlock(t, (<-alsoThere).lease)
		time.Sleep(time.Second) // what the nodes were slow with
	})
}

// A call that does not wait may be given the lock that another of its process waits for, as it may
// be given any other's.
func TestWhoWaitsBehindATryLockOfItsOwnProcessHasTheLockNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		one, other := c.Locker(t), c.Locker(t)
		le := mustLock(t, one, "a", redlock.WithTTL(time.Minute))
		waiting := lockInBackground(t.Context(), other, "a")
		time.Sleep(100 * time.Millisecond)
		for _, master := range c.Masters {
			master.Delete("a") // nobody tells of that
		}
		barged := mustTryLock(t, other, "a", redlock.WithTTL(time.Minute))
		time.Sleep(10 * time.Second) // the waiter looks again, and queues
		start := time.Now()
		mustUnlock(t, barged)
		r := <-waiting
		if d := r.at.Sub(start); r.err != nil || d > 10*time.Millisecond {
			t.Errorf("had %v after the release: %v", d, r.err)
		}
		mustUnlock(t, r.lease)
		_ = le.Unlock(t.Context()) // lost
	})
}

// A fullNode refuses to take locks, as a server that has no memory left does.
type fullNode struct{ wire.Node }

func (n fullNode) Do(ctx context.Context, calls []wire.Call) {
	if calls[0].Request.Verb != wire.Acquire {
		n.Node.Do(ctx, calls)
		return
	}
	time.Sleep(time.Millisecond)
	fail(calls, wire.Reply{Verdict: wire.Refused, Err: errors.New("OOM command not allowed")})
}

// The nodes confirm the release of an attempt that was lost to another owner too. That is no reason
// to try again at once.
func TestAnAttemptThatIsLostToAnotherIsNoReasonToTryAgainAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		c.Latency(time.Millisecond)
		// one is free, one full, and one has a dead owner's key
		c.Masters[1].Set("a", strings.Repeat("0a", 16), time.Minute)
		nodes := c.Nodes()
		nodes[0] = wire.Seal(fullNode{c.Masters[0]})
		l, err := redlock.New(nodes)
		if err != nil {
			t.Fatal(err)
		}
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

func deafened(nodes []pool.Node) (deafened []pool.Node) {
	for _, n := range nodes {
		deafened = append(deafened, wire.Seal(deaf{wire.NodeOf(n)}))
	}
	return deafened
}

// Notices are hints: rueidislock sleeps until one comes, and they get lost.
func TestWaiterGetsTheLockThoughEveryNoticeIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		one, other := over(t, deafened(c.Nodes())), over(t, deafened(c.Nodes()))
		for _, ttl := range []time.Duration{time.Second, time.Hour} {
			le := mustLock(t, one, "a", redlock.WithTTL(ttl))
			waiting := lockInBackground(t.Context(), other, "a")
			time.Sleep(500 * time.Millisecond)
			released := time.Now()
			mustUnlock(t, le)
			r := <-waiting
			if d := r.at.Sub(released); r.err != nil || d > 6*time.Second {
				t.Errorf("TTL %v: the waiter had it %v after the release: %v", ttl, d, r.err)
			}
			mustUnlock(t, r.lease)
		}
	})
}

func TestWaiterGetsTheLockWhenItExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		one, other := c.LockerAs(t, "crashed"), c.Locker(t)
		start := time.Now()
		_ = mustLock(t, one, "a", redlock.WithTTL(3*time.Second))
		synctest.Wait()
		c.Cut("crashed")
		r := <-lockInBackground(t.Context(), other, "a")
		if d := r.at.Sub(start); r.err != nil || d < 3*time.Second || d > 3100*time.Millisecond {
			t.Errorf("the waiter had it after %v: %v", d, r.err)
		}
		mustUnlock(t, r.lease)
	})
}

// Another program tells nobody that it has released the lock. redsync's waiters look every 50 to
// 250 ms.
func TestAWaiterBehindAnotherProgramLooksAgainSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		l := c.Locker(t)
		for round := range 20 {
			for _, master := range c.Masters {
				master.Set("a", "8gMdaH3CTmWsyzqP0dvX1k", time.Hour)
			}
			asked := c.Sent(wire.Acquire)
			waiting := lockInBackground(t.Context(), l, "a")
			time.Sleep(3*time.Second + time.Duration(round)*37*time.Millisecond)
			if n := (c.Sent(wire.Acquire) - asked) / 5; n > 3800/150+3 {
				t.Errorf("it asked %d times in less than four seconds", n)
			}
			released := time.Now()
			for _, master := range c.Masters {
				master.Delete("a")
			}
			r := <-waiting
			if d := r.at.Sub(released); r.err != nil || d > 260*time.Millisecond {
				t.Errorf("the waiter had it %v after the release: %v", d, r.err)
			}
			mustUnlock(t, r.lease)
		}
		c.WantNoLocks(t)
	})
}

func TestAStaleKeyOfAnotherProgramOnAMinorityIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		c.Masters[0].Set("a", "8gMdaH3CTmWsyzqP0dvX1k", time.Hour)
		le := mustLock(t, c.Locker(t), "a", redlock.WithTTL(time.Hour))
		waiting := lockInBackground(t.Context(), c.Locker(t), "a")
		time.Sleep(time.Second)
		asked := c.Sent(wire.Acquire)
		time.Sleep(time.Minute)
		if n := (c.Sent(wire.Acquire) - asked) / 5; n > 60 {
			t.Errorf("it asked %d times in a minute", n)
		}
		mustUnlock(t, le)
		mustUnlock(t, (<-waiting).lease)
	})
}

// An unheard node refuses subscriptions.
type unheard struct {
	wire.Node
	why error
}

func (n unheard) Listen(context.Context, string, func(), func(wire.Notice)) error { return n.why }

// Where subscriptions are forbidden waiters poll, within bounds, and the log says so once.
func TestWaitersPollWhereSubscriptionsCannotBeHad(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{"impossible": wire.ErrNoListen, "forbidden": errors.New("NOPERM no channels")} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(5)
			c.Latency(time.Millisecond)
			var nodes []pool.Node
			for _, master := range c.Masters {
				nodes = append(nodes, wire.Seal(unheard{master, err}))
			}
			log := new(logged)
			one, other := over(t, nodes), over(t, nodes, redlock.WithLogger(log.logger()))
			for i := range 5 {
				le := mustLock(t, one, "a")
				waiting := lockInBackground(t.Context(), other, "a")
				requests := c.Sent(wire.Acquire)
				time.Sleep(5 * time.Second)
				if n := c.Sent(wire.Acquire) - requests; n > 5*60 {
					t.Errorf("%s: %d requests in 5s of polling", name, n)
				}
				released := time.Now()
				mustUnlock(t, le)
				r := <-waiting
				if d := r.at.Sub(released); r.err != nil || d > time.Second {
					t.Errorf("%s: round %d: the waiter had it %v after the release: %v", name, i, d, r.err)
				}
				mustUnlock(t, r.lease)
			}
			if n := log.count("subscriptions"); n != 1 {
				t.Errorf("%s: it was logged %d times", name, n)
			}
		})
	}
}

// Subscriptions that break are made again, and what was missed meanwhile hangs nobody.
func TestWaiterSurvivesBrokenSubscriptions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		one, other := c.Locker(t), c.Locker(t)
		for range 5 {
			le := mustLock(t, one, "a", redlock.WithTTL(time.Hour))
			waiting := lockInBackground(t.Context(), other, "a")
			time.Sleep(time.Second)
			for _, master := range c.Masters {
				master.Disconnect()
			}
			time.Sleep(10 * time.Second)
			released := time.Now()
			mustUnlock(t, le)
			r := <-waiting
			if d := r.at.Sub(released); r.err != nil || d > 10*time.Second {
				t.Errorf("the waiter had it %v after the release: %v", d, r.err)
			}
			mustUnlock(t, r.lease)
		}
	})
}

// The head of the queue dies: nobody listens any more. The next one gets the lock at the release.
func TestQueueDoesNotStallWhenItsHeadDies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		one, other := c.Locker(t), c.Locker(t)
		dead := c.LockerAs(t, "dead")
		le := mustLock(t, one, "a", redlock.WithTTL(time.Hour))
		deadWaits := lockInBackground(t.Context(), dead, "a")
		time.Sleep(time.Second)
		waiting := lockInBackground(t.Context(), other, "a")
		time.Sleep(time.Second)
		c.Cut("dead")
		released := time.Now()
		mustUnlock(t, le)
		r := <-waiting
		if d := r.at.Sub(released); r.err != nil || d > 20*time.Millisecond {
			t.Errorf("the next had it %v after the release: %v", d, r.err)
		}
		mustUnlock(t, r.lease)
		c.Join("dead")
		mustUnlock(t, (<-deadWaits).lease)
	})
}

// The head is frozen and stays subscribed: its attempts do not come. The next one looks after the
// reservation has ended.
func TestQueueDoesNotStallWhenItsHeadFreezesSubscribed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		one, other := c.Locker(t), c.Locker(t)
		frozen := c.LockerAs(t, "frozen")
		le := mustLock(t, one, "a", redlock.WithTTL(time.Hour))
		frozenWaits := lockInBackground(t.Context(), frozen, "a")
		time.Sleep(time.Second)
		waiting := lockInBackground(t.Context(), other, "a")
		time.Sleep(time.Second)
		c.Stop("frozen")
		released := time.Now()
		mustUnlock(t, le)
		r := <-waiting
		if d := r.at.Sub(released); r.err != nil || d > 100*time.Millisecond {
			t.Errorf("the next had it %v after the release: %v", d, r.err)
		}
		mustUnlock(t, r.lease)
		c.Resume("frozen")
		mustUnlock(t, (<-frozenWaits).lease)
	})
}

// The one behind a head that is dead or frozen may come after the release: nobody could tell it
// then that it is next.
func TestWaiterThatComesDuringTheReservationOfAFrozenHeadIsNotHeldUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		one, other, frozen := c.Locker(t), c.Locker(t), c.LockerAs(t, "frozen")
		le := mustLock(t, one, "a", redlock.WithTTL(time.Hour))
		frozenWaits := lockInBackground(t.Context(), frozen, "a")
		time.Sleep(time.Second)
		c.Stop("frozen")
		mustUnlock(t, le)
		time.Sleep(time.Millisecond)
		came := time.Now()
		r := <-lockInBackground(t.Context(), other, "a")
		if d := r.at.Sub(came); r.err != nil || d > 50*time.Millisecond {
			t.Errorf("the next had it after %v: %v", d, r.err)
		}
		mustUnlock(t, r.lease)
		c.Resume("frozen")
		mustUnlock(t, (<-frozenWaits).lease)
	})
}

// One process of many freezes while it waits, or is killed: the others go on nearly as before.
func TestContestGoesOnWhileOneWaiterIsFrozen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const count, d = 16, 4 * time.Second
		c := clustertest.New(5)
		c.Jitter(time.Millisecond)
		lockers := c.Lockers(t, count)
		before := &contest{cluster: c, hold: 5 * time.Millisecond}
		before.run(t, lockers, d)
		frozen := c.LockerAs(t, "frozen")
		le := mustLock(t, lockers[0], "a")
		frozenWaits := lockInBackground(t.Context(), frozen, "a")
		time.Sleep(time.Second)
		c.Stop("frozen")
		mustUnlock(t, le)
		during := &contest{cluster: c, hold: 5 * time.Millisecond}
		during.run(t, lockers, d)
		turn := count * d / time.Duration(during.handOver)
		if during.handOver*10 < before.handOver*8 || during.p99() > 3*turn {
			t.Errorf("%d hand-overs with a frozen waiter, %d without; p99 wait %v, a fair turn %v",
				during.handOver, before.handOver, during.p99(), turn)
		}
		c.Resume("frozen")
		mustUnlock(t, (<-frozenWaits).lease)
	})
}

// A waiter that leaves, in whatever state, holds up nobody: what is reserved for it is passed on.
func TestWaiterThatLeavesPassesItsReservationOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		one, two, three := c.Locker(t), c.Locker(t), c.Locker(t)
		for early := range 8 {
			le := mustLock(t, one, "a", redlock.WithTTL(time.Hour))
			ctx, cancel := context.WithCancel(t.Context())
			leaving := lockInBackground(ctx, two, "a")
			time.Sleep(100 * time.Millisecond)
			waiting := lockInBackground(t.Context(), three, "a")
			time.Sleep(100 * time.Millisecond)
			time.AfterFunc(time.Duration(early)*250*time.Microsecond, cancel)
			released := time.Now()
			mustUnlock(t, le)
			if r := <-leaving; r.err == nil {
				mustUnlock(t, r.lease)
			}
			r := <-waiting
			if d := r.at.Sub(released); r.err != nil || d > 30*time.Millisecond {
				t.Errorf("left after %d/4 ms: the next had it %v after the release: %v", early, d, r.err)
			}
			mustUnlock(t, r.lease)
			cancel()
		}
	})
}

// Two nodes that keep the queue are down: the others' is enough.
func TestWaitersAreWokenThoughAMinorityOfNodesIsDown(t *testing.T) {
	t.Parallel()
	for what, fault := range map[string]func(*clustertest.Cluster){
		"frozen":  func(c *clustertest.Cluster) { c.Freeze(0, 1) },
		"refused": func(c *clustertest.Cluster) { c.Refuse(0, 1) },
	} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(5)
			c.Latency(time.Millisecond)
			one, other := c.Locker(t), c.Locker(t)
			fault(c)
			for range 5 {
				le := mustLock(t, one, "a", redlock.WithTTL(time.Hour))
				waiting := lockInBackground(t.Context(), other, "a")
				time.Sleep(2 * time.Second)
				released := time.Now()
				mustUnlock(t, le)
				r := <-waiting
				if d := r.at.Sub(released); r.err != nil || d > 10*time.Millisecond {
					t.Errorf("%s: the waiter had it %v after the release: %v", what, d, r.err)
				}
				mustUnlock(t, r.lease)
			}
			c.Thaw(0, 1)
			c.Heal()
		})
	}
}

// Waiting does not keep a subscription for ever, and none is made before somebody waits.
func TestSubscriptionLastsWhileSomebodyWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		one, other := c.Locker(t), c.Locker(t)
		le := mustLock(t, one, "a")
		if n := c.Subscriptions(); n != 0 {
			t.Errorf("%d subscriptions before anybody waits", n)
		}
		waiting := lockInBackground(t.Context(), other, "a")
		synctest.Wait()
		also := lockInBackground(t.Context(), other, "a")
		time.Sleep(time.Second)
		if n := c.Subscriptions(); n != 5 {
			t.Errorf("%d subscriptions of one Locker on five nodes", n)
		}
		mustUnlock(t, le)
		mustUnlock(t, (<-waiting).lease)
		mustUnlock(t, (<-also).lease)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := c.Subscriptions(); n != 0 {
			t.Errorf("%d subscriptions after everybody has had the lock", n)
		}
	})
}

// A node whose notices are wrong does not keep a waiter from trying: they are hints.
func TestWaiterTriesThoughANodeTellsItToWaitForEver(t *testing.T) {
	t.Parallel()
	for name, every := range map[string]time.Duration{"once": time.Hour, "again and again": 100 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(3)
			holder, nodes := c.Locker(t), c.Nodes()
			nodes = append(deafened(nodes[1:]), wire.Seal(&putsOff{Node: c.Masters[0], every: every, lock: "a"}))
			l, err := redlock.New(nodes)
			if err != nil {
				t.Fatal(err)
			}
			defer mustClose(t, l)
			le := mustLock(t, holder, "a", redlock.WithTTL(time.Minute))
			next := lockInBackground(t.Context(), l, "a", redlock.WithWait(40*time.Second))
			time.Sleep(5 * time.Second)
			mustUnlock(t, le)
			released := time.Now()
			r := <-next
			if r.err != nil || r.at.Sub(released) > 7*time.Second {
				t.Errorf("%s: %v, %v after the release", name, r.err, r.at.Sub(released))
			}
			_ = r.lease.Unlock(t.Context())
		})
	}
}

// A putsOff is a node that tells every listener that it is the next in line, and to look in a year.
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
