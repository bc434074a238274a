package redlock_test

import (
	"context"
	"errors"
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

func TestCallsAfterCloseReturnErrClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t)
		mustClose(t, l)
		never := func(context.Context, *redlock.Lease) error { t.Error("called"); return nil }
		m := l.Mutex("a")
		_, lockErr := l.Lock(t.Context(), "a")
		_, tryErr := l.TryLock(t.Context(), "a")
		_, mutexErr := m.Lock(t.Context())
		in, inspectErr := l.Inspect(t.Context(), "a")
		for _, err := range []error{
			lockErr, tryErr, mutexErr, inspectErr, l.Do(t.Context(), "a", never), l.TryDo(t.Context(), "a", never), m.TryDo(t.Context(), never),
		} {
			if !errors.Is(err, redlock.ErrClosed) {
				t.Errorf("error: %v", err)
			}
		}
		if in != nil {
			t.Error("an Inspection after Close")
		}
		if n := c.Sent(); n != 0 {
			t.Errorf("%d requests were sent", n)
		}
	})
}

func TestCloseEndsLeasesAndReleasesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t)
		held := mustLock(t, l, "a", redlock.WithRenewal(redlock.Forever))
		bound, cancel := held.Bind(t.Context())
		defer cancel()
		mustClose(t, l)
		<-bound.Done()
		for what, err := range map[string]error{
			"Err": held.Err(), "Context": context.Cause(held.Context()), "Bind": context.Cause(bound), "Extend": held.Extend(t.Context()),
		} {
			if !errors.Is(err, redlock.ErrClosed) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if s := l.Stats(); s != (redlock.Stats{}) {
			t.Errorf("stats: %+v", s)
		}
		synctest.Wait()
		if n := c.Sent(wire.Release); n != 0 || c.Masters[0].Owner("a") == "" {
			t.Error("Close released a lock whose code may still run")
		}
		time.Sleep(time.Minute)
		c.WantNoLocks(t) // it was not renewed
	})
}

func TestUnlockAfterCloseReleasesOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t)
		held, late := mustLock(t, l, "a"), mustLock(t, l, "b")
		mustClose(t, l)
		mustUnlock(t, held)
		synctest.Wait()
		if n := c.Sent(wire.Release); n != 5 || c.Masters[0].Owner("a") != "" {
			t.Errorf("%d releases", n)
		}
		if err := held.Unlock(t.Context()); !errors.Is(err, redlock.ErrReleased) {
			t.Errorf("the second Unlock: %v", err)
		}
		time.Sleep(time.Minute)
		if err := late.Unlock(t.Context()); !errors.Is(err, redlock.ErrLost) {
			t.Errorf("Unlock after Close and the deadline: %v", err)
		}
	})
}

func TestCloseWakesWaitersWithErrClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		holder := mustLock(t, c.Locker(t), "held", redlock.WithTTL(time.Hour))
		l := c.Locker(t)
		mine := mustLock(t, l, "mine")
		var waiting []waiter
		for _, name := range []string{"held", "held", "held", "mine", "mine"} {
			waiting = append(waiting, lockInBackground(t.Context(), l, name))
		}
		time.Sleep(time.Second)
		closed := time.Now()
		mustClose(t, l)
		for i, w := range waiting {
			r := <-w
			if r.lease != nil || !errors.Is(r.err, redlock.ErrClosed) || r.at.Sub(closed) > 10*time.Millisecond {
				t.Errorf("waiter %d: %v, %v after Close", i, r.err, r.at.Sub(closed))
			}
		}
		mustUnlock(t, mine)
		mustUnlock(t, holder)
		time.Sleep(time.Second)
		synctest.Wait()
		c.WantNoLocks(t)
		if n := c.Subscriptions(); n != 0 {
			t.Errorf("%d subscriptions after Close", n)
		}
	})
}

