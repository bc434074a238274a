package integration_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/go-redlock/redlock"
)

// The faults of one node, or of some nodes.
var faults = map[string]struct{ begin, end []string }{
	"frozen": {[]string{"pause"}, []string{"unpause"}},
	"killed": {[]string{"kill"}, []string{"start"}},
	"cut":    {[]string{"network", "disconnect", "bridge"}, []string{"network", "connect", "bridge"}},
}

func TestAMinorityOfFaultyNodesCostsNothing(t *testing.T) {
	const rounds, pairs = 3, 100
	for name, fault := range faults {
		for n := 1; n <= 2; n++ {
			t.Run(name+" "+[]string{"", "one", "two"}[n], func(t *testing.T) {
				servers := start(t, size)
				// a node that is waited for costs a Lock much more than the bounds allow
				l := locker(t, servers, redlock.WithNodeTimeout(2*time.Second))
				unlock(t, lock(t, l, "warm"))
				var healthy, faulty timings
				for range rounds { // by turns, because the machine is not always equally busy
					healthy.measure(t, l, pairs)
					for _, s := range servers[:n] {
						s.do(t, fault.begin...)
					}
					faulty.measure(t, l, pairs) // from the first operation after the fault on
					for _, s := range servers[:n] {
						s.do(t, fault.end...)
						s.await(t)
					}
				}
				t.Logf("Lock takes %v with all nodes, %v with %d %s", median(healthy.lock), median(faulty.lock), n, name)
				t.Logf("Unlock takes %v with all nodes, %v with %d %s", median(healthy.unlock), median(faulty.unlock), n, name)
				// The bounds allow for a machine that does other work too; the benchmarks measure
				// exactly.
				if median(faulty.lock) > 2*median(healthy.lock)+2*time.Millisecond {
					t.Errorf("Lock takes %v, and %v with all nodes", median(faulty.lock), median(healthy.lock))
				}
				if median(faulty.unlock) > 2*median(healthy.unlock)+2*time.Millisecond {
					t.Errorf("Unlock takes %v, and %v with all nodes", median(faulty.unlock), median(healthy.unlock))
				}
				wantNoLocks(t, l, servers)
			})
		}
	}
}

// timings holds how long some Locks and Unlocks took.
type timings struct{ lock, unlock []time.Duration }

func (m *timings) measure(t *testing.T, l *redlock.Locker, pairs int) {
	t.Helper()
	for range pairs {
		began := time.Now()
		lease := lock(t, l, "median")
		locked := time.Now()
		unlock(t, lease)
		m.lock = append(m.lock, locked.Sub(began))
		m.unlock = append(m.unlock, time.Since(locked))
	}
}

func median(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)/2]
}

// A node that was away counts again when it is back: without it there would be no majority.
func TestANodeThatComesBackCounts(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			servers := start(t, size)
			// a pause of the machine is no fault
			l := locker(t, servers, redlock.WithNodeTimeout(2*time.Second))
			for _, s := range servers[:2] {
				s.do(t, fault.begin...)
			}
			unlock(t, lock(t, l, "a"))
			for _, s := range servers[:2] {
				s.do(t, fault.end...)
				s.await(t)
			}
			for _, s := range servers[3:] {
				s.do(t, "pause")
			}
			unlock(t, lock(t, l, "a"))
		})
	}
}

func TestWithoutAMajorityTryLockSaysSoAndLockWaits(t *testing.T) {
	const nodeTimeout = 100 * time.Millisecond
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			servers := start(t, size)
			l := locker(t, servers, redlock.WithNodeTimeout(nodeTimeout))
			eventually(t, "the nodes answer within the node timeout", func() bool {
				lease, err := l.TryLock(context.Background(), "warm")
				return err == nil && lease.Unlock(context.Background()) == nil
			})
			for _, s := range servers[:3] {
				s.do(t, fault.begin...)
			}
			// how much later than a bare timer at the same moment
			late := make([]time.Duration, 9)
			for i := range late {
				rang := make(chan time.Time, 1)
				time.AfterFunc(nodeTimeout, func() { rang <- time.Now() })
				if _, err := l.TryLock(context.Background(), "a"); !errors.Is(err, redlock.ErrNoQuorum) {
					t.Fatalf("TryLock: %v, want ErrNoQuorum", err)
				}
				told := time.Now()
				late[i] = told.Sub(<-rang)
			}
			if m := median(late); m > 20*time.Millisecond {
				t.Errorf("TryLock took %v longer than the node timeout, want at most 20ms", m)
			}

			// to unlock on a node that has just come back
			patient := locker(t, servers, redlock.WithNodeTimeout(2*time.Second))
			leases := lockLater(t, patient, "a")
			for _, s := range servers[:3] {
				s.do(t, fault.end...)
			}
			unlock(t, <-leases)
			for _, s := range servers {
				s.await(t)
			}
			wantNoLocks(t, l, servers)
			wantNoLocks(t, patient, servers)
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
	// a pause of the machine is no fault of the holder's
	holder, l := locker(t, servers, redlock.WithNodeTimeout(2*time.Second)), locker(t, servers)
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
