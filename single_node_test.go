package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
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

// Waking a goroutine that asks the node, and being woken by it, can take longer than the node's
// work.
func TestTheOnlyCallerOfASingleNodeMakesTheRoundTripItself(t *testing.T) {
	t.Parallel()
	for nodes, itself := range map[int]bool{1: true, 2: false, 3: false} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(nodes)
			by := make(map[wire.Verb]string) // the stack at the latest answer
			var mu sync.Mutex
			l := c.Locker(t, redlock.WithObserver(observer(func(e redlock.Event) {
				if e, ok := e.(redlock.NodeEvent); ok {
					mu.Lock()
					defer mu.Unlock()
					by[e.Verb] = string(debug.Stack())
				}
			})))
			mustUnlock(t, lockEverywhere(t, l, "a")) // the nodes have answered
			synctest.Wait()
			mustUnlock(t, lockEverywhere(t, l, "a"))
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			for verb, method := range map[wire.Verb]string{wire.Acquire: "(*Locker).Lock", wire.Release: "(*Lease).Unlock"} {
				if by[verb] == "" || strings.Contains(by[verb], method) != itself {
					t.Errorf("%d nodes: was it in the caller of %s that the node was asked? %t; in\n%s", nodes, method, !itself, by[verb])
				}
			}
			mustClose(t, l)
		})
	}
}

// singleNode makes a Locker of one node that has just answered. Its node timeout is 100 ms.
func singleNode(t *testing.T, opts ...redlock.Option) (*clustertest.Cluster, *redlock.Locker) {
	t.Helper()
	c := clustertest.New(1)
	l := c.Locker(t, append([]redlock.Option{redlock.WithTTL(2 * time.Second)}, opts...)...)
	mustUnlock(t, lockEverywhere(t, l, "first"))
	synctest.Wait()
	return c, l
}

// A caller that makes the round trip itself notices nothing else meanwhile. That must make no
// difference, except if a context is cancelled just when the node becomes silent.
func TestASilentSingleNodeKeepsNobodyLongerThanItsTimeout(t *testing.T) {
	t.Parallel()
	soon := errors.New("soon")
	cancelled := func(ctx context.Context) context.Context {
		ctx, cancel := context.WithCancelCause(ctx)
		time.AfterFunc(5*time.Millisecond, func() { cancel(soon) })
		return ctx
	}
	for name, test := range map[string]struct {
		lock func(context.Context, *redlock.Locker) (*redlock.Lease, error)
		want error
		in   time.Duration
	}{
		"TryLock": {func(ctx context.Context, l *redlock.Locker) (*redlock.Lease, error) {
			return l.TryLock(ctx, "a")
		}, redlock.ErrNoQuorum, 100 * time.Millisecond},
		"a deadline": {func(ctx context.Context, l *redlock.Locker) (*redlock.Lease, error) {
			ctx, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
			defer cancel()
			return l.TryLock(ctx, "a")
		}, context.DeadlineExceeded, 5 * time.Millisecond},
		"a wait": {func(ctx context.Context, l *redlock.Locker) (*redlock.Lease, error) {
			return l.Lock(ctx, "a", redlock.WithWait(5*time.Millisecond))
		}, context.DeadlineExceeded, 5 * time.Millisecond},
		"a wait within a deadline": {func(ctx context.Context, l *redlock.Locker) (*redlock.Lease, error) {
			ctx, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
			defer cancel()
			return l.Lock(ctx, "a", redlock.WithWait(time.Minute))
		}, context.DeadlineExceeded, 5 * time.Millisecond},
		"a cancellation": {func(ctx context.Context, l *redlock.Locker) (*redlock.Lease, error) {
			return l.Lock(cancelled(ctx), "a")
		}, soon, 100 * time.Millisecond},
		"a cancellation of TryLock": {func(ctx context.Context, l *redlock.Locker) (*redlock.Lease, error) {
			return l.TryLock(cancelled(ctx), "a")
		}, soon, 100 * time.Millisecond},
		"a cancellation that follows": {func(ctx context.Context, l *redlock.Locker) (*redlock.Lease, error) {
			_, _ = l.Inspect(ctx, "a")
			synctest.Wait() // the node is known to be silent then
			return l.Lock(cancelled(ctx), "a")
		}, soon, 105 * time.Millisecond},
		"a cancellation after a rest": {func(ctx context.Context, l *redlock.Locker) (*redlock.Lease, error) {
			time.Sleep(time.Second)
			return l.Lock(cancelled(ctx), "a")
		}, soon, 1005 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, l := singleNode(t)
				c.Freeze(0)
				var err error
				if d := took(func() { _, err = test.lock(t.Context(), l) }); d != test.in || !errors.Is(err, test.want) {
					t.Errorf("%v after %v; want %v after %v", err, d, test.want, test.in)
				}
				c.Thaw(0)
				mustUnlock(t, mustLock(t, l, "a"))
				mustClose(t, l)
				c.WantNoLocks(t)
			})
		})
	}
}

