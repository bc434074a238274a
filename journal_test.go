package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// What the log says about waits and nodes.
const (
	saysWaiting = `level=WARN msg="redlock: Lock waits without a quorum"`
	saysQuorum  = `level=INFO msg="redlock: a quorum answers again"`
	saysAway    = `level=WARN msg="redlock: node does not serve"`
	saysBack    = `level=INFO msg="redlock: node serves again"`
)

// What ended a context may be the verdict of another call, which this call's nodes did not give.
func TestTheCauseOfAContextDoesNotEndAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, log := clustertest.New(3), new(logged)
		l := c.Locker(t, redlock.WithLogger(log.logger()))
		c.Freeze(0, 1)
		next := lockInBackground(t.Context(), l, "a")
		time.Sleep(time.Minute)
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(50*time.Millisecond, func() { cancel(redlock.ErrHeld) })
		if _, err := l.Lock(ctx, "b"); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		synctest.Wait()
		if w, q := log.count(saysWaiting), log.count(saysQuorum); w != 1 || q != 0 {
			t.Errorf("the log has told %d times of the outage and %d times of its end:\n%s", w, q, log)
		}
		c.Thaw(0, 1)
		mustUnlock(t, next.lease(t))
	})
}

// Without this log, README's twenty lines with wrong addresses would run forever without output.
func TestLogTellsOnceThatLockWaitsWithoutAQuorumWhoeverWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, log := clustertest.New(5), new(logged)
		l := c.Locker(t, redlock.WithLogger(log.logger()))
		c.Refuse(0, 1)
		c.Freeze(2)
		var waiters sync.WaitGroup
		for i := range 30 {
			waiters.Go(func() {
				if le, err := l.Lock(t.Context(), fmt.Sprint("name", i)); err != nil {
					t.Error(err)
				} else {
					mustUnlock(t, le)
				}
			})
		}
		time.Sleep(900 * time.Millisecond)
		synctest.Wait()
		if n := log.count(saysWaiting); n != 0 {
			t.Errorf("the log tells of %d waits that have hardly begun", n)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := log.count(saysWaiting); n != 1 {
			t.Errorf("the log tells of a wait without a quorum %d times", n)
		}
		for _, want := range []string{
			"0 held, 3 failed; 3 needed", "node0:6379: unavailable: connection refused", "node1:6379: unavailable: connection refused",
			"node2:6379: unavailable: ",
		} {
			if log.count(want) == 0 {
				t.Errorf("%q is missing in:\n%s", want, log)
			}
		}
		if n := log.count(saysQuorum); n != 0 {
			t.Errorf("the log tells of a quorum %d times", n)
		}
		c.Thaw(2)
		c.Heal()
		waiters.Wait()
		synctest.Wait()
		if w, q := log.count(saysWaiting), log.count(saysQuorum); w != 1 || q != 1 {
			t.Errorf("after the outage the log has told %d times of the wait and %d times of its end:\n%s", w, q, log)
		}
		for _, id := range c.Owners() {
			if log.count(id[:16]) != 0 {
				t.Error("the log knows an owner id")
			}
		}
	})
}

// Waiting for another owner's lock is not logged, nor is a quorum that is missing for a moment. If
// the quorum comes too late each time, it counts as missing.
func TestLogTellsOfWaitsThatNeedSomebodysHelpOnly(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		before func(*clustertest.Cluster)
		lasts  time.Duration
		want   int
	}{
		"held":     {func(c *clustertest.Cluster) { c.Hold("a", time.Hour, 0, 1) }, time.Minute, 0},
		"a moment": {func(c *clustertest.Cluster) { c.Refuse(0, 1) }, 600 * time.Millisecond, 0},
		"away":     {func(c *clustertest.Cluster) { c.Freeze(0, 1) }, 2 * time.Second, 1},
		"too late": {func(c *clustertest.Cluster) { c.Latency(9 * time.Millisecond) }, 2 * time.Second, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, log := clustertest.New(3), new(logged)
			l := c.Locker(t, redlock.WithLogger(log.logger()))
			test.before(c)
			waiting := lockInBackground(t.Context(), l, "a", redlock.WithTTL(10*time.Millisecond))
			time.Sleep(test.lasts)
			synctest.Wait()
			if n := log.count(saysWaiting); n != test.want {
				t.Errorf("%s: the log tells of %d waits:\n%s", name, n, log)
			}
			c.Thaw(0, 1)
			c.Heal()
			c.Latency(0)
			c.Delete("a", 0, 1)
			if r := <-waiting; r.err != nil {
				t.Errorf("%s: %v", name, r.err)
			}
			synctest.Wait()
			if n := log.count(saysQuorum); n != test.want {
				t.Errorf("%s: the log tells of %d ends:\n%s", name, n, log)
			}
		})
	}
}

