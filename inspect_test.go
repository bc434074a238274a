package redlock_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/clustertest"
)

func TestInspectTellsWhoHasTheLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		one, other := c.Locker(t, redlock.WithHolder("host/1")), c.Locker(t)
		le := mustLock(t, one, "a")
		c.Delete("a", 4)
		c.Hold("a", time.Minute, 4)
		time.Sleep(time.Second)
		in, err := other.Inspect(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if in.Name != "a" || in.Needed != 3 || len(in.Owner) != 16 || in.Holder != "host/1" || in.Fence != le.Fence() || in.Left != 9*time.Second {
			t.Errorf("inspection: %+v", in)
		}
		for i, n := range in.Nodes {
			want := redlock.NodeInspection{Node: c.Masters[i].Addr(), Owner: in.Owner, Holder: "host/1", Left: 9 * time.Second, Fence: le.Fence()}
			if i == 4 {
				want.Owner, want.Holder, want.Left = n.Owner, "", 59*time.Second
				if n.Owner == in.Owner || n.Owner == "" {
					t.Errorf("node 4 is said to be %q's", n.Owner)
				}
			}
			if n != want {
				t.Errorf("node %d: %+v, not %+v", i, n, want)
			}
		}
		mustUnlock(t, le)
		before := c.Masters[4].Owner("a")
		in, err = other.Inspect(t.Context(), "a")
		if err != nil || in.Owner != "" || in.Holder != "" || in.Left != 0 || in.Fence != le.Fence() {
			t.Errorf("a free lock: %+v, %v", in, err)
		}
		if c.Masters[4].Owner("a") != before {
			t.Error("Inspect has changed something")
		}
		in, err = other.Inspect(t.Context(), "never locked")
		if err != nil || in.Fence != 0 || in.Owner != "" {
			t.Errorf("a lock that never was: %+v, %v", in, err)
		}
	})
}

func TestInspectTellsWhatTheOthersSaidWithoutAQuorum(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t)
		le := mustLock(t, l, "a")
		c.Freeze(0, 1)
		c.Refuse(2)
		start := time.Now()
		in, err := l.Inspect(t.Context(), "a")
		if d := time.Since(start); d != 250*time.Millisecond {
			t.Errorf("Inspect took %v", d)
		}
		q, ok := errors.AsType[*redlock.QuorumError](err)
		if !ok || !errors.Is(err, redlock.ErrNoQuorum) || q.Op != "inspect" || q.Failed != 3 || in == nil {
			t.Fatalf("Inspect: %+v, %v", in, err)
		}
		if in.Owner != "" || in.Nodes[3].Owner == "" || in.Nodes[0].Err == nil || in.Nodes[2].Err == nil {
			t.Errorf("inspection: %+v", in)
		}
		c.Thaw(0, 1)
		c.Heal()
		mustUnlock(t, le)
	})
}

func TestALockWithoutAnEndLastsForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t)
		c.Hold("a", 0, 0, 1)
		in, err := l.Inspect(t.Context(), "a")
		if err != nil || in.Owner == "" || in.Left != redlock.Forever {
			t.Errorf("Inspect: %+v, %v; want an owner for ever", in, err)
		}
		if got := fmt.Sprint(l, l.Mutex("a")); got != `redlock.Locker(3 nodes) redlock.Mutex("a")` {
			t.Errorf("printed as %s", got)
		}
	})
}

// The owner's token is the one on which its nodes agree. Greater values that other attempts have
// left on some nodes do not count.
func TestInspectTellsTheTokenOnWhichTheOwnersNodesAgree(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t)
		fence := "{a}:redlock:fence"
		le := mustLock(t, l, "a")
		want := func(owner uint64) {
			t.Helper()
			synctest.Wait()
			in, err := l.Mutex("a").Inspect(t.Context())
			if err != nil || in.Owner == "" || in.OwnerFence != owner {
				t.Errorf("the owner's token is said to be %d, not %d: %+v, %v", in.OwnerFence, owner, in, err)
			}
		}
		want(le.Fence())
		greater := fmt.Sprint(le.Fence() + 7)
		c.Delete("a", 0, 1) // other attempts have been there
		for _, m := range c.Masters[:2] {
			m.Set(fence, greater, time.Hour)
		}
		want(le.Fence())
		c.Masters[2].Set(fence, greater, time.Hour) // raised where the lock is the owner's
		want(0)
		c.Hold("a", time.Minute, 0) // the answer of another owner's node does not count
		c.Masters[0].Set(fence, fmt.Sprint(le.Fence()), time.Hour)
		want(0)
		c.Delete("a", 0)
		mustUnlock(t, le)
		in, err := l.Inspect(t.Context(), "a")
		if err != nil || in.OwnerFence != 0 || in.Fence != le.Fence()+7 {
			t.Errorf("a free lock: %+v, %v", in, err)
		}
	})
}

// Every method of a mutex with bad options reports them.
func TestAMutexTellsItsOptionsAndWhatIsWrongWithThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := clustertest.New(3).Locker(t, redlock.WithTTL(time.Minute), redlock.WithHolder("me"))
		if m := l.Mutex("a"); m.TTL() != time.Minute || m.Holder() != "me" {
			t.Errorf("TTL %v, holder %q", m.TTL(), m.Holder())
		}
		if m := l.Mutex("a", redlock.WithTTL(time.Second), redlock.WithHolder("")); m.TTL() != time.Second || m.Holder() != "" {
			t.Errorf("TTL %v, holder %q", m.TTL(), m.Holder())
		}
		if m := new(redlock.Mutex); m.TTL() != 0 || m.Holder() != "" {
			t.Errorf("a zero Mutex: TTL %v, holder %q", m.TTL(), m.Holder())
		}
		for _, m := range []*redlock.Mutex{new(redlock.Mutex), l.Mutex(""), l.Mutex("a", redlock.WithTTL(-1))} {
			in, err := m.Inspect(t.Context())
			if _, ok := errors.AsType[*redlock.OptionError](err); !ok || in != nil {
				t.Errorf("Inspect of %v: %+v, %v", m, in, err)
			}
		}
	})
}
