package integration_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/go-redlock/redlock"
)

// The faults that one node, or some, can have.
var faults = map[string]struct{ begin, end []string }{
	"frozen": {[]string{"pause"}, []string{"unpause"}},
	"killed": {[]string{"kill"}, []string{"start"}},
	"cut":    {[]string{"network", "disconnect", "bridge"}, []string{"network", "connect", "bridge"}},
}

func TestAMinorityOfFaultyNodesCostsNothing(t *testing.T) {
	for name, fault := range faults {
		for n := 1; n <= 2; n++ {
			t.Run(name+" "+[]string{"", "one", "two"}[n], func(t *testing.T) {
				servers := start(t, size)
				l := locker(t, servers)
				unlock(t, lock(t, l, "warm"))
				healthy := median(t, l, 200)
				for _, s := range servers[:n] {
					s.do(t, fault.begin...)
				}
				faulty := median(t, l, 200)
				t.Logf("a pair takes %v with all nodes, %v with %d %s: %.2f times", healthy, faulty, n, name, float64(faulty)/float64(healthy))
				// The bound is for a machine that does other work as well; the benchmark measures.
				if faulty > 3*healthy+5*time.Millisecond {
					t.Errorf("a pair takes %v, and %v with all nodes", faulty, healthy)
				}
				for _, s := range servers[:n] {
					s.do(t, fault.end...)
					s.await(t)
				}
				wantNoLocks(t, l, servers)
			})
		}
	}
}

// median is the median time of a Lock and its Unlock, of n.
func median(t *testing.T, l *redlock.Locker, n int) time.Duration {
	t.Helper()
	took := make([]time.Duration, n)
	for i := range took {
		began := time.Now()
		unlock(t, lock(t, l, "median"))
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return took[n/2]
}

func TestWithoutAMajorityTryLockSaysSoAndLockWaits(t *testing.T) {
	const nodeTimeout = 100 * time.Millisecond
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			servers := start(t, size)
			l := locker(t, servers, redlock.WithNodeTimeout(nodeTimeout))
			unlock(t, lock(t, l, "warm"))
			for _, s := range servers[:3] {
				s.do(t, fault.begin...)
			}
			took := make([]time.Duration, 9)
			for i := range took {
				began := time.Now()
				if _, err := l.TryLock(context.Background(), "a"); !errors.Is(err, redlock.ErrNoQuorum) {
					t.Fatalf("TryLock: %v, want ErrNoQuorum", err)
				}
				took[i] = time.Since(began)
			}
			slices.Sort(took)
			if m := took[len(took)/2]; m > nodeTimeout+20*time.Millisecond {
				t.Errorf("TryLock took %v, want at most the node timeout and 20ms", m)
			}

			leases := lockLater(t, l, "a")
			for _, s := range servers[:3] {
				s.do(t, fault.end...)
			}
			unlock(t, <-leases)
			for _, s := range servers {
				s.await(t)
			}
			wantNoLocks(t, l, servers)
		})
	}
}

func TestAServerThatForgotTheScriptsIsTaughtThem(t *testing.T) {
	servers := start(t, size)
	l := locker(t, servers)
	unlock(t, lock(t, l, "a"))
	lease := lock(t, l, "a")
	for _, s := range servers {
		if err := s.client(t).ScriptFlush(context.Background()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := lease.Extend(context.Background()); err != nil {
		t.Error(err)
	}
	for _, s := range servers {
		if err := s.client(t).ScriptFlush(context.Background()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	unlock(t, lease)
	unlock(t, lock(t, l, "a"))
	wantNoLocks(t, l, servers)
}

func TestNothingIsLeftAfterAMixture(t *testing.T) {
	servers := start(t, size)
	holder, l := locker(t, servers), locker(t, servers)
	held := lock(t, holder, "held")
	servers[4].do(t, "pause")
	for i := range 100 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i%5)*time.Millisecond)
		if lease, err := l.Lock(ctx, "mixed"); err == nil {
			unlock(t, lease)
		}
		if _, err := l.TryLock(ctx, "held"); err == nil {
			t.Error("a held lock was had")
		}
		cancel()
	}
	servers[4].do(t, "unpause")
	unlock(t, held)
	wantNoLocks(t, l, servers)
	wantNoLocks(t, holder, servers)
}