// A faulty node answers some verbs with an error while it is faulty.
type faulty struct {
	wire.Node
	fault atomic.Pointer[fault]
}

type fault struct {
	wire.Reply
	verbs []wire.Verb // none: all
}

func (f *fault) hits(v wire.Verb) bool {
	hit := len(f.verbs) == 0
	for _, one := range f.verbs {
		hit = hit || one == v
	}
	return hit
}

func (n *faulty) Do(ctx context.Context, calls []wire.Call) {
	n.Node.Do(ctx, calls)
	if f := n.fault.Load(); f != nil {
		for i := range calls {
			if f.hits(calls[i].Request.Verb) {
				calls[i].Reply = f.Reply
			}
		}
	}
}

// oneFaulty makes a Locker of three nodes, the first of which can be made faulty.
func oneFaulty(t *testing.T, opts ...redlock.Option) (*redlock.Locker, *faulty) {
	t.Helper()
	nodes := clustertest.New(3).Nodes()
	f := &faulty{Node: wire.NodeOf(nodes[0])}
	nodes[0] = wire.Seal(f)
	l, err := redlock.New(nodes, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	return l, f
}

// If one node of three has a wrong password, no call fails or is slower. It must be logged.
func TestLogTellsOnceThatANodeDoesNotServeAndOnceThatItDoes(t *testing.T) {
	t.Parallel()
	wrong := errors.New("WRONGPASS invalid username-password pair or user is disabled.")
	for name, test := range map[string]struct {
		fault fault
		says  string
	}{
		"a wrong password": {fault{Reply: wire.Reply{Verdict: wire.Refused, Err: wrong}}, `node=node0:6379 verdict=refused verb=acquire error="WRONGPASS `},
		"no connection": {
			fault{Reply: wire.Reply{Verdict: wire.Unavailable, Unsent: true, Err: clustertest.ErrRefused}},
			`node=node0:6379 verdict=unavailable verb=acquire error="connection refused"`,
		},
		"a quarantine": {
			fault{Reply: wire.Reply{Verdict: wire.Quarantined, TTL: 9 * time.Second}, verbs: []wire.Verb{wire.Acquire, wire.Rejoin, wire.Repair}},
			`verdict="in quarantine after a restart" verb=acquire for=9s`,
		},
		"no permission to renew": {
			fault{Reply: wire.Reply{Verdict: wire.Refused, Err: errors.New("NOPERM")}, verbs: []wire.Verb{wire.Extend}},
			`verdict=refused verb=extend error=NOPERM`,
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			log := new(logged)
			l, node := oneFaulty(t, redlock.WithLogger(log.logger()))
			work := func() {
				for range 100 {
					le := lockEverywhere(t, l, "a")
					if err := le.Extend(t.Context()); err != nil {
						t.Errorf("%s: %v", name, err)
					}
					mustUnlock(t, le)
					time.Sleep(100 * time.Millisecond)
				}
				synctest.Wait()
			}
			work()
			if log.count("level=WARN")+log.count("level=INFO") != 0 {
				t.Errorf("%s: before:\n%s", name, log)
			}
			node.fault.Store(&test.fault)
			work()
			if log.count(saysAway) != 1 || log.count(test.says) != 1 || log.count(saysBack) != 0 {
				t.Errorf("%s: %q is not there once in:\n%s", name, test.says, log)
			}
			node.fault.Store(nil)
			work()
			if log.count(saysAway) != 1 || log.count(saysBack) != 1 {
				t.Errorf("%s: afterwards:\n%s", name, log)
			}
		})
	}
}

// A node that comes and goes does not fill the log, but its final state is logged.
func TestLogIsNotFilledByANodeThatComesAndGoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := new(logged)
		l, node := oneFaulty(t, redlock.WithLogger(log.logger()))
		away := &fault{Reply: wire.Reply{Verdict: wire.Unavailable, Err: errTimeout}}
		round := func(f *fault) {
			node.fault.Store(f)
			mustUnlock(t, lockEverywhere(t, l, "a"))
			time.Sleep(time.Second)
		}
		for range 3600 {
			round(away)
			round(nil)
		}
		if a, b := log.count(saysAway), log.count(saysBack); a < 5 || a > 25 || b != a {
			t.Errorf("in two hours the log told %d times that the node was away, and %d times that it was back", a, b)
		}
		before := log.count(saysAway)
		for range 600 {
			round(away)
		}
		if n := log.count(saysAway) - before; n != 1 {
			t.Errorf("that it stayed away was told %d times", n)
		}
		for range 2000 {
			round(nil)
		}
		if a, b := log.count(saysAway), log.count(saysBack); a != b {
			t.Errorf("that it is back is not told: %d, %d", a, b)
		}
		before = log.count(saysAway)
		round(away)
		if n := log.count(saysAway) - before; n != 1 {
			t.Errorf("after half an hour of peace its failure was told %d times", n)
		}
	})
}

