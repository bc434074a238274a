package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/clustertest"
	"github.com/go-redlock/redlock/internal/wire"
)

func share(t *testing.T, l *redlock.Locker, name string, opts ...redlock.MutexOption) *redlock.Lease {
	t.Helper()
	le, err := l.Mutex(name, opts...).Shared().Lock(t.Context())
	if err != nil {
		t.Fatalf("Lock(%q), shared: %v", name, err)
	}
	return le
}

// shareInBackground returns a reader's Lock that has begun.
func shareInBackground(t *testing.T, l *redlock.Locker, name string, opts ...redlock.MutexOption) waiter {
	t.Helper()
	return lockMutex(t.Context(), l.Mutex(name, opts...).Shared())
}

// lockMutex returns a Lock that has begun.
func lockMutex(ctx context.Context, m *redlock.Mutex) waiter {
	return inBackground(func() (*redlock.Lease, error) { return m.Lock(ctx) })
}

func TestASharedLockIsHeldTogetherAndKeepsTheExclusiveOneOut(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		one, other := c.Locker(t), c.Locker(t)
		began := time.Now()
		readers := []*redlock.Lease{share(t, one, "a"), share(t, one, "a"), share(t, other, "a")}
		if took := time.Since(began); took != 1500*time.Microsecond {
			t.Errorf("three shares took %v, and not one round trip each", took)
		}
		for _, le := range readers {
			if !le.Shared() || le.Err() != nil || le.Name() != "a" || le.Permits() != 0 {
				t.Errorf("%v", le)
			}
		}
		for _, l := range []*redlock.Locker{one, other} {
			if _, err := l.TryLock(t.Context(), "a"); !errors.Is(err, redlock.ErrHeld) {
				t.Errorf("TryLock of a lock that is shared: %v", err)
			}
		}
		for i, le := range readers {
			mustUnlock(t, le)
			_, err := other.TryLock(t.Context(), "a")
			if last := i == len(readers)-1; last == errors.Is(err, redlock.ErrHeld) {
				t.Errorf("TryLock once %d of %d readers have unlocked: %v", i+1, len(readers), err)
			}
		}
	})
}

func TestAnExclusiveLockKeepsReadersOut(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		l := c.Locker(t)
		le := mustLock(t, l, "a")
		if le.Shared() {
			t.Error("an exclusive lease says that it is shared")
		}
		for _, r := range []*redlock.Locker{l, c.Locker(t)} {
			if _, err := r.Mutex("a").Shared().TryLock(t.Context()); !errors.Is(err, redlock.ErrHeld) {
				t.Errorf("TryLock, shared, of a lock that is held: %v", err)
			}
		}
		r := shareInBackground(t, c.Locker(t), "a")
		time.Sleep(time.Second)
		passOn(t, le, r, 10*time.Millisecond)
	})
}

// Inside a process, too, the nodes decide on the order of readers and writers.
func TestNothingIsHandedOverBetweenAWriterAndReaders(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		l := c.Locker(t)
		w := mustLock(t, l, "a")
		readers := []waiter{shareInBackground(t, l, "a"), shareInBackground(t, l, "a")}
		time.Sleep(time.Second)
		mustUnlock(t, w)
		one, two := readers[0].lease(t), readers[1].lease(t)
		if !one.Shared() || !two.Shared() || one.Fence() < w.Fence() {
			t.Errorf("%v, %v after %v", one, two, w)
		}
		next := lockInBackground(t.Context(), l, "a")
		time.Sleep(time.Second)
		mustUnlock(t, one)
		released := time.Now()
		mustUnlock(t, two)
		le := next.lease(t)
		if le.Shared() || time.Since(released) > 10*time.Millisecond {
			t.Errorf("%v, %v after the readers", le, time.Since(released))
		}
		mustUnlock(t, le)
	})
}

