package integration_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-redlock/redlock"
)

// A lock is on three of five nodes, and two of these restart without their data.
func TestTheRestartGuardKeepsASecondOwnerOut(t *testing.T) {
	for _, guarded := range []bool{true, false} {
		t.Run(map[bool]string{true: "with the guard", false: "without it two own the lock"}[guarded], func(t *testing.T) {
			const longest = time.Minute // the test is over long before
			ctx := context.Background()
			servers := start(t, size)
			var opts []redlock.Option
			if guarded {
				opts = append(opts, redlock.WithRestartGuard(longest))
			}
			first, second := locker(t, servers, opts...), locker(t, servers, opts...)
			if guarded {
				if err := first.Bootstrap(ctx); err != nil {
					t.Fatal(err)
				}
			}
			for _, s := range servers[3:] {
				s.do(t, "kill")
			}
			lease := lock(t, first, "a", redlock.WithTTL(longest))
			for _, s := range servers[3:] {
				s.do(t, "start")
				s.await(t)
			}
			for _, s := range servers[:2] {
				s.restart(t)
			}
			other, err := tryFor(second, "a", 3*time.Second)
			switch {
			case guarded && err == nil:
				t.Error("two have the lock")
			case guarded:
				var quorum *redlock.QuorumError
				if !errors.As(err, &quorum) || quorum.RetryAfter <= 0 {
					t.Errorf("no word of the quarantine in %v", err)
				}
			case err != nil:
				t.Errorf("without the guard the second is to have it, to show what the guard is for: %v", err)
			}
			if lease.Err() != nil {
				t.Errorf("the first has lost it: %v", lease.Err())
			}
			if other != nil {
				_ = other.Unlock(ctx)
			}
			_ = lease.Unlock(ctx)
		})
	}
}

// tryFor tries to take the lock for that long.
func tryFor(l *redlock.Locker, name string, d time.Duration) (*redlock.Lease, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return l.Lock(ctx, name)
}

func TestALeaderKeepsItsLeaseThroughARollingRestart(t *testing.T) {
	servers := start(t, size)
	l := locker(t, servers)
	leader := lock(t, l, "leader", redlock.WithTTL(5*time.Second), redlock.WithRenewal(redlock.Forever))
	for _, s := range servers {
		s.restart(t)
		eventually(t, "the lease stands on all five again", func() bool {
			in, err := l.Inspect(context.Background(), "leader")
			if err != nil || in.Owner == "" {
				return false
			}
			for _, n := range in.Nodes {
				if n.Owner != in.Owner {
					return false
				}
			}
			return true
		})
		if err := leader.Err(); err != nil {
			t.Fatalf("after %s: %v", s.addr, err)
		}
	}
	unlock(t, leader)
	wantNoLocks(t, l, servers)
}
