package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/clustertest"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

func TestCheckIsNilExactlyWhereAQuorumWouldServe(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		before func(*clustertest.Cluster)
		serves bool
		takes  time.Duration
		says   []string
	}{
		"all":              {func(*clustertest.Cluster) {}, true, 0, nil},
		"two of five away": {func(c *clustertest.Cluster) { c.Refuse(0, 1) }, true, 0, nil},
		"two frozen":       {func(c *clustertest.Cluster) { c.Freeze(0, 1) }, true, 250 * time.Millisecond, nil},
		"three away": {
			func(c *clustertest.Cluster) { c.Refuse(0, 1); c.Freeze(2) }, false, 250 * time.Millisecond,
			[]string{
				"redlock: check: no quorum of nodes (2 granted, 0 held, 3 failed; 3 needed): ", "node1:6379: unavailable: connection refused",
				"node2:6379: unavailable: no answer within 250ms (WithNodeTimeout)",
			},
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(5)
			l := c.Locker(t)
			test.before(c)
			var err error
			if d := took(func() { err = l.Check(t.Context()) }); d != test.takes {
				t.Errorf("%s: it took %v", name, d)
			}
			if test.serves {
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				return
			}
			if q, ok := errors.AsType[*redlock.QuorumError](err); !ok || !errors.Is(err, redlock.ErrNoQuorum) || q.Op != "check" || len(q.Nodes) != 3 {
				t.Errorf("%s: %v", name, err)
			}
			for _, want := range test.says {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %q is not in %v", name, want, err)
				}
			}
		})
	}
}

// Check takes no lock, and leaves nothing on the nodes.
func TestCheckLeavesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t)
		for range 10 {
			if err := l.Check(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if n := c.Sent(); n != 30 || c.Sent(wire.Check) != 30 {
			t.Errorf("%d requests for ten checks of three nodes", n)
		}
		for i, master := range c.Masters {
			if keys := master.Keys(); len(keys) != 0 {
				t.Errorf("node %d has %q", i, keys)
			}
		}
	})
}

// Under the restart guard a node that has restarted would not serve.
func TestCheckTellsOfQuarantines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t, redlock.WithRestartGuard(10*time.Second))
		err := l.Check(t.Context())
		n, ok := errors.AsType[*redlock.NodeError](err)
		if !ok || n.Verdict != wire.Quarantined || n.Remain < 9*time.Second {
			t.Errorf("new nodes: %v", err)
		}
		time.Sleep(11 * time.Second) // its own quarantine was begun by the check
		if err := l.Check(t.Context()); err != nil {
			t.Errorf("after it: %v", err)
		}
		c.Masters[0].Restart(false)
		if err := l.Check(t.Context()); err != nil {
			t.Errorf("one restarted: %v", err)
		}
		c.Masters[1].Restart(false)
		if err := l.Check(t.Context()); !errors.Is(err, redlock.ErrNoQuorum) {
			t.Errorf("two restarted: %v", err)
		}
	})
}

// A server with two addresses counts once.
func TestCheckCountsAServerOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(2)
		l, err := redlock.New(asNodes([]wire.Node{c.Masters[0], c.Masters[0].Alias("duplicate"), c.Masters[1]}))
		if err != nil {
			t.Fatal(err)
		}
		defer mustClose(t, l)
		if err := l.Check(t.Context()); err != nil {
			t.Errorf("two servers of three addresses: %v", err)
		}
		c.Refuse(1)
		if err := l.Check(t.Context()); !errors.Is(err, redlock.ErrNoQuorum) || !strings.Contains(err.Error(), "refused: it is the same server") {
			t.Errorf("one server under two addresses: %v", err)
		}
		c.Heal()
	})
}

// Connecting to distant masters may take several node timeouts. Check waits for that, as long as
// ctx allows.
func TestCheckWaitsForConnectionsInTheMaking(t *testing.T) {
	t.Parallel()
	for _, wait := range []time.Duration{time.Second, 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			ready := time.Now().Add(3 * time.Second)
			var nodes []pool.Node
			for i := range 5 {
				nodes = append(nodes, wire.Seal(scripted{fmt.Sprint("node", i), func(ctx context.Context, _ *wire.Request) wire.Reply {
					until, _ := ctx.Deadline()
					switch {
					case i == 0: // which is near
						return wire.Reply{Verdict: wire.OK}
					case i == 1:
						return wire.Reply{Verdict: wire.Unavailable, Unsent: true, Err: clustertest.ErrRefused}
					case until.Before(ready):
						time.Sleep(time.Until(until))
						return wire.Reply{Verdict: wire.Unavailable, Unsent: true, Err: fmt.Errorf("%w: dialling", pool.ErrConnecting)}
					}
					time.Sleep(time.Until(ready))
					return wire.Reply{Verdict: wire.OK}
				}}))
			}
			l, err := redlock.New(nodes)
			if err != nil {
				t.Fatal(err)
			}
			defer mustClose(t, l)
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			defer cancel()
			d := took(func() { err = l.Check(ctx) })
			switch {
			case wait < 3*time.Second && (!errors.Is(err, redlock.ErrNoQuorum) || !errors.Is(err, context.DeadlineExceeded) || d != wait):
				t.Errorf("within %v: %v after %v", wait, err, d)
			case wait > 3*time.Second && (err != nil || d < 3*time.Second || d > 3*time.Second+300*time.Millisecond):
				t.Errorf("within %v: %v after %v", wait, err, d)
			}
			if wait < 3*time.Second && (!strings.Contains(err.Error(), "node1: unavailable: connection refused") || !errors.Is(err, pool.ErrConnecting)) {
				t.Errorf("the nodes' reasons are not in %v", err)
			}
		})
	}
}

func TestCheckOfWhatIsOverAsksNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := l.Check(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, redlock.ErrNoQuorum) || !strings.HasPrefix(err.Error(), "redlock: check: ") {
			t.Errorf("ended: %v", err)
		}
		mustClose(t, l)
		if err := l.Check(t.Context()); !errors.Is(err, redlock.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		if n := c.Sent(); n != 0 {
			t.Errorf("the nodes were asked %d times", n)
		}
	})
}