func TestEachReaderHasATTLOfItsOwn(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		l, other := c.Locker(t), c.Locker(t)
		long := share(t, l, "a", redlock.WithTTL(8*time.Second))
		short := share(t, other, "a", redlock.WithTTL(time.Second))
		time.Sleep(500 * time.Millisecond)
		mustExtend(t, short) // which touches nobody else's
		time.Sleep(600 * time.Millisecond)
		if short.Err() != nil || long.Err() != nil {
			t.Errorf("%v, %v", short, long)
		}
		time.Sleep(time.Second)
		if !errors.Is(short.Err(), redlock.ErrLost) || long.Err() != nil {
			t.Errorf("%v, %v", short, long)
		}
		if err := short.Unlock(t.Context()); !errors.Is(err, redlock.ErrLost) {
			t.Errorf("Unlock of a share that has run out: %v", err)
		}
		mustExtend(t, long)
		mustUnlock(t, long)
		c.WantNoLocks(t)
		mustUnlock(t, mustTryLock(t, other, "a"))
	})
}

// A writer waits for the readers that have the lock, and for none of those that come later.
func TestAWriterKeepsFurtherReadersOut(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		l, other := c.Locker(t), c.Locker(t)
		first := share(t, l, "a")
		w := lockInBackground(t.Context(), other, "a")
		time.Sleep(time.Second)
		if _, err := l.Mutex("a").Shared().TryLock(t.Context()); !errors.Is(err, redlock.ErrHeld) {
			t.Errorf("a reader that comes after a writer: %v", err)
		}
		later, sent := shareInBackground(t, l, "a"), c.Sent()
		time.Sleep(time.Second)
		if n := c.Sent() - sent; n > 20 {
			t.Errorf("a reader that is kept out sends %d requests a second", n)
		}
		released := time.Now()
		mustUnlock(t, first)
		le := w.lease(t)
		if took := time.Since(released); took > 10*time.Millisecond {
			t.Errorf("the writer has the lock after %v", took)
		}
		passOn(t, le, later, 10*time.Millisecond)
	})
}

// However many readers come and go, a writer has the lock once those have ended that had it before,
// and messages have arrived: the last reader's attempt takes up to two round trips, its release and
// the notice one way each, and the writer's attempt up to two round trips.
func TestReadersThatComeAndGoDoNotKeepAWriterOut(t *testing.T) {
	t.Parallel()
	for _, latency := range []time.Duration{500 * time.Microsecond, 5 * time.Millisecond} {
		bubble(t, func(t *testing.T, c *clustertest.Cluster) {
			c.Latency(latency)
			const hold = 20 * time.Millisecond
			ctx, stop := context.WithCancel(t.Context())
			var reads atomic.Int64
			var all sync.WaitGroup
			for i, l := range c.Lockers(t, 4) {
				for j := range 3 {
					all.Go(func() {
						time.Sleep(time.Duration(3*i+j) * hold / 12)
						for ctx.Err() == nil {
							le, err := l.Mutex("a").Shared().Lock(ctx)
							if err != nil {
								return
							}
							reads.Add(1)
							time.Sleep(hold)
							mustUnlock(t, le)
						}
					})
				}
			}
			time.Sleep(time.Second)
			writer := c.Locker(t)
			for range 50 {
				before, began := reads.Load(), time.Now()
				le := mustLock(t, writer, "a")
				if took := time.Since(began); took > hold+20*time.Millisecond+10*latency {
					t.Errorf("latency %v: a writer waited for %v", latency, took)
				}
				mustUnlock(t, le)
				time.Sleep(100 * time.Millisecond)
				if n := reads.Load() - before; n < 12 {
					t.Errorf("latency %v: %d reads within 100 ms", latency, n)
				}
			}
			stop()
			all.Wait()
		})
	}
}

// A crashed reader keeps a writer out until the end of its own lease, whatever others do meanwhile.
func TestAWriterComesAtTheEndOfACrashedReader(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		l := c.Locker(t)
		renewed := share(t, c.Locker(t), "a", redlock.WithTTL(time.Second), redlock.WithRenewal(redlock.Forever))
		crashed := time.Now()
		share(t, l, "a", redlock.WithTTL(3*time.Second))
		w := lockInBackground(t.Context(), c.Locker(t), "a")
		time.Sleep(2 * time.Second)
		mustUnlock(t, renewed)
		w.within(t, 3*time.Second+30*time.Millisecond, crashed)
		if took := time.Since(crashed); took < 3*time.Second-50*time.Millisecond {
			t.Errorf("the writer has the lock %v after a share of three seconds began", took)
		}
	})
}

