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
)

// The ways in which a lease ends, each with the cause that its context then has.
var endings = map[string]struct {
	cause error
	end   func(*testing.T, *clustertest.Cluster, *redlock.Locker, *redlock.Lease)
}{
	"unlocked": {redlock.ErrReleased, func(t *testing.T, _ *clustertest.Cluster, _ *redlock.Locker, le *redlock.Lease) {
		t.Helper()
		mustUnlock(t, le)
	}},
	"handed over": {redlock.ErrReleased, func(t *testing.T, _ *clustertest.Cluster, l *redlock.Locker, le *redlock.Lease) {
		t.Helper()
		next := lockInBackground(t.Context(), l, le.Name())
		synctest.Wait()
		mustUnlock(t, le)
		t.Cleanup(func() { _ = (<-next).lease.Unlock(context.Background()) })
	}},
	"unlocked in vain": {redlock.ErrReleased, func(_ *testing.T, c *clustertest.Cluster, _ *redlock.Locker, le *redlock.Lease) {
		c.Freeze(0, 1, 2)
		_ = le.Unlock(context.Background())
	}},
	"run out": {redlock.ErrLost, func(_ *testing.T, _ *clustertest.Cluster, _ *redlock.Locker, le *redlock.Lease) {
		time.Sleep(time.Until(le.Until()) + time.Nanosecond)
		synctest.Wait()
	}},
	"taken away": {redlock.ErrLost, func(_ *testing.T, c *clustertest.Cluster, _ *redlock.Locker, le *redlock.Lease) {
		c.Delete(le.Name())
		_ = le.Extend(context.Background())
	}},
	"closed": {redlock.ErrClosed, func(t *testing.T, _ *clustertest.Cluster, l *redlock.Locker, _ *redlock.Lease) {
		t.Helper()
		mustClose(t, l)
	}},
}

// A lease makes its context when it is first asked for it. It makes no difference whether that is
// before or after the lease's end.
func TestContextEndsWithItsCauseWheneverItIsAskedFor(t *testing.T) {
	t.Parallel()
	for what, ending := range endings {
		for _, before := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				c := clustertest.New(5)
				l := c.Locker(t)
				type key struct{}
				le, err := l.Lock(context.WithValue(t.Context(), key{}, "kept"), "a")
				if err != nil {
					t.Fatal(err)
				}
				if before && (le.Context().Err() != nil || le.Context() != le.Context()) {
					t.Errorf("%s: the context before the end: %v", what, le.Context().Err())
				}
				ending.end(t, c, l, le)
				ctx := le.Context()
				if !errors.Is(ctx.Err(), context.Canceled) || !errors.Is(context.Cause(ctx), ending.cause) || !errors.Is(le.Err(), ending.cause) {
					t.Errorf("%s: the context says %v, for %v; the lease says %v", what, ctx.Err(), context.Cause(ctx), le.Err())
				}
				if ctx.Value(key{}) != "kept" {
					t.Errorf("%s: the values are gone", what)
				}
				if found, ok := l.FromContext(ctx, "a"); !ok || found != le {
					t.Errorf("%s: FromContext finds %v", what, found)
				}
				<-le.Done()
				called := make(chan struct{})
				context.AfterFunc(ctx, func() { close(called) })
				<-called
				bound, cancel := le.Bind(t.Context())
				if !errors.Is(context.Cause(bound), ending.cause) {
					t.Errorf("%s: the bound context ended for %v", what, context.Cause(bound))
				}
				cancel()
				if !errors.Is(context.Cause(bound), ending.cause) {
					t.Errorf("%s: cancel changed the cause to %v", what, context.Cause(bound))
				}
			})
		}
	}
}

