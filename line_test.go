package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/clustertest"
	"github.com/go-redlock/redlock/internal/wire"
)

// What others wait for a node, who are more patient, is not what a caller waits.
func TestNodeTimeoutHoldsThoughEarlierRequestsMayWaitLonger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t)
		c.Freeze(0, 1)
		var patient sync.WaitGroup
		for _, name := range []string{"a", "b"} { // as many as there are round trips at once
			patient.Go(func() {
				if _, err := l.TryLock(t.Context(), name, redlock.WithTTL(10*time.Second)); !errors.Is(err, redlock.ErrNoQuorum) {
					t.Errorf("TryLock: %v", err)
				}
			})
			synctest.Wait() // so that both do not go together
		}
		if d := took(func() {
			_, err := l.TryLock(t.Context(), "c", redlock.WithTTL(400*time.Millisecond))
			if !errors.Is(err, redlock.ErrNoQuorum) {
				t.Errorf("TryLock: %v", err)
			}
		}); d < 20*time.Millisecond || d > withGrace(20*time.Millisecond) {
			t.Errorf("a caller whose node timeout is 20 ms waited %v", d)
		}
		patient.Wait()
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
				le := mustLock(t, l, "c", redlock.WithTTL(400*time.Millisecond))
				time.Sleep(10 * time.Millisecond) // half of what its timer was set to
				c.Freeze(0, 1)
				// as many as there are round trips at once
				for _, name := range []string{"a", "b"} {
					go l.TryLock(t.Context(), name, redlock.WithTTL(10*time.Second)) //nolint:errcheck // it only waits
					synctest.Wait()
				}
				if closed {
					go l.Close(t.Context()) //nolint:errcheck // see below
					synctest.Wait()
				}
				if d := took(func() {
					if err := le.Unlock(t.Context()); !errors.Is(err, redlock.ErrNoQuorum) {
						t.Errorf("Unlock: %v", err)
					}
				}); d < 20*time.Millisecond || d > withGrace(20*time.Millisecond) {
					t.Errorf("a caller whose node timeout is 20 ms waited %v", d)
				}
				c.Thaw(0, 1)
				mustClose(t, l)
			})
		})
	}
}

func TestSecondRequestDoesNotWaitForTheFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		c.Latency(5 * time.Millisecond)
		l := c.Locker(t)
		lone := took(func() { mustLock(t, l, "a") })
		go func() {
			if _, err := l.Lock(t.Context(), "b"); err != nil {
				t.Error(err)
			}
		}()
		time.Sleep(time.Millisecond)
		if d := took(func() { mustLock(t, l, "c") }); d != lone {
			t.Errorf("it took %v, and %v alone", d, lone)
		}
		mustClose(t, l)
	})
}

func TestALoneNodeIsSentFourRequestsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(1)
		c.Latency(5 * time.Millisecond)
		l := c.Locker(t)
		lone := took(func() { mustLock(t, l, "a") })
		for _, name := range []string{"b", "c", "d"} {
			go func() {
				if _, err := l.Lock(t.Context(), name); err != nil {
					t.Error(err)
				}
			}()
			time.Sleep(time.Millisecond)
		}
		if d := took(func() { mustLock(t, l, "e") }); d != lone {
			t.Errorf("it took %v, and %v alone", d, lone)
		}
		mustClose(t, l)
	})
}

func TestSilentNodeIsSentOneRequestAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t)
		c.Freeze(0)
		le := mustLock(t, l, "first")
		synctest.Wait() // the frozen node has its request, which finds out
		mustUnlock(t, le)
		time.Sleep(redlock.DefaultTTL)
		before := c.Masters[0].Sent(wire.Acquire)
		var leases []*redlock.Lease
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			leases = append(leases, mustLock(t, l, name))
		}
		synctest.Wait()
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

func TestWaiterThatGivesUpTellsTheNodes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		holder, waiter := c.LockerAs(t, "holder"), c.LockerAs(t, "waiter")
		le := mustLock(t, holder, "a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := waiter.Lock(ctx, "a"); !errors.Is(err, redlock.ErrHeld) {
			t.Errorf("Lock: %v", err)
		}
		synctest.Wait()
		if n := c.Sent(wire.Leave); n != 3 {
			t.Errorf("%d of 3 nodes were told", n)
		}
		mustUnlock(t, le)
		mustClose(t, waiter)
		mustClose(t, holder)
	})
}