// The readers that a writer keeps out go on if it gives up, dies or hangs.
func TestReadersGoOnWithoutTheWriter(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		how   string
		leave func(*clustertest.Cluster, context.CancelFunc)
		back  func(*clustertest.Cluster)
		after time.Duration
	}{
		{"it gives up", func(_ *clustertest.Cluster, cancel context.CancelFunc) { cancel() }, func(*clustertest.Cluster) {}, 10 * time.Millisecond},
		{"it dies", func(c *clustertest.Cluster, _ context.CancelFunc) { c.Cut("writer") }, func(c *clustertest.Cluster) { c.Join("writer") }, 8*time.Second + 300*time.Millisecond},
		{"it hangs", func(c *clustertest.Cluster, _ context.CancelFunc) { c.Stop("writer") }, func(c *clustertest.Cluster) { c.Resume("writer") }, 8*time.Second + 300*time.Millisecond},
	} {
		bubble(t, func(t *testing.T, c *clustertest.Cluster) {
			first := share(t, c.Locker(t), "a", redlock.WithRenewal(redlock.Forever))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			w := lockMutex(ctx, c.LockerAs(t, "writer").Mutex("a"))
			time.Sleep(100 * time.Millisecond)
			var readers []waiter
			for _, l := range c.Lockers(t, 3) {
				readers = append(readers, shareInBackground(t, l, "a"), shareInBackground(t, l, "a"))
			}
			time.Sleep(100 * time.Millisecond)
			left := time.Now()
			one.leave(c, cancel)
			for _, r := range readers {
				le := r.lease(t)
				if took := time.Since(left); took > one.after {
					t.Errorf("%s: a reader waits for another %v", one.how, took)
				}
				mustUnlock(t, le)
			}
			one.back(c)
			cancel()
			<-w
			mustUnlock(t, first)
		})
	}
}

// The same where readers overlap without end, so that the lock is never free.
func TestADeadWriterHoldsReadersUpForAMomentOnly(t *testing.T) {
	t.Parallel()
	for how, leave := range map[string][2]func(*clustertest.Cluster, string){
		"it dies":  {(*clustertest.Cluster).Cut, (*clustertest.Cluster).Join},
		"it hangs": {(*clustertest.Cluster).Stop, (*clustertest.Cluster).Resume},
	} {
		bubble(t, func(t *testing.T, c *clustertest.Cluster) {
			first := share(t, c.Locker(t), "a", redlock.WithRenewal(redlock.Forever))
			ctx, cancel := context.WithCancel(t.Context())
			w := lockMutex(ctx, c.LockerAs(t, "writer").Mutex("a"))
			time.Sleep(100 * time.Millisecond)
			leave[0](c, "writer")
			time.Sleep(9 * time.Second)
			l := c.Locker(t)
			for range 100 { // nobody closes the lock again
				began := time.Now()
				le := share(t, l, "a")
				if took := time.Since(began); took > 10*time.Millisecond {
					t.Errorf("%s: a reader waited for %v", how, took)
				}
				time.Sleep(200 * time.Millisecond)
				mustUnlock(t, le)
			}
			leave[1](c, "writer")
			cancel()
			<-w
			mustUnlock(t, first)
		})
	}
}

// The readers of a process that wait are woken together: when the first has the lock, the others
// ask at once, in shared round trips.
func TestAllReadersOfAProcessAreWokenTogether(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		le := mustLock(t, c.Locker(t), "a", redlock.WithTTL(time.Hour))
		l := c.Locker(t)
		var readers []waiter
		for range 200 {
			readers = append(readers, shareInBackground(t, l, "a"))
		}
		time.Sleep(time.Second)
		sent := c.Sent()
		time.Sleep(time.Second)
		if waits := c.Sent() - sent; waits > 10 {
			t.Errorf("waiting costs %d requests a second", waits)
		}
		trips, released := c.Trips(), time.Now()
		mustUnlock(t, le)
		var leases []*redlock.Lease
		for _, r := range readers {
			leases = append(leases, r.lease(t))
		}
		if took, n := time.Since(released), c.Trips()-trips; took > 10*time.Millisecond || n > 60 {
			t.Errorf("200 readers had the lock after %v, in %d round trips to five nodes", took, n)
		}
		for _, le := range leases {
			mustUnlock(t, le)
		}
	})
}

