package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
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

// story returns the kinds of events so far, without those of nodes.
func story(r *recorder) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var kinds []string
	for _, e := range r.events {
		if _, node := e.(redlock.NodeEvent); !node {
			kinds = append(kinds, strings.TrimPrefix(fmt.Sprintf("%T", e), "redlock."))
		}
	}
	return strings.Join(kinds, " ")
}

func TestObserverIsToldTheLifeOfALease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		c.Latency(10 * time.Millisecond)
		seen, also := new(recorder), new(recorder)
		l := c.Locker(t, redlock.WithObserver(seen), redlock.WithObserver(also))
		le := mustLock(t, l, "a")
		time.Sleep(time.Second)
		mustExtend(t, le)
		mustUnlock(t, le)
		if got, want := story(seen), "AttemptEvent AcquiredEvent RenewedEvent ReleasedEvent"; got != want {
			t.Errorf("a lease that was unlocked: %s", got)
		}
		attempt, acquired := eventsOf[redlock.AttemptEvent](seen)[0], eventsOf[redlock.AcquiredEvent](seen)[0]
		if attempt != (redlock.AttemptEvent{Name: "a", Took: 10 * time.Millisecond, Kind: redlock.KindLock}) {
			t.Errorf("attempt: %+v", attempt)
		}
		if want := (redlock.AcquiredEvent{
			Name: "a", Fence: le.Fence(), Wait: 10 * time.Millisecond, Validity: validity(redlock.DefaultTTL) - 10*time.Millisecond, Kind: redlock.KindLock,
		}); acquired != want {
			t.Errorf("acquired: %+v", acquired)
		}
		if r := eventsOf[redlock.RenewedEvent](seen)[0]; r.Err != nil || r.Left != validity(redlock.DefaultTTL)-10*time.Millisecond {
			t.Errorf("renewed: %+v", r)
		}
		if r := eventsOf[redlock.ReleasedEvent](seen)[0]; r.Err != nil || r.Held != 1020*time.Millisecond {
			t.Errorf("released: %+v", r)
		}
		synctest.Wait()
		for _, verb := range []wire.Verb{wire.Acquire, wire.Extend, wire.Release} {
			told := slices.DeleteFunc(eventsOf[redlock.NodeEvent](seen), func(e redlock.NodeEvent) bool { return e.Verb != verb })
			if len(told) < 2 || told[0].Latency != 10*time.Millisecond || told[0].Verdict != wire.OK || told[0].Err != nil {
				t.Errorf("%v: %+v", verb, told)
			}
		}
		if story(also) != story(seen) {
			t.Errorf("the second observer was told %s", story(also))
		}
	})
}

func TestObserverIsToldOfFailureAndLoss(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		seen := new(recorder)
		one, l := c.Locker(t), c.Locker(t, redlock.WithObserver(seen))
		holder := mustLock(t, one, "held")
		_, err := l.TryLock(t.Context(), "held")
		failed := eventsOf[redlock.FailedEvent](seen)
		if len(failed) != 1 || failed[0].Err != err || failed[0].Name != "held" { //nolint:errorlint // the very one
			t.Errorf("failed: %+v", failed)
		}
		mustUnlock(t, holder)
		lost := mustLock(t, l, "lost")
		<-lost.Done()
		synctest.Wait()
		if e := eventsOf[redlock.LostEvent](seen); len(e) != 1 || e[0].Name != "lost" || e[0].Held != validity(redlock.DefaultTTL) {
			t.Errorf("lost: %+v", e)
		}
		if err := lost.Unlock(t.Context()); !errors.Is(err, redlock.ErrLost) {
			t.Errorf("Unlock: %v", err)
		}
		if n := len(eventsOf[redlock.LostEvent](seen)); n != 1 {
			t.Errorf("the loss was told %d times", n)
		}
	})
}

// A contextual is an observer that gets the context too.
type contextual struct {
	recorder
	mu     sync.Mutex
	values map[string]any // by kind of event
}

type callKey struct{}

func (c *contextual) ObserveContext(ctx context.Context, e redlock.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.values == nil {
		c.values = make(map[string]any)
	}
	c.values[fmt.Sprintf("%T", e)] = ctx.Value(callKey{})
}

func TestContextObserverIsToldTheContextOfTheCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		seen := new(contextual)
		l := c.Locker(t, redlock.WithObserver(seen))
		le, err := l.Lock(context.WithValue(t.Context(), callKey{}, "lock"), "a")
		if err != nil {
			t.Fatal(err)
		}
		mustExtend(t, le)
		if _, err := l.TryLock(context.WithValue(t.Context(), callKey{}, "try"), "a"); !errors.Is(err, redlock.ErrHeld) {
			t.Error(err)
		}
		mustUnlock(t, le)
		synctest.Wait() // for the nodes that Unlock did not wait for
		for kind, want := range map[string]any{
			"AcquiredEvent": "lock", "RenewedEvent": "lock", "ReleasedEvent": "lock", "FailedEvent": "try", "AttemptEvent": "try",
		} {
			if got := seen.values["redlock."+kind]; got != want {
				t.Errorf("%s came with the context of %v, not %v", kind, got, want)
			}
		}
		if len(seen.events) != 0 {
			t.Error("Observe was called too")
		}
	})
}

// No user code runs with a mutex of the library held: an observer may look at the lease of its
// event.
func TestObserverMayLookAtLeases(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		o := new(looking)
		l := c.Locker(t, redlock.WithObserver(o), redlock.WithRenewal(redlock.Forever))
		le := mustLock(t, l, "a")
		o.lease.Store(le)
		time.Sleep(time.Minute)
		c.Freeze(0, 1, 2)
		<-le.Done()
		c.Thaw(0, 1, 2)
		time.Sleep(time.Second)
		mustUnlock(t, mustLock(t, l, "a"))
	})
}

type looking struct{ lease atomic.Pointer[redlock.Lease] }

func (o *looking) Observe(redlock.Event) {
	le := o.lease.Load()
	_, _, _ = le.Err(), le.Until(), le.String()
}

// An observer may panic in the goroutine of a caller that recovers, as an HTTP server does. Then
// only that call loses its lock: the name can be locked again, and a lease that nobody got is not
// renewed.
// An unlocker is one lease, or several.
type unlocker interface {
	Unlock(ctx context.Context) error
}

func TestObserverThatPanicsLeavesTheNameFree(t *testing.T) {
	t.Parallel()
	for name, lock := range map[string]func(*redlock.Locker, context.Context, string, ...redlock.MutexOption) (unlocker, error){
		"Lock": func(l *redlock.Locker, ctx context.Context, name string, opts ...redlock.MutexOption) (unlocker, error) {
			return l.Lock(ctx, name, opts...)
		},
		"TryLock": func(l *redlock.Locker, ctx context.Context, name string, opts ...redlock.MutexOption) (unlocker, error) {
			return l.TryLock(ctx, name, opts...)
		},
		"LockAll": func(l *redlock.Locker, ctx context.Context, name string, opts ...redlock.MutexOption) (unlocker, error) {
			return redlock.LockAll(ctx, l.Mutex(name, opts...), l.Mutex("b", opts...), l.Mutex("c", opts...))
		},
		"TryLockAll": func(l *redlock.Locker, ctx context.Context, name string, opts ...redlock.MutexOption) (unlocker, error) {
			return redlock.TryLockAll(ctx, l.Mutex(name, opts...), l.Mutex("b", opts...), l.Mutex("c", opts...))
		},
	} {
		for _, at := range []redlock.Event{redlock.AttemptEvent{}, redlock.AcquiredEvent{}, redlock.FailedEvent{}, redlock.ReleasedEvent{}} {
			synctest.Test(t, func(t *testing.T) {
				c := clustertest.New(3)
				var panicked atomic.Bool
				l := c.Locker(t, redlock.WithObserver(observer(func(e redlock.Event) {
					if reflect.TypeOf(e) == reflect.TypeOf(at) && panicked.CompareAndSwap(false, true) {
						panic("an observer's")
					}
				})))
				switch at.(type) {
				case redlock.FailedEvent:
					c.Hold("a", time.Second, 0, 1)
				case redlock.ReleasedEvent:
					c.Hold("c", time.Second, 0, 1) // so that the others are given up
				}
				func() {
					defer func() { _ = recover() }()
					if le, err := lock(l, t.Context(), "a", redlock.WithRenewal(redlock.Forever), redlock.WithWait(time.Millisecond)); err == nil {
						_ = le.Unlock(t.Context())
					}
				}()
				if !panicked.Load() {
					t.Fatalf("%s: nothing panicked at %T", name, at)
				}
				for _, free := range []string{"a", "b", "c"} {
					le, err := l.Lock(t.Context(), free, redlock.WithWait(time.Minute))
					if err != nil {
						t.Errorf("%s: %s after a panic at %T: %v", name, free, at, err)
						return
					}
					mustUnlock(t, le)
				}
			})
		}
	}
}