// Each connection takes a while to make.
func TestLogTellsOfAConnectionThatTakesLongOnly(t *testing.T) {
	t.Parallel()
	for _, long := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			log := new(logged)
			l, node := oneFaulty(t, redlock.WithLogger(log.logger()))
			node.fault.Store(&fault{Reply: wire.Reply{Verdict: wire.Unavailable, Unsent: true, Err: fmt.Errorf("dial: %w", pool.ErrConnecting)}})
			for range 9 {
				mustUnlock(t, lockEverywhere(t, l, "a"))
				time.Sleep(100 * time.Millisecond)
			}
			want := 0
			if long {
				time.Sleep(time.Second)
				mustUnlock(t, lockEverywhere(t, l, "a"))
				want = 1
			}
			node.fault.Store(nil)
			mustUnlock(t, lockEverywhere(t, l, "a"))
			synctest.Wait()
			if a, b := log.count(saysAway), log.count(saysBack); a != want || b != want {
				t.Errorf("long=%v: told %d times that it is away and %d times that it is back", long, a, b)
			}
		})
	}
}

// No user code runs with a mutex held: a logger may use the Locker, and a logger that hangs blocks
// no call.
func TestLoggerMayUseTheLockerAndMayHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		h := &reentrant{Handler: slog.DiscardHandler, lines: make(map[string]int), hang: make(chan struct{})}
		nodes := append(c.Nodes(), wire.Seal(c.Masters[0].Alias("duplicate")), wire.Seal(c.Masters[1].Alias("other duplicate")))
		l, err := redlock.New(nodes, redlock.WithLogger(slog.New(h)))
		if err != nil {
			t.Fatal(err)
		}
		h.locker.Store(l)
		for range 10 {
			mustUnlock(t, lockEverywhere(t, l, "a"))
		}
		c.Refuse(2)
		waiting := lockInBackground(t.Context(), l, "b")
		time.Sleep(10 * time.Second)
		c.Heal()
		mustUnlock(t, waiting.lease(t))
		if d := took(func() { mustUnlock(t, mustLock(t, l, "a")) }); d != 0 {
			t.Errorf("a pair of Lock and Unlock took %v while the logger hung", d)
		}
		close(h.hang)
		mustClose(t, l)
		h.mu.Lock()
		defer h.mu.Unlock()
		for text, want := range map[string]int{
			"redlock: two nodes are one server; the second has no vote": 2, "redlock: Lock waits without a quorum": 1,
			"redlock: a quorum answers again": 1, "redlock: node does not serve": 1, "redlock: node serves again": 1,
		} {
			if h.lines[text] != want {
				t.Errorf("%q was logged %d times", text, h.lines[text])
			}
		}
	})
}

// A curious handler looks at a lease whenever Enabled is called.
type curious struct {
	slog.Handler
	lease atomic.Pointer[redlock.Lease]
	looks atomic.Int32
}

func (h *curious) Enabled(context.Context, slog.Level) bool {
	if le := h.lease.Load(); le != nil && errors.Is(le.Err(), redlock.ErrLost) {
		h.looks.Add(1)
	}
	return true
}

// A handler's Enabled is user code too.
func TestLoggerMayLookAtTheLeaseThatIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		h := &curious{Handler: slog.DiscardHandler}
		l := c.Locker(t, with(redlock.WithLogger(slog.New(h)))...)
		le := lockEverywhere(t, l, "a")
		h.lease.Store(le)
		c.Delete("a")
		if err := le.Extend(t.Context()); !errors.Is(err, redlock.ErrLost) || h.looks.Load() == 0 {
			t.Errorf("Extend says %v; %d looks at the lost lease", err, h.looks.Load())
		}
	})
}

// A reentrant handler calls the Locker, and hangs until it is told to go on.
type reentrant struct {
	slog.Handler
	locker atomic.Pointer[redlock.Locker]
	hang   chan struct{}

	mu    sync.Mutex
	lines map[string]int
}

func (h *reentrant) Enabled(_ context.Context, level slog.Level) bool { return level > slog.LevelDebug }

func (h *reentrant) Handle(ctx context.Context, r slog.Record) error {
	if l := h.locker.Load(); l != nil {
		l.Stats()
		_, _ = l.TryLock(ctx, "the logger's")
		<-h.hang
	}
	if strings.HasPrefix(r.Message, "redlock: ") {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.lines[r.Message]++
	}
	return nil
}
