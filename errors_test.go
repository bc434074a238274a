package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/clustertest"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

var verdicts = []error{
	redlock.ErrHeld, redlock.ErrNoQuorum, redlock.ErrTooLate, redlock.ErrLost, redlock.ErrReleased, redlock.ErrClosed,
	context.Canceled, context.DeadlineExceeded,
}

// Other libraries mix up ErrTaken, ErrFailed and expiry, and drop the context's error. Here each
// error has exactly one meaning.
func TestEachErrorIsItsVerdictAndNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		one, l := c.Locker(t), c.Locker(t)
		holder := mustLock(t, one, "held", redlock.WithTTL(time.Hour))
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		lost := mustLock(t, l, "lost", redlock.WithTTL(time.Second))
		<-lost.Done()
		released := mustLock(t, l, "released")
		mustUnlock(t, released)
		lock := func(_ *redlock.Lease, err error) error { return err }
		tests := map[string]struct {
			err  error
			want []error
		}{
			"held":            {lock(l.TryLock(t.Context(), "held")), []error{redlock.ErrHeld}},
			"held and waited": {lock(l.Lock(t.Context(), "held", redlock.WithWait(time.Second))), []error{redlock.ErrHeld, context.DeadlineExceeded}},
			"cancelled":       {lock(l.Lock(cancelled, "held")), []error{context.Canceled}},
			"lost":            {lost.Extend(t.Context()), []error{redlock.ErrLost}},
			"lost, unlock":    {lost.Unlock(t.Context()), []error{redlock.ErrLost}},
			"released":        {released.Unlock(t.Context()), []error{redlock.ErrReleased}},
		}
		c.Freeze(0, 1, 2)
		tests["no quorum"] = struct {
			err  error
			want []error
		}{lock(l.TryLock(t.Context(), "free")), []error{redlock.ErrNoQuorum}}
		c.Thaw(0, 1, 2)
		time.Sleep(time.Second)
		mustClose(t, l)
		tests["closed"] = struct {
			err  error
			want []error
		}{lock(l.TryLock(t.Context(), "free")), []error{redlock.ErrClosed}}
		for name, test := range tests {
			for _, verdict := range verdicts {
				is := errors.Is(test.err, verdict)
				want := false
				for _, w := range test.want {
					want = want || w == verdict //nolint:errorlint // a sentinel
				}
				if is != want {
					t.Errorf("%s: errors.Is(%q, %v) is %v", name, test.err, verdict, is)
				}
			}
		}
		mustUnlock(t, holder)
	})
}

// In other libraries node numbers mean nothing after a shuffle. Here the error has each node's own
// verdict and cause.
func TestQuorumErrorTellsOfEachNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		one, l := c.Locker(t, redlock.WithHolder("host/1")), c.Locker(t)
		holder := mustLock(t, one, "a", redlock.WithTTL(3*time.Second))
		c.Delete("a", 1, 2, 4)
		c.Freeze(1)
		c.Refuse(2)
		c.Masters[4].SetFence("a", "foreign")
		c.Masters[0].Latency(10 * time.Millisecond)
		c.Masters[3].Latency(20 * time.Millisecond)
		_, err := l.TryLock(t.Context(), "a")
		q, ok := errors.AsType[*redlock.QuorumError](err)
		if !ok {
			t.Fatalf("TryLock: %v", err)
		}
		if q.Op != "lock" || q.Name != "a" || q.Needed != 3 || q.Granted != 0 || q.Held != 2 || q.Failed != 3 || !errors.Is(err, redlock.ErrNoQuorum) {
			t.Errorf("error: %+v", q)
		}
		want := []wire.Verdict{wire.Held, wire.Unavailable, wire.Unavailable, wire.Held, wire.Refused}
		for i, n := range q.Nodes {
			if n.Node != c.Masters[i].Addr() || n.Verdict != want[i] {
				t.Errorf("node %d: %+v", i, n)
			}
			if n.Verdict == wire.Held && (n.Holder != "host/1" || n.Remain > 3*time.Second) {
				t.Errorf("node %d: %+v", i, n)
			}
			if !strings.Contains(err.Error(), n.Node) {
				t.Errorf("%q does not name %s", err, n.Node)
			}
		}
		if !errors.Is(err, pool.ErrBadFence) || !errors.Is(err, clustertest.ErrRefused) {
			t.Errorf("the nodes' causes are not in %v", err)
		}
		if n, ok := errors.AsType[*redlock.NodeError](err); !ok || n.Node != c.Masters[0].Addr() {
			t.Errorf("errors.AsType found %v", n)
		}
		if strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), `held by "host/1" for another `) {
			t.Errorf("text: %s", err)
		}
		c.Thaw(1)
		c.Heal()
		_ = holder.Unlock(t.Context())
	})
}