// A reader's token is at least each earlier writer's, and less than each later writer's.
func TestAReadersTokenIsBetweenThoseOfTheWritersBeforeAndAfter(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		writer, reader := c.Locker(t), c.Locker(t)
		for i := range 20 {
			w := mustLock(t, writer, "a")
			mustUnlock(t, w)
			synctest.Wait()
			for _, m := range []int{i % 5, (i + 1) % 5} { // registers of a minority are ahead
				c.Masters[m].SetFence("a", fmt.Sprint(w.Fence()+uint64(1000*(i%3))))
			}
			r := share(t, reader, "a")
			if r.Fence() < w.Fence() {
				t.Errorf("the reader's token is %d, the writer's before it %d", r.Fence(), w.Fence())
			}
			same := share(t, writer, "a")
			if same.Fence() < r.Fence() {
				t.Errorf("a later reader's token is %d, an earlier one's %d", same.Fence(), r.Fence())
			}
			c.Freeze(i%5, (i+2)%5) // a later writer's majority may lack those
			mustUnlock(t, r)
			mustUnlock(t, same)
			next := mustLock(t, writer, "a")
			if next.Fence() <= same.Fence() {
				t.Errorf("the writer's token is %d, the reader's before it %d", next.Fence(), same.Fence())
			}
			c.Thaw()
			mustUnlock(t, next)
			synctest.Wait()
		}
	})
}

// Where no register is left a reader's token comes from the nodes' clocks, like a writer's.
func TestAReadersTokenIsNeverZero(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		l := c.Locker(t)
		r := share(t, l, "a")
		if now := uint64(time.Now().UnixMicro()); r.Fence() < now-1_000_000 || r.Fence() > now {
			t.Errorf("the token is %d, at %d", r.Fence(), now)
		}
		plain := share(t, l, "b", redlock.WithoutFencing())
		if plain.Fence() != 0 || c.Masters[0].Fence("b") != "" {
			t.Errorf("without fencing: token %d, register %q", plain.Fence(), c.Masters[0].Fence("b"))
		}
		mustUnlock(t, r)
		mustUnlock(t, plain)
		if w := mustLock(t, l, "a"); w.Fence() <= r.Fence() {
			t.Errorf("the writer's token is %d, the reader's %d", w.Fence(), r.Fence())
		}
	})
}

func TestARenewedReaderKeepsItsShareAndWinsNodesBack(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		l := c.Locker(t)
		r := share(t, l, "a", redlock.WithTTL(time.Second), redlock.WithRenewal(redlock.Forever))
		c.Delete("a", 0, 1)
		time.Sleep(time.Second)
		if c.Masters[0].Owner("a") == "" || c.Masters[1].Owner("a") == "" {
			t.Error("a renewal does not take the lock again where it is lost")
		}
		c.Delete("a", 2, 3)
		time.Sleep(10 * time.Second)
		if err := r.Err(); err != nil {
			t.Errorf("a renewed share: %v", err)
		}
		mustUnlock(t, r)
		c.WantNoLocks(t)
		r = share(t, l, "a", redlock.WithTTL(time.Second))
		c.Delete("a", 0, 1, 2)
		if err := r.Extend(t.Context()); !errors.Is(err, redlock.ErrLost) {
			t.Errorf("Extend of a share that is gone: %v", err)
		}
	})
}

func TestTheMinimumHoldOfAReaderKeepsWritersOut(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		l, other := c.Locker(t), c.Locker(t)
		began := time.Now()
		r := share(t, l, "a", redlock.WithMinHold(2*time.Second))
		time.Sleep(100 * time.Millisecond)
		mustUnlock(t, r)
		mustUnlock(t, share(t, other, "a")) // others may share meanwhile
		if _, err := other.TryLock(t.Context(), "a"); !errors.Is(err, redlock.ErrHeld) {
			t.Errorf("TryLock within the minimum hold: %v", err)
		}
		lockInBackground(t.Context(), other, "a").within(t, 2*time.Second+50*time.Millisecond, began)
		if took := time.Since(began); took < 2*time.Second {
			t.Errorf("the lock was free %v after a minimum hold of 2 s began", took)
		}
	})
}