// A cancelled call does not get the lock, even if the node grants it.
func TestACancellationIsHeardOnceTheSingleNodeHasAnswered(t *testing.T) {
	t.Parallel()
	for name, lock := range map[string]func(context.Context, *redlock.Locker) error{
		"Lock":    func(ctx context.Context, l *redlock.Locker) error { _, err := l.Lock(ctx, "a"); return err },
		"TryLock": func(ctx context.Context, l *redlock.Locker) error { _, err := l.TryLock(ctx, "a"); return err },
		"Do": func(ctx context.Context, l *redlock.Locker) error {
			return l.Do(ctx, "a", func(context.Context, *redlock.Lease) error { return nil })
		},
		"TryDo": func(ctx context.Context, l *redlock.Locker) error {
			return l.TryDo(ctx, "a", func(context.Context, *redlock.Lease) error { return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, l := singleNode(t)
				c.Latency(60 * time.Millisecond)
				for range 10 { // if two channels are ready, either may be chosen
					ctx, cancel := context.WithCancel(t.Context())
					time.AfterFunc(5*time.Millisecond, cancel)
					var err error
					if d := took(func() { err = lock(ctx, l) }); d != 60*time.Millisecond || !errors.Is(err, context.Canceled) {
						t.Errorf("%v after %v", err, d)
					}
					time.Sleep(60 * time.Millisecond)
					c.WantNoLocks(t)
				}
				mustClose(t, l)
			})
		})
	}
}

// A reluctant node is slow in some round trips: it connects for as long as it is given, or it calls
// a function of the user's that is slow.
type reluctant struct {
	wire.Node
	prompt bool
	trips  atomic.Int32
}

func (r *reluctant) Prompt() bool { return r.prompt }

func (r *reluctant) Do(ctx context.Context, calls []wire.Call) {
	if r.trips.Add(-1) < 0 {
		r.Node.Do(ctx, calls)
		return
	}
	done := ctx.Done()
	if !r.prompt {
		done = nil
	}
	select {
	case <-done:
		calls[0].Reply = wire.Reply{Verdict: wire.Unavailable, Err: ctx.Err()}
		return
	case <-time.After(10 * time.Second):
	}
	fail(calls, wire.Reply{Verdict: wire.Unavailable, Unsent: true, Err: errTimeout})
}

func TestASingleNodeThatConnectsForLongKeepsNobodyLongerThanItsTimeout(t *testing.T) {
	t.Parallel()
	for _, prompt := range []bool{true, false} {
		t.Run(fmt.Sprintf("prompt=%t", prompt), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := &reluctant{Node: clustertest.New(1).Masters[0], prompt: prompt}
				l, err := redlock.New([]pool.Node{wire.Seal(n)}, redlock.WithTTL(2*time.Second))
				if err != nil {
					t.Fatal(err)
				}
				for range 2 { // the second after a round trip that was given up
					mustUnlock(t, lockEverywhere(t, l, "a"))
					le := lockEverywhere(t, l, "b")
					n.trips.Store(1)
					if d := took(func() { _, err = l.TryLock(t.Context(), "a") }); d < 100*time.Millisecond || d > withGrace(100*time.Millisecond) || errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("TryLock: %v after %v", err, d)
					}
					time.Sleep(time.Second) // the node is known to answer again
					mustUnlock(t, lockEverywhere(t, l, "c"))
					synctest.Wait()
					n.trips.Store(1)
					if d := took(func() { err = le.Unlock(t.Context()) }); d < 100*time.Millisecond || d > withGrace(100*time.Millisecond) || errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("Unlock: %v after %v", err, d)
					}
					time.Sleep(20 * time.Second)
				}
				mustClose(t, l)
			})
		})
	}
}