// RetryAfter is the time until enough locks have ended for a quorum: then it can be had.
func TestRetryAfterIsWhenAQuorumCanBeHad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			lives []int // of another's lock on each node, in seconds; 0: free there
			want  int
		}{
			{[]int{1, 2, 3, 4, 5}, 3},
			{[]int{5, 4, 3, 2, 1}, 3},
			{[]int{0, 0, 7, 8, 9}, 7},
			{[]int{9, 9, 9, 0, 1}, 9},
		} {
			c := clustertest.New(5)
			l := c.Locker(t)
			for i, life := range test.lives {
				if life > 0 {
					c.Hold("a", time.Duration(life)*time.Second, i)
				}
			}
			_, err := l.TryLock(t.Context(), "a")
			q, ok := errors.AsType[*redlock.QuorumError](err)
			// The attempt is decided before all nodes have answered. So RetryAfter may be later
			// than the best time, but never earlier.
			if !ok || !errors.Is(err, redlock.ErrHeld) || q.RetryAfter != 0 && q.RetryAfter < time.Duration(test.want)*time.Second {
				t.Errorf("%v: retry after %v: %v", test.lives, q.RetryAfter, err)
			}
			if q.RetryAfter == 0 {
				continue // too few nodes had answered
			}
			time.Sleep(q.RetryAfter)
			if _, err := l.TryLock(t.Context(), "a"); err != nil {
				t.Errorf("%v: after %v: %v", test.lives, q.RetryAfter, err)
			}
		}
	})
}

// A context may end with the refusal of another lock as its cause, as errgroup's context does. That
// is no verdict on this lock.
func TestAnotherLocksRefusalAsTheCauseIsNoVerdict(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"lock", "try"} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(3)
			ls := c.Lockers(t, 2)
			other := mustLock(t, ls[1], "other")
			_, cause := ls[0].TryLock(t.Context(), "other")
			if !errors.Is(cause, redlock.ErrHeld) {
				t.Fatal(cause)
			}
			mustUnlock(t, other)
			c.Freeze(0, 1, 2)
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Millisecond, func() { cancel(cause) })
			lock := ls[0].Lock
			if how == "try" {
				lock = ls[0].TryLock
			}
			began := time.Now()
			_, err := lock(ctx, "mine")
			c.Thaw(0, 1, 2)
			if !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), `redlock: lock "mine"`) || time.Since(began) > time.Millisecond {
				t.Errorf("%s: %v", how, err)
			}
		})
	}
}

// The end of another Locker is no verdict either: a wait may be bound to a lease of it.
func TestAnotherLockersEndAsTheCauseIsNotOurs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		ls := c.Lockers(t, 2)
		mustLock(t, ls[0], "a")
		leader := mustLock(t, ls[1], "leader")
		next := lockInBackground(leader.Context(), ls[0], "b")
		mustUnlock(t, next.lease(t))
		c.Hold("c", time.Hour, 0, 1)
		next = lockInBackground(leader.Context(), ls[0], "c")
		synctest.Wait()
		mustClose(t, ls[1])
		if err := (<-next).err; !errors.Is(err, context.Canceled) || !errors.Is(err, redlock.ErrHeld) {
			t.Errorf("error: %v", err)
		}
	})
}