// At whatever moment of a Lock the Locker is closed, nothing goes on afterwards.
func TestCloseAtAnyMomentOfALockLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, lock := range []func(*redlock.Locker) (*redlock.Lease, error){
			func(l *redlock.Locker) (*redlock.Lease, error) { return l.Lock(t.Context(), "held") },
			func(l *redlock.Locker) (*redlock.Lease, error) { return l.TryLock(t.Context(), "held") },
			func(l *redlock.Locker) (*redlock.Lease, error) { return l.Lock(t.Context(), "free") },
			func(l *redlock.Locker) (*redlock.Lease, error) { return l.TryLock(t.Context(), "free") },
		} {
			for moment := range 24 {
				c := clustertest.New(3)
				c.Latency(10 * time.Millisecond)
				c.Hold("held", time.Hour)
				l := c.Locker(t)
				returned := make(chan error, 1)
				go func() {
					le, err := lock(l)
					if err == nil {
						err = le.Unlock(context.Background())
					}
					returned <- err
				}()
				time.Sleep(time.Duration(moment)*2500*time.Microsecond + 1)
				d := took(func() { mustClose(t, l) })
				if d > 100*time.Millisecond {
					t.Errorf("after %d steps Close took %v", moment, d)
				}
				err := <-returned
				c.Delete("held")
				time.Sleep(100 * time.Millisecond)
				synctest.Wait()
				before := c.Sent()
				if n := c.Subscriptions(); n != 0 {
					t.Errorf("after %d steps: %d subscriptions", moment, n)
				}
				c.WantNoLocks(t)
				time.Sleep(time.Minute)
				if n := c.Sent() - before; n != 0 {
					t.Errorf("after %d steps: %d requests after the end (%v)", moment, n, err)
				}
				if s := l.Stats(); s != (redlock.Stats{}) {
					t.Errorf("after %d steps: %+v", moment, s)
				}
			}
		}
	})
}

func TestCloseDrainsTheBackgroundWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Masters[3].Latency(100 * time.Millisecond)
		l := c.Locker(t)
		mustUnlock(t, lockEverywhere(t, l, "a"))
		c.Freeze(4)
		mustUnlock(t, lockEverywhere(t, l, "b"))
		time.AfterFunc(3*time.Second, func() { c.Thaw(4) })
		start := time.Now()
		mustClose(t, l)
		if d := time.Since(start); d < 3*time.Second || d > 5*time.Second {
			t.Errorf("Close took %v", d)
		}
		c.WantNoLocks(t)
		if s := l.Stats(); s != (redlock.Stats{}) {
			t.Errorf("stats: %+v", s)
		}
	})
}

// Close is bounded by its context and one node timeout more. Its error says what it did not wait
// for.
func TestCloseIsBoundedByItsContext(t *testing.T) {
	t.Parallel()
	for _, wait := range []time.Duration{0, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(5)
			l := c.Locker(t, redlock.WithTTL(time.Hour))
			c.Freeze(0, 1)
			mustUnlock(t, lockEverywhere(t, l, "a"))
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			defer cancel()
			start := time.Now()
			err := l.Close(ctx)
			if d := time.Since(start); d != wait+250*time.Millisecond {
				t.Errorf("Close took %v, its context %v", d, wait)
			}
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Close: %v", err)
			}
			if again := l.Close(t.Context()); !errors.Is(again, context.DeadlineExceeded) {
				t.Errorf("the second Close: %v", again)
			}
			synctest.Wait()
			before := c.Sent()
			time.Sleep(time.Minute)
			if n := c.Sent() - before; n != 0 {
				t.Errorf("%d requests were sent after Close", n)
			}
			c.Thaw(0, 1)
		})
	}
}

// A closing node counts how often the Locker closes it.
type closing struct {
	wire.Node
	closed *atomic.Int32
}

func (n closing) Open() func() error {
	return sync.OnceValue(func() error { n.closed.Add(1); return nil })
}

func TestCloseMayBeCalledByMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(10 * time.Millisecond)
		var closed atomic.Int32
		var nodes []pool.Node
		for _, master := range c.Masters {
			nodes = append(nodes, wire.Seal(closing{master, &closed}))
		}
		l := over(t, nodes)
		le := mustLock(t, l, "a")
		go func() { _ = le.Unlock(context.Background()) }()
		synctest.Wait()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if err := l.Close(t.Context()); err != nil {
					t.Errorf("Close: %v", err)
				}
				if s := l.Stats(); s != (redlock.Stats{}) {
					t.Errorf("a Close returned before the first: %+v", s)
				}
			})
		}
		all.Wait()
		if n := closed.Load(); n != 5 {
			t.Errorf("the nodes were signed off from %d times", n)
		}
	})
}
