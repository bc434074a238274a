package redlock_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/clustertest"
	"github.com/go-redlock/redlock/internal/wire"
)

// occupy makes as many requests wait for each node as there can be round trips to it at once.
func occupy(t *testing.T, l *redlock.Locker) (patient []waiter) {
	t.Helper()
	for _, name := range []string{"patient", "as patient"} {
		patient = append(patient, inBackground(func() (*redlock.Lease, error) {
			return l.TryLock(t.Context(), name, redlock.WithTTL(10*time.Second))
		}))
		synctest.Wait() // so that they do not share a round trip
	}
	return patient
}

// impatient has a node timeout of 20 ms.
const impatient = 400 * time.Millisecond

// wantTwentyMilliseconds checks that a call takes that long, and finds no quorum.
func wantTwentyMilliseconds(t *testing.T, call func() error) {
	t.Helper()
	const timeout = 20 * time.Millisecond
	var err error
	if d := took(func() { err = call() }); d < timeout || d > withGrace(timeout) || !errors.Is(err, redlock.ErrNoQuorum) {
		t.Errorf("a call whose node timeout is %v took %v: %v", timeout, d, err)
	}
}

// A caller does not wait longer for a node because other callers, with longer timeouts, wait for
// it.
func TestNodeTimeoutHoldsThoughEarlierRequestsMayWaitLonger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t)
		c.Freeze(0, 1)
		patient := occupy(t, l)
		wantTwentyMilliseconds(t, func() error {
			_, err := l.TryLock(t.Context(), "a", redlock.WithTTL(impatient))
			return err
		})
		for _, w := range patient {
			if r := <-w; !errors.Is(r.err, redlock.ErrNoQuorum) {
				t.Errorf("TryLock: %v", r.err)
			}
		}
		c.Thaw(0, 1)
		mustClose(t, l)
	})
}

func TestNodeTimeoutOfUnlockHoldsThoughEarlierRequestsMayWaitLonger(t *testing.T) {
	t.Parallel()
	for _, closed := range []bool{false, true} {
		t.Run(fmt.Sprintf("closed=%t", closed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := clustertest.New(3)
				l := c.Locker(t)
				le := mustLock(t, l, "a", redlock.WithTTL(impatient))
				time.Sleep(10 * time.Millisecond) // half of what its timer was set to
				c.Freeze(0, 1)
				occupy(t, l)
				if closed {
					go l.Close(t.Context()) //nolint:errcheck // see below
					synctest.Wait()
				}
				wantTwentyMilliseconds(t, func() error { return le.Unlock(t.Context()) })
				c.Thaw(0, 1)
				mustClose(t, l)
			})
		})
	}
}

// wantNoWait checks that a lock takes no longer while others are being taken.
func wantNoWait(t *testing.T, nodes int, others ...string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(nodes)
		c.Latency(5 * time.Millisecond)
		l := c.Locker(t)
		alone := took(func() { mustLock(t, l, "a") })
		var before []waiter
		for _, name := range others {
			before = append(before, lockInBackground(t.Context(), l, name))
			time.Sleep(time.Millisecond)
		}
		if d := took(func() { mustLock(t, l, "b") }); d != alone {
			t.Errorf("it took %v, and %v alone", d, alone)
		}
		for _, w := range before {
			w.lease(t)
		}
		mustClose(t, l)
	})
}

func TestSecondRequestDoesNotWaitForTheFirst(t *testing.T) {
	t.Parallel()
	wantNoWait(t, 3, "first")
}

func TestASingleNodeIsSentFourRequestsAtOnce(t *testing.T) {
	t.Parallel()
	wantNoWait(t, 1, "first", "second", "third")
}

func TestSilentNodeIsSentOneRequestAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t)
		c.Freeze(0)
		mustUnlock(t, lockEverywhere(t, l, "first")) // this one notices that the node is frozen
		time.Sleep(redlock.DefaultTTL)
		before := c.Masters[0].Sent(wire.Acquire)
		var leases []*redlock.Lease
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			leases = append(leases, mustLock(t, l, name))
		}
		if n := c.Masters[0].Sent(wire.Acquire) - before; n != 1 {
			t.Errorf("%d requests are under way to a node that does not answer", n)
		}
		c.Thaw(0)
		for _, le := range leases {
			mustUnlock(t, le)
		}
		mustClose(t, l)
	})
}
