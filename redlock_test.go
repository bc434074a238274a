package redlock_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/clustertest"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

func TestLockExcludesAndUnlockFrees(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for n := 1; n <= 7; n++ {
			c := clustertest.New(n)
			one, other := c.Locker(t), c.Locker(t)
			le := lockEverywhere(t, one, "a")
			if _, err := other.TryLock(t.Context(), "a"); !errors.Is(err, redlock.ErrHeld) {
				t.Errorf("%d nodes: TryLock of a held lock: %v", n, err)
			}
			mustUnlock(t, mustTryLock(t, other, "b"))
			mustUnlock(t, le)
			mustUnlock(t, mustTryLock(t, other, "a"))
			c.WantNoLocks(t)
		}
	})
}

// The lease is non-nil exactly when the error is nil. Other libraries return (false, nil).
func TestLeaseExactlyWhenNoError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		one, other := c.Locker(t), c.Locker(t)
		le, err := one.Lock(t.Context(), "a")
		if le == nil || err != nil {
			t.Fatalf("a free lock: %v, %v", le, err)
		}
		for name, lock := range map[string]func() (*redlock.Lease, error){
			"held, no wait": func() (*redlock.Lease, error) { return other.TryLock(t.Context(), "a") },
			"held, wait":    func() (*redlock.Lease, error) { return other.Lock(t.Context(), "a", redlock.WithWait(time.Second)) },
			"bad":           func() (*redlock.Lease, error) { return other.Lock(t.Context(), "") },
		} {
			if le, err := lock(); le != nil || err == nil {
				t.Errorf("%s: %v, %v", name, le, err)
			}
		}
		mustUnlock(t, le)
	})
}

// A free lock costs one round trip, with or without fencing: one request to each node, in parallel.
func TestFreeLockTakesOneRoundTrip(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		l := c.Locker(t)
		for i := range 3 {
			var le *redlock.Lease
			if d := took(func() { le = mustLock(t, l, "a") }); d != time.Millisecond {
				t.Errorf("lock %d took %v", i, d)
			}
			if d := took(func() { mustUnlock(t, le) }); d != time.Millisecond {
				t.Errorf("unlock %d took %v", i, d)
			}
		}
		mustClose(t, l)
		if a, r, n := c.Sent(wire.Acquire), c.Sent(wire.Release), c.Sent(); a != 15 || r != 15 || n != 30 {
			t.Errorf("%d acquires, %d releases and %d requests for three locks on five nodes", a, r, n)
		}
	})
}

func TestLockReturnsWhenTheQuorumHasAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		for i, master := range c.Masters {
			master.Latency(time.Duration(i+1) * 10 * time.Millisecond)
		}
		l := c.Locker(t)
		var le *redlock.Lease
		if d := took(func() { le = mustLock(t, l, "a") }); d != 30*time.Millisecond {
			t.Errorf("Lock took %v, the third of five nodes 30ms", d)
		}
		synctest.Wait()
		time.Sleep(50 * time.Millisecond)
		if d := took(func() { mustUnlock(t, le) }); d != 30*time.Millisecond {
			t.Errorf("Unlock took %v, the third of five nodes 30ms", d)
		}
	})
}

// An attempt is over as soon as a quorum is impossible, not when a quorum has refused, and not when
// all have answered.
func TestTryLockReturnsWhenAQuorumIsImpossible(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		holder := mustLock(t, c.Locker(t), "a")
		synctest.Wait()
		for i, master := range c.Masters {
			master.Latency(time.Duration(i+1) * 10 * time.Millisecond)
		}
		l := c.Locker(t)
		var err error
		if d := took(func() { _, err = l.TryLock(t.Context(), "a") }); d != 30*time.Millisecond {
			t.Errorf("TryLock took %v, the third of five nodes 30ms", d)
		}
		q, ok := errors.AsType[*redlock.QuorumError](err)
		if !ok || !errors.Is(err, redlock.ErrHeld) || q.Held != 3 || q.Granted != 0 || q.Failed != 0 || q.Pending != 2 || q.Needed != 3 {
			t.Errorf("error: %v", err)
		}
		mustUnlock(t, holder)
	})
}

