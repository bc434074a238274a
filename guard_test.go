package redlock_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/clustertest"
	"github.com/go-redlock/redlock/internal/wire"
)

// guarded are the options of the Lockers of these tests.
func guarded() []redlock.Option {
	return with(redlock.WithTTL(5*time.Second), redlock.WithRestartGuard(10*time.Second))
}

// wantKeptOut lets a second caller try a lock that three nodes of five have granted, after two of
// them have lost it. With the guard it gets the lock only after the first lease is over.
func wantKeptOut(t *testing.T, before, lose func(*clustertest.Master)) {
	t.Helper()
	for _, guard := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(5)
			opts := with(redlock.WithTTL(5 * time.Second))
			if guard {
				opts = guarded()
			}
			one, other := c.Locker(t, opts...), c.Locker(t, opts...)
			if guard {
				if err := one.Bootstrap(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			before(c.Masters[0])
			before(c.Masters[1])
			c.Refuse(3, 4) // the lock is granted on exactly three of five
			le := mustLock(t, one, "a")
			time.Sleep(time.Second)
			c.Heal()
			lose(c.Masters[0])
			lose(c.Masters[1])
			second, err := other.TryLock(t.Context(), "a")
			switch {
			case guard && err == nil:
				t.Errorf("with the guard: %v, %v", second, err)
			case !guard && (err != nil || le.Err() != nil):
				t.Errorf("the test shows nothing: without the guard: %v, %v", second, err)
			}
			if guard {
				second = mustLock(t, other, "a")
				if le.Err() == nil {
					t.Error("two leases overlap")
				}
			}
			mustUnlock(t, second)
		})
	}
}

// redsync and all others count a node that came back empty: with the same two restarts a second
// owner gets the lock.
func TestRestartGuardKeepsNodesThatForgotOutOfTheQuorum(t *testing.T) {
	t.Parallel()
	wantKeptOut(t, func(*clustertest.Master) {}, func(m *clustertest.Master) { m.Restart(false) })
}

// A replica that lags takes over a master's address, and gives it back before anybody asks it.
// Meanwhile the master was its replica: it has its own run id, but the replica's data.
func TestRestartGuardKeepsAMasterThatFollowedItsReplicaOutOfTheQuorum(t *testing.T) {
	t.Parallel()
	wantKeptOut(t, func(m *clustertest.Master) { m.Save() }, func(m *clustertest.Master) { m.FailBack() })
}

func TestQuarantineSaysWhichNodeAndForHowLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t, guarded()...)
		start := time.Now()
		_, err := l.TryLock(t.Context(), "a") // a first start cannot be told from a loss
		q, ok := errors.AsType[*redlock.QuorumError](err)
		if !ok || !errors.Is(err, redlock.ErrNoQuorum) || q.RetryAfter < 10*time.Second || q.RetryAfter > 11*time.Second {
			t.Fatalf("TryLock: %v", err)
		}
		told := 0
		for i, n := range q.Nodes {
			if n.Node == c.Masters[i].Addr() && n.Verdict == wire.Quarantined && n.Remain == q.RetryAfter &&
				strings.Contains(err.Error(), n.Node+": in quarantine after a restart for another") {
				told++
			}
		}
		if told < 2 {
			t.Errorf("error: %v", err)
		}
		le := mustLock(t, l, "a")
		if d := time.Since(start); d < q.RetryAfter || d > q.RetryAfter+500*time.Millisecond {
			t.Errorf("the lock was had after %v, the quarantine is %v", d, q.RetryAfter)
		}
		mustUnlock(t, le)
	})
}

func TestBootstrapEndsTheQuarantineOfAFirstStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t, guarded()...)
		if _, err := l.TryLock(t.Context(), "a"); !errors.Is(err, redlock.ErrNoQuorum) {
			t.Errorf("TryLock: %v", err)
		}
		c.Refuse(2)
		err := l.Bootstrap(t.Context())
		q, ok := errors.AsType[*redlock.QuorumError](err)
		if !ok || q.Op != "bootstrap" || len(q.Nodes) != 1 || q.Nodes[0].Node != c.Masters[2].Addr() {
			t.Errorf("Bootstrap with a node away: %v", err)
		}
		mustUnlock(t, mustTryLock(t, l, "a"))
		c.Heal()
		if err := l.Bootstrap(t.Context()); err != nil {
			t.Errorf("Bootstrap: %v", err)
		}
		c.Refuse(0)
		mustUnlock(t, mustTryLock(t, l, "a"))
		c.Heal()
		mustClose(t, l)
		if err := l.Bootstrap(t.Context()); !errors.Is(err, redlock.ErrClosed) {
			t.Errorf("Bootstrap after Close: %v", err)
		}
	})
}

// During its quarantine a node still extends and releases the locks it has, but it does not grant a
// lock again to its owner.
func TestQuarantinedNodeGrantsNothingButExtendsAndReleases(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t, append(guarded(), redlock.WithRenewal(redlock.Forever))...)
		if err := l.Bootstrap(t.Context()); err != nil {
			t.Fatal(err)
		}
		le := mustLock(t, l, "a")
		owner := c.Masters[0].Owner("a")
		c.Masters[0].Restart(false)
		c.Masters[1].Restart(true)
		time.Sleep(8 * time.Second)
		if le.Err() != nil {
			t.Fatalf("the lease: %v", le.Err())
		}
		if c.Masters[0].Owner("a") != "" || c.Masters[1].Owner("a") != owner {
			t.Errorf("in quarantine: %q, %q", c.Masters[0].Owner("a"), c.Masters[1].Owner("a"))
		}
		time.Sleep(8 * time.Second)
		if c.Masters[0].Owner("a") != owner {
			t.Error("the node was not won back after its quarantine")
		}
		mustUnlock(t, le)
		c.WantNoLocks(t)
	})
}

func TestTokensRiseOverAGuardedRestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		clock := new(wallClock)
		l := c.Locker(t, append(guarded(), redlock.WithClock(clock))...)
		le := mustLock(t, l, "a")
		last := le.Fence()
		mustUnlock(t, le)
		clock.step(-500 * time.Millisecond)
		for _, master := range c.Masters {
			master.Restart(false)
		}
		le = mustLock(t, l, "a")
		if le.Fence() <= last {
			t.Errorf("token %d after %d", le.Fence(), last)
		}
		mustUnlock(t, le)
	})
}

// A snapshot brings back older registers, which look like any others. The guard's floor is above
// the tokens that were forgotten.
func TestAGuardedRestartWithOlderDataGivesNoOlderToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t, guarded()...)
		if err := l.Bootstrap(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustUnlock(t, lockEverywhere(t, l, "a"))
		older := c.Masters[0].Fence("a")
		time.Sleep(time.Minute)
		le := lockEverywhere(t, l, "a")
		mustUnlock(t, le)
		for _, master := range c.Masters {
			master.Restart(true)
			master.SetFence("a", older)
		}
		clock := new(wallClock)
		clock.step(-time.Hour)
		next := mustLock(t, c.Locker(t, append(guarded(), redlock.WithClock(clock))...), "a")
		if next.Fence() <= le.Fence() {
			t.Errorf("token %d after %d", next.Fence(), le.Fence())
		}
		mustUnlock(t, next)
	})
}