// If the context ended with an earlier wait's error, a wait still reports its own lock.
func TestAnEarlierWaitsErrorAsTheCauseIsNoVerdict(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"lock", "try"} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(3)
			l := c.Locker(t)
			c.Freeze(0, 1, 2)
			ctx, cancel := context.WithCancelCause(t.Context())
			first, stop := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, stop)
			_, cause := l.Lock(first, "other")
			if !errors.Is(cause, redlock.ErrNoQuorum) || !errors.Is(cause, context.Canceled) {
				t.Fatal(cause)
			}
			time.AfterFunc(time.Millisecond, func() { cancel(cause) })
			lock := l.Lock
			if how == "try" {
				lock = l.TryLock
			}
			_, err := lock(ctx, "mine")
			c.Thaw(0, 1, 2)
			if !errors.Is(err, cause) || !strings.HasPrefix(err.Error(), `redlock: lock "mine": context canceled`) {
				t.Errorf("%s: %v", how, err)
			}
		})
	}
}

// The context's own error is reported whatever its cause is, also if that is another deadline.
func TestTheEndOfAWaitIsTheContextsErrorAndItsCause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		c.Hold("a", time.Hour)
		l := c.Locker(t)
		for _, cause := range []error{
			context.DeadlineExceeded, fmt.Errorf("upstream: %w", context.DeadlineExceeded), errors.New("gave up"), notComparableError{"gave up"},
		} {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { cancel(cause) })
			_, waited := l.Lock(ctx, "a")
			_, ended := l.Lock(ctx, "a")
			for _, err := range []error{waited, ended} {
				if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), cause.Error()) || strings.Contains(err.Error(), "\n") {
					t.Errorf("%v: %q", cause, err)
				}
			}
		}
	})
}

type notComparableError []string

func (e notComparableError) Error() string { return strings.Join(e, ", ") }

// An error lists every node that did not grant the lock, in the order given to New, in whatever
// order they answered, or if they did not answer at all.
func TestErrorOfUnlockTellsOfEachNodeInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t)
		le := lockEverywhere(t, l, "a")
		for _, i := range []int{0, 1, 4} {
			c.Masters[i].Delete("a")
			c.Masters[i].Latency(time.Duration(10-i) * time.Millisecond)
		}
		c.Freeze(3)
		q, ok := errors.AsType[*redlock.QuorumError](le.Unlock(t.Context()))
		c.Thaw(3)
		if !ok || !errors.Is(q, redlock.ErrLost) || q.Granted != 1 || q.Held != 3 || q.Failed != 0 || q.Pending != 1 || len(q.Nodes) != 4 {
			t.Fatalf("Unlock: %v", q)
		}
		for k, want := range []redlock.NodeError{
			{Node: c.Masters[0].Addr(), Verdict: wire.Gone},
			{Node: c.Masters[1].Addr(), Verdict: wire.Gone},
			{Node: c.Masters[3].Addr(), Verdict: wire.Unanswered},
			{Node: c.Masters[4].Addr(), Verdict: wire.Gone},
		} {
			if q.Nodes[k] != want {
				t.Errorf("node %d: %+v, want %+v", k, q.Nodes[k], want)
			}
		}
	})
}