func TestTryLockTellsNoQuorumAtTheNodeTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for ttl, timeout := range map[time.Duration]time.Duration{
			100 * time.Millisecond: 20 * time.Millisecond,
			time.Second:            50 * time.Millisecond,
			10 * time.Second:       250 * time.Millisecond,
			time.Hour:              250 * time.Millisecond,
		} {
			c := clustertest.New(5)
			c.Freeze(0, 1, 2)
			l := c.Locker(t, redlock.WithTTL(ttl))
			var err error
			if d := took(func() { _, err = l.TryLock(t.Context(), "a") }); d != timeout {
				t.Errorf("TTL %v: TryLock took %v, the node timeout is %v", ttl, d, timeout)
			}
			if !errors.Is(err, redlock.ErrNoQuorum) || errors.Is(err, redlock.ErrHeld) {
				t.Errorf("TTL %v: %v", ttl, err)
			}
			c.Thaw(0, 1, 2)
		}
	})
}

func TestWithNodeTimeoutBoundsARequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		c.Freeze(0, 1)
		l := c.Locker(t, redlock.WithNodeTimeout(77*time.Millisecond))
		var err error
		if d := took(func() { _, err = l.TryLock(t.Context(), "a") }); d != 77*time.Millisecond {
			t.Errorf("TryLock took %v: %v", d, err)
		}
		c.Thaw(0, 1)
	})
}

func TestTryLockDecidesWithoutWaitingWhereNodesRefuseTheConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond) // of those that answer
		c.Refuse(0, 1, 2)
		l := c.Locker(t)
		var err error
		if d := took(func() { _, err = l.TryLock(t.Context(), "a") }); d != 0 {
			t.Errorf("TryLock took %v", d)
		}
		if !errors.Is(err, redlock.ErrNoQuorum) {
			t.Error(err)
		}
	})
}

// Other libraries give up before a crashed holder's lock expires, because they wait for less than
// their default TTL.
func TestLockOutwaitsACrashedHolder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		start := time.Now()
		crashed := mustLock(t, c.LockerAs(t, "crashed"), "a")
		synctest.Wait()
		c.Cut("crashed")
		le := mustLock(t, c.Locker(t), "a")
		if !time.Now().After(crashed.Until()) {
			t.Errorf("two leases overlap")
		}
		if d := time.Since(start); d < redlock.DefaultTTL-50*time.Millisecond || d > redlock.DefaultTTL+100*time.Millisecond {
			t.Errorf("the lock was had after %v, a TTL is %v", d, redlock.DefaultTTL)
		}
		mustUnlock(t, le)
	})
}

func TestLockWaitsUntilNodesReturn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Refuse(0, 1, 2)
		l := c.Locker(t)
		locked := lockInBackground(t.Context(), l, "a")
		time.Sleep(time.Minute)
		synctest.Wait()
		select {
		case r := <-locked:
			t.Fatalf("Lock returned while there was no quorum: %v", r.err)
		default:
		}
		back := time.Now()
		c.Heal()
		r := <-locked
		if r.err != nil {
			t.Fatal(r.err)
		}
		if d := r.at.Sub(back); d > 500*time.Millisecond {
			t.Errorf("Lock took %v once the nodes were back", d)
		}
		mustUnlock(t, r.lease)
	})
}

// A waiter whose attempts end without an answer may be one of many that keep the nodes, or its own
// machine, too busy to answer any: it asks ever more seldom, and goes on within eight seconds once
// they answer.
func TestAWaiterAsksEverMoreSeldomWhileNoQuorumAnswers(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		l := c.Locker(t)
		mustUnlock(t, mustLock(t, l, "a"))
		c.Freeze(0, 1, 2)
		locked := lockInBackground(t.Context(), l, "a")
		time.Sleep(10 * time.Second)
		early := c.Sent(pool.Acquire)
		if early < 10*4 {
			t.Errorf("%d requests in ten seconds", early)
		}
		time.Sleep(5 * time.Minute)
		if late := c.Sent(pool.Acquire) - early; late > 5*100 {
			t.Errorf("%d requests in five minutes", late)
		}
		back := time.Now()
		c.Thaw(0, 1, 2)
		le := locked.lease(t)
		if d := time.Since(back); d > 8*time.Second {
			t.Errorf("Lock took %v once the nodes answered", d)
		}
		mustUnlock(t, le)
	})
}