// Like Err, neither the context nor Done waits for a timer that is late, as after a pause of the
// process.
func TestContextIsNotAliveAfterTheDeadline(t *testing.T) {
	t.Parallel()
	for _, before := range []bool{true, false} {
		for what, late := range map[string]func(*wallClock){
			"the process was paused":    func(c *wallClock) { c.leap(redlock.DefaultTTL) },
			"the machine was suspended": func(c *wallClock) { c.step(redlock.DefaultTTL) },
		} {
			synctest.Test(t, func(t *testing.T) {
				clock := new(wallClock)
				l := clustertest.New(3).Locker(t, redlock.WithClock(clock))
				asked, done := mustLock(t, l, "a"), mustLock(t, l, "b")
				if before {
					_, _ = asked.Context(), done.Context()
				}
				late(clock)
				if err := context.Cause(asked.Context()); !errors.Is(err, redlock.ErrLost) {
					t.Errorf("%s: the context says %v", what, err)
				}
				select {
				case <-done.Done():
				default:
					t.Errorf("%s: Done is open", what)
				}
			})
		}
	}
}

// Several goroutines ask for the context while the lease ends, in any way: all get the same
// context, and it ends.
func TestContextMayBeAskedForWhileTheLeaseEnds(t *testing.T) {
	t.Parallel()
	for what, ending := range endings {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(5)
			l := c.Locker(t, redlock.WithTTL(time.Second), redlock.WithRenewal(redlock.Forever))
			var opts []redlock.MutexOption
			if what == "run out" {
				opts = append(opts, redlock.WithRenewal(time.Millisecond))
			}
			le := mustLock(t, l, "a", opts...)
			synctest.Wait()
			start := make(chan struct{})
			var all sync.WaitGroup
			contexts := make([]context.Context, 8)
			for i := range contexts {
				all.Go(func() {
					<-start
					bound, cancel := le.Bind(t.Context())
					defer cancel()
					contexts[i] = le.Context() //nolint:fatcontext // it is kept, not nested
					stopped := make(chan struct{})
					context.AfterFunc(contexts[i], func() { close(stopped) })
					<-bound.Done()
					<-le.Done()
					<-stopped
					for name, err := range map[string]error{
						"Err": le.Err(), "Context": context.Cause(contexts[i]), "Bind": context.Cause(bound),
					} {
						if !errors.Is(err, ending.cause) {
							t.Errorf("%s: %s says %v", what, name, err)
						}
					}
				})
			}
			close(start)
			ending.end(t, c, l, le)
			all.Wait()
			for _, ctx := range contexts {
				if ctx != contexts[0] {
					t.Errorf("%s: there are two contexts", what)
				}
			}
		})
	}
}

// An observer that gets a context finds the lease in it, and notices its end.
func TestEventsCarryTheContextOfTheirLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		seen := &contexts{of: make(map[string]context.Context)}
		l := c.Locker(t, redlock.WithObserver(seen), redlock.WithTTL(time.Second), redlock.WithRenewal(redlock.Forever))
		lost := mustLock(t, l, "a")
		time.Sleep(time.Second) // it is renewed
		c.Freeze()
		<-lost.Done()
		synctest.Wait()
		for _, event := range []string{"acquired", "renewed", "danger", "lost"} {
			seen.check(t, l, event, lost, redlock.ErrLost)
		}
		c.Thaw()
		time.Sleep(time.Second)
		released := mustLock(t, l, "a")
		mustUnlock(t, released)
		seen.check(t, l, "released", released, redlock.ErrReleased)
	})
}

// contexts is an observer that keeps the latest context of each kind of event.
type contexts struct {
	mu sync.Mutex
	of map[string]context.Context
}

func (*contexts) Observe(redlock.Event) {}

func (c *contexts) ObserveContext(ctx context.Context, e redlock.Event) {
	name := ""
	switch e.(type) {
	case redlock.AcquiredEvent:
		name = "acquired"
	case redlock.RenewedEvent:
		name = "renewed"
	case redlock.DangerEvent:
		name = "danger"
	case redlock.LostEvent:
		name = "lost"
	case redlock.ReleasedEvent:
		name = "released"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of[name] = ctx //nolint:fatcontext // likewise
}

func (c *contexts) check(t *testing.T, l *redlock.Locker, event string, le *redlock.Lease, cause error) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx := c.of[event]
	if ctx == nil {
		t.Errorf("%s: not told", event)
		return
	}
	if found, ok := l.FromContext(ctx, le.Name()); !ok || found != le {
		t.Errorf("%s: the context has the lease %v", event, found)
	}
	if !errors.Is(context.Cause(ctx), cause) {
		t.Errorf("%s: the context ended for %v", event, context.Cause(ctx))
	}
}