// If a node granted the lock and then refused the token, or did not answer, its second answer is
// reported, not the first.
func TestErrorTellsWhyARepairFailed(t *testing.T) {
	t.Parallel()
	denied := errors.New("NOPERM")
	for name, test := range map[string]struct {
		repair func(ctx context.Context) wire.Reply
		want   wire.Verdict
	}{
		"refused":    {func(context.Context) wire.Reply { return wire.Reply{Verdict: wire.Refused, Err: denied} }, wire.Refused},
		"unanswered": {late, wire.Unavailable},
	} {
		synctest.Test(t, func(t *testing.T) {
			var nodes []pool.Node
			for i := range uint64(3) {
				nodes = append(nodes, wire.Seal(scripted{fmt.Sprint("node", i), func(ctx context.Context, r *wire.Request) wire.Reply {
					switch {
					case i == 2:
						return wire.Reply{Verdict: wire.Unavailable, Unsent: true, Err: clustertest.ErrRefused}
					case r.Verb == wire.Acquire:
						return wire.Reply{Verdict: wire.OK, Token: r.Token + i}
					case r.Verb == wire.Repair:
						return test.repair(ctx)
					default:
						return wire.Reply{Verdict: wire.OK}
					}
				}}))
			}
			l, err := redlock.New(nodes)
			if err != nil {
				t.Fatal(err)
			}
			defer mustClose(t, l)
			_, err = l.TryLock(t.Context(), "a")
			q, ok := errors.AsType[*redlock.QuorumError](err)
			if !ok || !errors.Is(err, redlock.ErrNoQuorum) || q.Granted != 1 || q.Failed != 2 || len(q.Nodes) != 2 {
				t.Fatalf("%s: %v", name, err)
			}
			if n := q.Nodes[0]; n.Node != "node0" || n.Verdict != test.want || errors.Is(err, denied) != (test.want == wire.Refused) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// late is a node that answers too late.
func late(ctx context.Context) wire.Reply {
	until, _ := ctx.Deadline()
	time.Sleep(time.Until(until) + time.Millisecond)
	return wire.Reply{Verdict: wire.Unavailable, Err: errTimeout}
}

// Extend of a lease that has ended says so, even if the context has ended too: only without ErrLost
// does the lease stay as it was.
func TestExtendOfAnEndedLeaseSaysSoUnderAnEndedContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := clustertest.New(3).Locker(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		le := mustLock(t, l, "a")
		if err := le.Extend(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, redlock.ErrLost) {
			t.Errorf("a lease that stands: %v", err)
		}
		<-le.Done()
		if err := le.Extend(ctx); !errors.Is(err, redlock.ErrLost) {
			t.Errorf("a lease that was lost: %v", err)
		}
	})
}

// Every call reports the second address of a server as such. If the second address answers first,
// it does not take the first one's vote.
func TestAddressWithoutAVoteTakesNoneAndIsToldOf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(2)
		c.Latency(time.Millisecond)
		duplicate := c.Masters[0].Alias("duplicate")
		c.Masters[0].LatencyOf("slow", 5*time.Millisecond)
		l, err := redlock.New(asNodes([]wire.Node{c.Masters[0].As("slow"), duplicate, c.Masters[1]}))
		if err != nil {
			t.Fatal(err)
		}
		defer mustClose(t, l)
		c.Masters[0].LatencyOf("slow", 0)
		le := lockEverywhere(t, l, "a") // the first address is known first, and votes
		c.Masters[0].LatencyOf("slow", 5*time.Millisecond)
		time.Sleep(time.Second)
		if err := le.Extend(t.Context()); err != nil {
			t.Errorf("two servers of two: %v", err)
		}
		time.Sleep(time.Second)
		c.Delete("a", 1)
		for what, err := range map[string]error{"Extend": le.Extend(t.Context()), "Unlock": le.Unlock(t.Context())} {
			q, ok := errors.AsType[*redlock.QuorumError](err)
			if !ok || len(q.Nodes) != 2 || q.Nodes[0].Node != "duplicate" || q.Nodes[0].Verdict != wire.Refused || q.Nodes[1].Verdict != wire.Gone {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

// A node that did not answer in time is reported with the time that it had and the option that sets
// it.
func TestNodeThatWasGivenUpIsToldOfWithItsTimeAndTheOption(t *testing.T) {
	t.Parallel()
	const want = "no answer within 250ms (WithNodeTimeout)"
	for what, call := range map[string]func(context.Context, *redlock.Locker, *redlock.Lease) error{
		"lock": func(ctx context.Context, l *redlock.Locker, _ *redlock.Lease) error {
			_, err := l.TryLock(ctx, "free")
			return err
		},
		"extend": func(ctx context.Context, _ *redlock.Locker, le *redlock.Lease) error { return le.Extend(ctx) },
		"unlock": func(ctx context.Context, _ *redlock.Locker, le *redlock.Lease) error { return le.Unlock(ctx) },
		"inspect": func(ctx context.Context, l *redlock.Locker, _ *redlock.Lease) error {
			in, err := l.Inspect(ctx, "held")
			if said := in.Nodes[0].Err; said == nil || said.Error() != want {
				return fmt.Errorf("the inspection says of a node: %w", said)
			}
			return err
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(3)
			l := c.Locker(t)
			le := lockEverywhere(t, l, "held")
			c.Freeze(0, 1)
			err := call(t.Context(), l, le)
			q, ok := errors.AsType[*redlock.QuorumError](err)
			if !ok || !errors.Is(err, redlock.ErrNoQuorum) || q.Failed != 2 || q.Pending != 0 {
				t.Fatalf("%s: %v", what, err)
			}
			for _, n := range q.Nodes[:2] {
				if n.Verdict != wire.Unavailable || n.Err.Error() != want {
					t.Errorf("%s: %v", what, &n)
				}
			}
			if !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v is, or is not, the end of a context", what, err)
			}
		})
	}
}

// The same is true if the node's line reports nothing at all, for instance because a connection of
// the user's own ignores deadlines.
func TestNodeWhoseLineIsStuckIsToldOfAsWell(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.LockerAs(t, "stuck")
		held, extended := lockEverywhere(t, l, "held"), lockEverywhere(t, l, "extended")
		c.Stop("stuck")
		defer c.Resume("stuck")
		_, locked := l.TryLock(t.Context(), "free")
		extension := extended.Extend(t.Context())
		unlocked := held.Unlock(t.Context())
		_, inspected := l.Inspect(t.Context(), "held")
		for what, err := range map[string]error{"lock": locked, "extend": extension, "unlock": unlocked, "inspect": inspected} {
			q, ok := errors.AsType[*redlock.QuorumError](err)
			if !ok || q.Failed != 3 || q.Pending != 0 || strings.Count(err.Error(), "no answer within 250ms (WithNodeTimeout)") != 3 {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

// If the caller's context ended, each node whose answer was still missing is reported.
func TestNodesThatHadNotAnsweredAtTheEndOfTheContextAreToldOf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t)
		le := lockEverywhere(t, l, "a")
		for i, master := range c.Masters {
			master.Latency(time.Duration(i+1) * 10 * time.Millisecond)
		}
		soon := func() context.Context {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(25*time.Millisecond, cancel)
			return ctx
		}
		in, inspected := l.Inspect(soon(), "a")
		for what, err := range map[string]error{"inspect": inspected, "extend": le.Extend(soon()), "check": l.Check(soon())} {
			q, ok := errors.AsType[*redlock.QuorumError](err)
			if !ok || q.Failed != 3 || q.Pending != 0 || strings.Count(err.Error(), "unavailable: no answer before the context ended") != 3 {
				t.Errorf("%s: %v", what, err)
			}
		}
		if in.Nodes[1].Err != nil || in.Nodes[2].Err == nil {
			t.Errorf("Inspect: %+v", in)
		}
		time.Sleep(time.Second)
		mustUnlock(t, le)
	})
}

// A wait may end before the nodes have decided anything: then they are silent, or far away. That is
// no verdict, but each node is told of.
func TestAWaitThatEndsBeforeThereIsAVerdictTellsOfEachNode(t *testing.T) {
	t.Parallel()
	const wait = 50 * time.Millisecond // the node timeout is longer
	within := func(ctx context.Context) (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, wait) }
	for how, lock := range map[string]func(context.Context, *redlock.Locker) error{
		"Lock":    func(ctx context.Context, l *redlock.Locker) error { _, err := l.Lock(ctx, "a"); return err },
		"TryLock": func(ctx context.Context, l *redlock.Locker) error { _, err := l.TryLock(ctx, "a"); return err },
		"Shared": func(ctx context.Context, l *redlock.Locker) error {
			_, err := l.Mutex("a").Shared().Lock(ctx)
			return err
		},
		"Acquire": func(ctx context.Context, l *redlock.Locker) error {
			_, err := l.Semaphore("a", 2).Acquire(ctx)
			return err
		},
		"a lone permit": func(ctx context.Context, l *redlock.Locker) error {
			_, err := l.Semaphore("a", 1).TryAcquire(ctx)
			return err
		},
		"LockAll": func(ctx context.Context, l *redlock.Locker) error {
			_, err := redlock.LockAll(ctx, l.Mutex("a"), l.Mutex("b"))
			return err
		},
		"TryLockAll": func(ctx context.Context, l *redlock.Locker) error {
			_, err := redlock.TryLockAll(ctx, l.Mutex("a"), l.Mutex("b"))
			return err
		},
		"WithWait": func(_ context.Context, l *redlock.Locker) error {
			_, err := l.Lock(context.Background(), "a", redlock.WithWait(wait))
			return err
		},
		"Do": func(ctx context.Context, l *redlock.Locker) error {
			return l.Do(ctx, "a", func(context.Context, *redlock.Lease) error { return nil })
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(5)
			l := c.Locker(t)
			c.Freeze(0, 1, 2)
			c.Refuse(3)
			ctx, cancel := within(t.Context())
			defer cancel()
			var err error
			d := took(func() { err = lock(ctx, l) })
			q, ok := errors.AsType[*redlock.QuorumError](err)
			if !ok || d != wait || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, redlock.ErrNoQuorum) || errors.Is(err, redlock.ErrHeld) {
				t.Fatalf("%s: %v after %v", how, err, d)
			}
			if q.Granted != 1 || q.Failed != 4 || q.Pending != 0 || len(q.Nodes) != 4 || strings.Count(err.Error(), "unavailable: no answer before the context ended") != 3 || strings.Count(err.Error(), "deadline exceeded") != 1 {
				t.Errorf("%s: %v: %+v", how, err, q)
			}
			c.Thaw(0, 1, 2)
			c.Heal(3)
			time.Sleep(time.Second)
			c.WantNoLocks(t)
		})
	}
}