// It listens while it rests: nodes that serve again tell it when the lock is passed on to it.
func TestAWaiterThatRestsHearsThatTheLockIsFree(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		for range 10 {
			held := mustLock(t, c.Locker(t), "a", redlock.WithTTL(time.Hour))
			w := lockInBackground(t.Context(), c.Locker(t), "a")
			time.Sleep(time.Second)
			c.Freeze()
			time.Sleep(time.Minute)
			c.Thaw()
			time.Sleep(10 * time.Millisecond)
			mustUnlock(t, held)
			freed := time.Now()
			le := w.lease(t)
			if took := time.Since(freed); took > 50*time.Millisecond {
				t.Errorf("it has the lock %v after its release", took)
			}
			mustUnlock(t, le)
		}
	})
}

func TestWaitEndsWithTheLastVerdictAndTheContextsError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		holder := mustLock(t, c.Locker(t), "held", redlock.WithTTL(time.Hour))
		l := c.Locker(t)
		gaveUp := errors.New("gave up")
		for _, test := range []struct {
			name string
			ctx  func() (context.Context, context.CancelFunc)
			opts []redlock.MutexOption
			want []error
		}{
			{
				"deadline", func() (context.Context, context.CancelFunc) { return context.WithTimeout(t.Context(), time.Second) },
				nil,
				[]error{context.DeadlineExceeded},
			},
			{
				"WithWait", func() (context.Context, context.CancelFunc) { return context.WithCancel(t.Context()) },
				[]redlock.MutexOption{redlock.WithWait(time.Second)},
				[]error{context.DeadlineExceeded},
			},
			{"cancel", func() (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(t.Context())
				return ctx, after(time.Second, cancel)
			}, nil, []error{context.Canceled}},
			{"cause", func() (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancelCause(t.Context())
				return ctx, after(time.Second, func() { cancel(gaveUp) })
			}, nil, []error{context.Canceled, gaveUp}},
		} {
			ctx, cancel := test.ctx()
			start := time.Now()
			le, err := l.Lock(ctx, "held", test.opts...)
			cancel()
			if d := time.Since(start); le != nil || d != time.Second {
				t.Errorf("%s: Lock returned %v after %v", test.name, le, d)
			}
			for _, want := range append(test.want, redlock.ErrHeld) {
				if !errors.Is(err, want) {
					t.Errorf("%s: %v is not %v", test.name, err, want)
				}
			}
			if errors.Is(err, redlock.ErrNoQuorum) {
				t.Errorf("%s: %v", test.name, err)
			}
		}
		c.Refuse(0, 1, 2)
		_, err := l.Lock(t.Context(), "free", redlock.WithWait(time.Second))
		if !errors.Is(err, redlock.ErrNoQuorum) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, redlock.ErrHeld) {
			t.Errorf("no quorum: %v", err)
		}
		c.Heal()
		mustUnlock(t, holder)
	})
}

// after calls f after d, and returns a function that makes sure that f was called.
func after(d time.Duration, f func()) func() {
	timer := time.AfterFunc(d, f)
	return func() { timer.Stop(); f() }
}

func TestEndedContextSendsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t)
		gaveUp := errors.New("gave up")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(gaveUp)
		_, lockErr := l.Lock(ctx, "a")
		_, tryErr := l.TryLock(ctx, "a")
		_, inspectErr := l.Inspect(ctx, "a")
		never := func(context.Context, *redlock.Lease) error { t.Error("called"); return nil }
		for _, err := range []error{lockErr, tryErr, inspectErr, l.Do(ctx, "a", never), l.TryDo(ctx, "a", never)} {
			if !errors.Is(err, context.Canceled) || !errors.Is(err, gaveUp) {
				t.Errorf("error: %v", err)
			}
		}
		if n := c.Sent(); n != 0 {
			t.Errorf("%d requests were sent", n)
		}
	})
}