func TestTheContextTellsInWhichModeTheLockIsHeld(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		l := c.Locker(t)
		for _, m := range []*redlock.Mutex{l.Mutex("a"), l.Mutex("a").Shared()} {
			err := m.Do(t.Context(), func(ctx context.Context, le *redlock.Lease) error {
				if in, found := l.FromContext(ctx, "a"); !found || in != le || in.Shared() != strings.Contains(m.String(), "shared") {
					t.Errorf("%v: the context carries %v", m, in)
				}
				if own, found := l.FromContext(le.Context(), "a"); !found || own != le {
					t.Errorf("%v: the lease's context carries %v", m, own)
				}
				return m.TryDo(ctx, func(context.Context, *redlock.Lease) error { return nil })
			})
			if shared := m != l.Mutex("a") && strings.Contains(m.String(), "shared"); shared != (err == nil) {
				t.Errorf("%v: a second one: %v", m, err)
			}
		}
	})
}

func TestSeveralLocksMayBeSharedEach(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		l, other := c.Locker(t), c.Locker(t)
		r := share(t, other, "b")
		ls, err := redlock.LockAll(t.Context(), l.Mutex("a"), l.Mutex("b").Shared(), l.Mutex("c").Shared())
		if err != nil {
			t.Fatal(err)
		}
		if ls.Lease("a").Shared() || !ls.Lease("b").Shared() || !ls.Lease("c").Shared() {
			t.Errorf("%v", ls)
		}
		if _, err := redlock.TryLockAll(t.Context(), other.Mutex("c"), other.Mutex("d")); !errors.Is(err, redlock.ErrHeld) {
			t.Errorf("TryLockAll with a lock that is shared: %v", err)
		}
		mustUnlock(t, share(t, other, "c"))
		if err := ls.Unlock(t.Context()); err != nil {
			t.Error(err)
		}
		mustUnlock(t, r)
		c.WantNoLocks(t)
		for _, ms := range [][]*redlock.Mutex{
			{l.Mutex("a"), l.Mutex("a").Shared()},
			{l.Mutex("a").Shared(), l.Mutex("a").Shared()},
		} {
			_, err := redlock.LockAll(t.Context(), ms...)
			if bad, ok := errors.AsType[*redlock.OptionError](err); !ok || bad.Option != "ms[1]" {
				t.Errorf("a name twice: %v", err)
			}
		}
	})
}

// LockAll waits for a reader's lock behind a writer, and for a writer's behind readers.
func TestSeveralLocksWaitForReadersAndAsReaders(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		l, other := c.Locker(t), c.Locker(t)
		w, r := mustLock(t, other, "b"), share(t, other, "c")
		done := make(chan error)
		began := time.Now()
		go func() {
			done <- redlock.DoAll(t.Context(), func(context.Context, *redlock.Leases) error { return nil }, l.Mutex("a"), l.Mutex("b").Shared(), l.Mutex("c"))
		}()
		time.Sleep(time.Second)
		mustUnlock(t, w)
		time.Sleep(time.Second)
		mustUnlock(t, r)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 2*time.Second+30*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		c.WantNoLocks(t)
	})
}

func TestInspectTellsWhoSharesTheLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		one, other := c.Locker(t, redlock.WithHolder("host/1")), c.Locker(t)
		long := share(t, one, "a")
		short := share(t, other, "a", redlock.WithTTL(2*time.Second))
		time.Sleep(time.Second)
		r := &wire.Request{
			Verb: wire.Acquire, Lock: "a", Readers: wire.ReadersKey("a"), Owner: strings.Repeat("a", 32), TTL: time.Minute,
		}
		for _, m := range c.Masters[:2] { // an attempt under way
			m.Do(t.Context(), []wire.Call{{Request: r}})
		}
		in, err := other.Inspect(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if in.Owner != "" || in.Holder != "" || in.OwnerFence != 0 || in.Left != 0 || in.Fence < long.Fence() || len(in.Readers) != 2 {
			t.Fatalf("inspection: %+v", in)
		}
		if r := in.Readers[0]; len(r.Owner) != 16 || r.Holder != "host/1" || r.Left != 9*time.Second {
			t.Errorf("the reader that lasts longest: %+v", r)
		}
		if r := in.Readers[1]; len(r.Owner) != 16 || r.Holder != "" || r.Left > time.Second {
			t.Errorf("the other reader: %+v", r)
		}
		for i, n := range in.Nodes {
			if want := map[bool]int{true: 3, false: 2}[i < 2]; n.Owner != "" || n.Holder != "" || n.Readers != want || n.Left < 9*time.Second {
				t.Errorf("node %d: %+v", i, n)
			}
		}
		mustUnlock(t, long)
		mustUnlock(t, short)
		if in, err := other.Inspect(t.Context(), "a"); err != nil || len(in.Readers) != 0 {
			t.Errorf("a free lock: %+v, %v", in, err)
		}
	})
}