// While the nodes have not answered the first call, nobody has been seen with the lock.
func TestACallBehindOneWithoutAVerdictIsNotToldThatTheLockIsHeld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t)
		c.Freeze(0, 1)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		first := lockInBackground(ctx, l, "a")
		synctest.Wait()
		behind := lockInBackground(ctx, l, "a")
		for _, w := range []waiter{first, behind} {
			if r := <-w; !errors.Is(r.err, context.DeadlineExceeded) || errors.Is(r.err, redlock.ErrHeld) {
				t.Error(r.err)
			}
		}
		c.Thaw(0, 1)
		for _, lock := range []func(context.Context, string, ...redlock.MutexOption) (*redlock.Lease, error){l.Lock, l.TryLock} {
			le, err := lock(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.Lock(t.Context(), "a", redlock.WithWait(time.Second)); !errors.Is(err, redlock.ErrHeld) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("behind a holder: %v", err)
			}
			mustUnlock(t, le)
		}
	})
}

// The same after a holder, whose turn is over: its lock was released, or handed over but could not
// be used, because no block of tokens could be reserved.
func TestACallBehindOneWithoutAVerdictIsNotToldOfAnEarlierHolder(t *testing.T) {
	t.Parallel()
	for how, c := range map[string]struct {
		ttl      time.Duration // of the holder's lock, which is handed over to the same TTL only
		unlocked error
	}{"released": {time.Minute, redlock.ErrNoQuorum}, "handed over": {redlock.DefaultTTL, nil}} {
		synctest.Test(t, func(t *testing.T) {
			masters := clustertest.New(3)
			l := masters.Locker(t, redlock.WithTTL(redlock.DefaultTTL))
			le := mustLock(t, l, "a", redlock.WithTTL(c.ttl))
			first := lockInBackground(t.Context(), l, "a")
			synctest.Wait()
			behind := lockInBackground(t.Context(), l, "a", redlock.WithWait(400*time.Millisecond))
			synctest.Wait()
			masters.Freeze(0, 1)
			if err := le.Unlock(t.Context()); !errors.Is(err, c.unlocked) {
				t.Fatalf("%s: %v", how, err)
			}
			if r := <-behind; !errors.Is(r.err, context.DeadlineExceeded) || errors.Is(r.err, redlock.ErrHeld) {
				t.Errorf("%s: %v", how, r.err)
			}
			masters.Thaw(0, 1)
			mustUnlock(t, first.lease(t))
		})
	}
}