// The context of Lock bounds only the wait: a helper that cancels it when it returns leaves its
// caller a valid lease.
func TestContextOfLockBoundsTheWaitAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := clustertest.New(3).Locker(t)
		type key struct{}
		for name, lock := range map[string]func(context.Context) (*redlock.Lease, error){
			"Lock":    func(ctx context.Context) (*redlock.Lease, error) { return l.Lock(ctx, "a") },
			"TryLock": func(ctx context.Context) (*redlock.Lease, error) { return l.TryLock(ctx, "a") },
		} {
			ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "kept"), time.Second)
			le, err := lock(ctx)
			cancel()
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if le.Err() != nil || le.Context().Err() != nil {
				t.Errorf("%s: the lease ended with its context: %v", name, context.Cause(le.Context()))
			}
			if le.Context().Value(key{}) != "kept" {
				t.Errorf("%s: the context's values are gone", name)
			}
			if _, ok := le.Context().Deadline(); ok {
				t.Errorf("%s: the context's deadline was kept", name)
			}
			mustUnlock(t, le)
		}
	})
}

// Permanent refusals end the wait at once.
func TestLockReturnsAtOnceWhereAMajorityRefusesForGood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		for _, i := range []int{0, 1, 2} {
			c.Masters[i].SetFence("a", "not a number")
		}
		l := c.Locker(t)
		var err error
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // it would wait forever
		defer cancel()
		if d := took(func() { _, err = l.Lock(ctx, "a") }); d > time.Second {
			t.Errorf("Lock took %v", d)
		}
		if !errors.Is(err, pool.ErrBadFence) || !errors.Is(err, redlock.ErrNoQuorum) {
			t.Errorf("error: %v", err)
		}
		c.Masters[2].SetFence("a", "1")
		mustUnlock(t, mustLock(t, l, "a"))
		for _, i := range []int{0, 1} {
			if v := c.Masters[i].Fence("a"); v != "not a number" {
				t.Errorf("the foreign value is %q now", v)
			}
		}
		mustClose(t, l)
		c.WantNoLocks(t)
	})
}

// redlock-py raises after it has won the quorum if any node failed, and leaves the keys.
func TestFailedNodesDoNotSpoilAQuorum(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Refuse(0)
		c.Masters[1].SetFence("a", "foreign")
		for _, master := range c.Masters[2:] {
			master.Latency(time.Millisecond) // the failures come first
		}
		l := c.Locker(t)
		for range 3 {
			le := mustTryLock(t, l, "a")
			mustExtend(t, le)
			mustUnlock(t, le)
		}
		mustClose(t, l)
		c.WantNoLocks(t)
	})
}

// node-redlock hangs forever on a 1-1 or 2-2 split.
func TestEvenNumberOfNodesNeverHangsOnASplit(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 4, 6} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(n)
			// half of the nodes are nearer to one Locker, half to the other
			for i, master := range c.Masters {
				master.LatencyOf("one", time.Duration(1+i%2)*time.Millisecond)
				master.LatencyOf("two", time.Duration(2-i%2)*time.Millisecond)
			}
			one, two := c.LockerAs(t, "one"), c.LockerAs(t, "two")
			a, b := lockInBackground(t.Context(), one, "a"), lockInBackground(t.Context(), two, "a")
			for range 2 {
				select {
				case r := <-a:
					mustUnlock(t, r.lease)
				case r := <-b:
					mustUnlock(t, r.lease)
				case <-time.After(time.Second):
					t.Fatalf("%d nodes: nobody has the lock", n)
				}
			}
			synctest.Wait()
			for _, master := range c.Masters[:n/2] {
				master.Freeze()
			}
			if _, err := one.TryLock(t.Context(), "a"); !errors.Is(err, redlock.ErrNoQuorum) {
				t.Errorf("half of %d nodes are a quorum: %v", n, err)
			}
			c.Thaw()
		})
	}
}