func TestANodeThatWasNeverHeardKeepsNobodyFromItsCancellation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(1)
		l := c.Locker(t)
		c.Freeze(0)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Millisecond, cancel)
		if d := took(func() { _, _ = l.Lock(ctx, "a") }); d != 5*time.Millisecond {
			t.Errorf("it took %v", d)
		}
		c.Thaw(0)
		mustClose(t, l)
	})
}

func TestUnlockOverASilentSingleNodeTakesItsTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, l := singleNode(t)
		le := mustLock(t, l, "a")
		c.Freeze(0)
		var err error
		if d := took(func() { err = le.Unlock(t.Context()) }); d != 100*time.Millisecond || !errors.Is(err, redlock.ErrNoQuorum) {
			t.Errorf("%v after %v", err, d)
		}
		c.Thaw(0)
		synctest.Wait()
		time.Sleep(time.Second)
		c.WantNoLocks(t)
		mustClose(t, l)
	})
}

// The caller's own round trip is one of the four that there may be, and may be the last of them.
func TestRequestsBehindAnInlineRoundTripGoOnAfterIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, l := singleNode(t)
		before := c.Masters[0].Sent(wire.Acquire)
		c.Freeze(0)
		var all sync.WaitGroup
		try := func(name string, timeout time.Duration, want error) {
			all.Go(func() {
				_, err := l.TryLock(t.Context(), name, redlock.WithTTL(20*timeout))
				if !errors.Is(err, want) {
					t.Errorf("TryLock(%q): %v; want %v", name, err, want)
				}
			})
			synctest.Wait()
		}
		try("own", 100*time.Millisecond, redlock.ErrNoQuorum)
		for _, name := range []string{"a", "b", "c"} {
			try(name, 20*time.Millisecond, redlock.ErrNoQuorum)
		}
		try("behind", 200*time.Millisecond, nil)
		if n := c.Masters[0].Sent(wire.Acquire) - before; n != 4 {
			t.Errorf("%d requests are under way", n)
		}
		time.Sleep(101 * time.Millisecond) // the last of them is given up
		c.Thaw(0)
		all.Wait()
		mustClose(t, l)
	})
}

// An observer is called for the node's answers even if the caller makes the round trip itself.
func TestObserverThatPanicsInAnInlineRoundTripStopsNobodyElse(t *testing.T) {
	t.Parallel()
	for _, at := range []wire.Verb{wire.Acquire, wire.Release} {
		t.Run(at.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var armed, panicked bool
				c, l := singleNode(t, redlock.WithObserver(observer(func(e redlock.Event) {
					if e, ok := e.(redlock.NodeEvent); ok && armed && e.Verb == at {
						armed, panicked = false, true
						panic("an observer's")
					}
				})))
				armed = true
				func() {
					defer func() { _ = recover() }()
					mustUnlock(t, mustLock(t, l, "a"))
				}()
				if !panicked {
					t.Fatal("nothing panicked")
				}
				synctest.Wait()
				before := c.Sent()
				mustUnlock(t, mustLock(t, l, "b"))
				if n := c.Sent() - before; n != 2 {
					t.Errorf("another lock took %d requests", n)
				}
				if d := took(func() { mustUnlock(t, mustLock(t, l, "a")) }); d != 0 {
					t.Errorf("the name was locked for %v more", d)
				}
				if s := l.Stats(); s.Pending != 0 {
					t.Errorf("%d requests are under way", s.Pending)
				}
				mustClose(t, l)
				c.WantNoLocks(t)
			})
		})
	}
}