// Nor is one that a TryLock had while the call before was waiting.
func TestACallBehindOneThatATryLockOvertookIsNotToldThatTheLockIsHeld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		attempts := make(chan struct{}, 1)
		l := c.Locker(t, redlock.WithObserver(observer(func(e redlock.Event) {
			if _, ok := e.(redlock.AttemptEvent); ok {
				attempts <- struct{}{}
			}
		})))
		c.Freeze(0, 1)
		first := lockInBackground(t.Context(), l, "a")
		for start := time.Now(); time.Since(start) < 20*time.Second; {
			<-attempts
		}
		go func() {
			for range attempts { //nolint:revive // of no interest any more
			}
		}()
		defer close(attempts)
		c.Thaw(0, 1) // the first call rests for more than a second
		le, err := l.TryLock(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Lock(t.Context(), "a", redlock.WithWait(time.Millisecond)); err == nil {
			t.Fatal("two have the lock")
		}
		mustUnlock(t, le)
		c.Freeze(0, 1)
		_, err = l.Lock(t.Context(), "a", redlock.WithWait(50*time.Millisecond))
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, redlock.ErrHeld) {
			t.Error(err)
		}
		c.Thaw(0, 1)
		mustUnlock(t, first.lease(t))
	})
}

// Where an attempt is won in the moment when the wait is over, the error is of the same kind.
func TestEachWaitThatEndsNamesItsLock(t *testing.T) {
	t.Parallel()
	for range 100 { // which of the two comes first is open
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(3)
			c.Latency(time.Millisecond)
			l := c.Locker(t)
			for _, how := range []func(context.Context, string, ...redlock.MutexOption) (*redlock.Lease, error){l.Lock, l.TryLock} {
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				le, err := how(ctx, "a")
				cancel()
				if err == nil {
					mustUnlock(t, le)
				} else if _, ok := errors.AsType[*redlock.QuorumError](err); !ok || !errors.Is(err, context.DeadlineExceeded) {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
			}
		})
	}
}