func TestEventsAndErrorsTellReadersApart(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		seen := new(recorder)
		l := c.Locker(t, redlock.WithObserver(seen))
		r := share(t, l, "a", redlock.WithHolder("reader"))
		if s := fmt.Sprint(r, l.Mutex("a").Shared()); s != fmt.Sprintf(`redlock.Lease("a", shared, fence %d) redlock.Mutex("a", shared)`, r.Fence()) {
			t.Error(s)
		}
		attempt, acquired := eventsOf[redlock.AttemptEvent](seen)[0], eventsOf[redlock.AcquiredEvent](seen)[0]
		if attempt.Kind != redlock.KindShared || acquired.Kind != redlock.KindShared || acquired.Fence != r.Fence() || acquired.Permits != 0 {
			t.Errorf("%+v, %+v", attempt, acquired)
		}
		_, err := l.TryLock(t.Context(), "a")
		if q, _ := errors.AsType[*redlock.QuorumError](err); q == nil || q.Op != "lock" || q.Holder != "reader" || q.RetryAfter < 9*time.Second {
			t.Errorf("%+v", err)
		}
		mustExtend(t, r)
		mustUnlock(t, r)
		extended, released, failed := eventsOf[redlock.RenewedEvent](seen)[0], eventsOf[redlock.ReleasedEvent](seen)[0], eventsOf[redlock.FailedEvent](seen)[0]
		if extended.Kind != redlock.KindShared || released.Kind != redlock.KindShared || failed.Kind != redlock.KindLock {
			t.Errorf("%+v, %+v, %+v", extended, released, failed)
		}
		if _, err := l.Semaphore("a", 1).TryAcquire(t.Context()); err != nil || eventsOf[redlock.AcquiredEvent](seen)[1].Kind != redlock.KindPermit {
			t.Errorf("%v, %+v", err, eventsOf[redlock.AcquiredEvent](seen))
		}
		w := mustLock(t, l, "a")
		_, err = l.Mutex("a").Shared().TryLock(t.Context())
		if q, _ := errors.AsType[*redlock.QuorumError](err); q == nil || q.Op != "lock shared" || !strings.Contains(err.Error(), `lock shared "a"`) {
			t.Errorf("%+v", err)
		}
		mustUnlock(t, w)
	})
}

func TestBadArgumentsOfASharedMutexAreErrorsOfEachCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := clustertest.New(3).Locker(t)
		for _, bad := range []struct {
			option string
			mutex  *redlock.Mutex
		}{
			{"name", l.Mutex("")},
			{"name", l.Mutex("a:redlock:readers")},
			{"WithTTL", l.Mutex("a", redlock.WithTTL(-1))},
			{"Mutex", new(redlock.Mutex)},
		} {
			_, err := bad.mutex.Shared().Lock(t.Context())
			if e, ok := errors.AsType[*redlock.OptionError](err); !ok || e.Option != bad.option {
				t.Errorf("%s: %v", bad.option, err)
			}
		}
		m := l.Mutex("a", redlock.WithTTL(3*time.Second))
		if s := m.Shared(); s.Name() != "a" || s.TTL() != 3*time.Second || s.Shared().String() != s.String() || m.String() == s.String() {
			t.Errorf("%v, %v", m, s)
		}
		var none *redlock.Lease
		if none.Shared() || (&redlock.Lease{}).Shared() {
			t.Error("a zero lease is shared")
		}
	})
}

// A reader that waits in one process while its caller gives up disturbs nobody.
func TestReadersThatGiveUpLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		le := mustLock(t, c.Locker(t), "a")
		l := c.Locker(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				_, err := l.Mutex("a").Shared().Lock(ctx)
				if !errors.Is(err, redlock.ErrHeld) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("a wait that is over: %v", err)
				}
			})
		}
		r := shareInBackground(t, l, "a", redlock.WithWait(5*time.Second))
		all.Wait()
		passOn(t, le, r, 10*time.Millisecond)
		time.Sleep(time.Second) // a reservation that comes late is given back
		c.WantNoLocks(t)
	})
}