func TestNamesThatBeginAlikeAreDifferentLocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		one, other := c.Locker(t, redlock.WithHolder("foo")), c.Locker(t, redlock.WithHolder("foobar"))
		a, b := mustLock(t, one, "foobar"), mustLock(t, other, "foo")
		if _, err := other.TryLock(t.Context(), "foobar"); !errors.Is(err, redlock.ErrHeld) {
			t.Error(err)
		}
		mustUnlock(t, b)
		if a.Err() != nil || c.Masters[0].Owner("foobar") == "" {
			t.Error("the release of foo freed foobar")
		}
		mustUnlock(t, a)
	})
}

func TestKeyPrefixSeparatesLocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		one, other := c.Locker(t, redlock.WithKeyPrefix("one:")), c.Locker(t)
		a, b := mustLock(t, one, "a"), mustTryLock(t, other, "a")
		if _, err := other.TryLock(t.Context(), "one:a"); !errors.Is(err, redlock.ErrHeld) {
			t.Errorf("the prefix is no part of the key: %v", err)
		}
		if a.Name() != "a" {
			t.Errorf("the lease of %q", a.Name())
		}
		mustUnlock(t, a)
		mustUnlock(t, b)
	})
}

// Another program's plain lock on the same key keeps this library out until it expires.
func TestForeignOwnerExcludes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		c.Hold("a", 3*time.Second)
		l := c.Locker(t)
		_, err := l.TryLock(t.Context(), "a")
		q, ok := errors.AsType[*redlock.QuorumError](err)
		if !ok || !errors.Is(err, redlock.ErrHeld) || q.RetryAfter != 3*time.Second || q.Nodes[0].Holder != "" {
			t.Fatalf("error: %v", err)
		}
		var le *redlock.Lease
		if d := took(func() { le = mustLock(t, l, "a") }); d < 3*time.Second || d > 3100*time.Millisecond {
			t.Errorf("the wait took %v", d)
		}
		mustUnlock(t, le)
	})
}

func TestMutexIsSharedByAnyNumberOfGoroutines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Jitter(time.Millisecond)
		m := c.Locker(t).Mutex("a", redlock.WithTTL(5*time.Second))
		var all sync.WaitGroup
		held := 0
		for range 20 {
			all.Go(func() {
				for range 5 {
					le, err := m.Lock(t.Context())
					if err != nil {
						t.Errorf("Lock: %v", err)
						return
					}
					if held++; held != 1 { // the race detector looks on
						t.Error("two have the lock")
					}
					time.Sleep(time.Millisecond)
					held--
					if err := le.Unlock(t.Context()); err != nil {
						t.Errorf("Unlock: %v", err)
					}
				}
			})
		}
		all.Wait()
	})
}

func TestLockerRefusesToMixFencedAndPlainWhileTheOtherKindLives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t)
		plain := redlock.WithoutFencing()
		fenced := mustLock(t, l, "a")
		_, err := l.TryLock(t.Context(), "a", plain)
		wantOption(t, err, "WithoutFencing", "a")
		_, err = l.Lock(t.Context(), "a", plain)
		wantOption(t, err, "WithoutFencing", "a")
		mustUnlock(t, mustLock(t, l, "b", plain)) // another name
		mustUnlock(t, fenced)

		le := mustLock(t, l, "a", plain)
		_, err = l.TryLock(t.Context(), "a")
		wantOption(t, err, "WithoutFencing", "a")
		mustUnlock(t, le)

		// Locks that were handed on inside the process are gone too.
		le = mustLock(t, l, "a")
		next := lockInBackground(t.Context(), l, "a")
		synctest.Wait()
		mustUnlock(t, le)
		mustUnlock(t, next.lease(t))
		mustUnlock(t, mustLock(t, l, "a", plain))

		// Readers and writers of a name agree on it too.
		le = mustLock(t, l, "a")
		_, err = l.Mutex("a", plain).Shared().TryLock(t.Context())
		wantOption(t, err, "WithoutFencing", "a")
		mustUnlock(t, le)
		le, err = l.Mutex("a", plain).Shared().TryLock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = l.TryLock(t.Context(), "a")
		wantOption(t, err, "WithoutFencing", "a")
		mustUnlock(t, le)

		// So are lost ones.
		le = mustLock(t, l, "a")
		<-le.Done()
		mustUnlock(t, mustLock(t, l, "a", plain))
	})
}