// Nodes that the call did not wait for have not failed: they are counted separately, and the text
// does not mention them.
func TestNodesThatWereNotWaitedForAreNoFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		holder := lockEverywhere(t, c.Locker(t), "a")
		le := lockEverywhere(t, c.Locker(t), "b")
		l := c.Locker(t)
		for i, master := range c.Masters {
			master.Latency(time.Duration(i+1) * 10 * time.Millisecond)
		}
		c.Delete("b")
		_, held := l.TryLock(t.Context(), "a")
		for what, test := range map[string]struct {
			err     error
			pending int
		}{
			"held":   {held, 2},
			"extend": {le.Extend(t.Context()), 2},
		} {
			q, ok := errors.AsType[*redlock.QuorumError](test.err)
			if !ok || q.Failed != 0 || q.Pending != test.pending || strings.Contains(test.err.Error(), "no answer") {
				t.Errorf("%s: %+v: %v", what, q, test.err)
				continue
			}
			told := 0
			for _, n := range q.Nodes {
				if n.Verdict == wire.Unanswered {
					told++
				}
			}
			if n, ok := errors.AsType[*redlock.NodeError](test.err); !ok || n.Verdict == wire.Unanswered {
				t.Errorf("%s: a node that was not waited for is an error", what)
			}
			if told != test.pending {
				t.Errorf("%s: %d of %d nodes that were not waited for are in Nodes", what, told, test.pending)
			}
		}
		time.Sleep(time.Second)
		mustUnlock(t, holder)
	})
}
