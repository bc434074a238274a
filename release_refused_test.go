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

var errDenied = errors.New("NOPERM this user has no permissions to run the 'evalsha' command")

// lockMany locks that many names.
func lockMany(t *testing.T, l *redlock.Locker, count int) (leases []*redlock.Lease) {
	t.Helper()
	for i := range count {
		leases = append(leases, lockEverywhere(t, l, fmt.Sprint("a", i)))
	}
	return leases
}

// An administrator changes an ACL, and changes it back.
func TestAReleaseThatANodeRefusesIsSentAgainUntilTheNodeTakesIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		seen, log := new(recorder), new(logged)
		l := c.Locker(t, redlock.WithTTL(time.Minute), redlock.WithObserver(seen), redlock.WithLogger(log.logger()))
		const count = 600
		leases := lockMany(t, l, count)
		c.Masters[0].Deny(wire.Release, errDenied)
		for _, le := range leases {
			mustUnlock(t, le)
		}
		time.Sleep(30 * time.Second)
		if n := c.Masters[0].Sent(wire.Release); n < count+20 || n > count+50 {
			t.Errorf("%d releases were sent %d times in half a minute", count, n)
		}
		if s := l.Stats(); s.Pending != count {
			t.Errorf("stats: %+v", s)
		}
		c.Masters[0].Deny(wire.Release, nil)
		time.Sleep(1100 * time.Millisecond) // the longest pause before a node is asked again
		wantClean(t, c, l)
		if n := len(eventsOf[redlock.DroppedEvent](seen)); n != 0 || l.Stats().Refused != 0 {
			t.Errorf("%d releases are told as given up; %+v", n, l.Stats())
		}
	})
}

// If a node refuses some keys, by their pattern, that says nothing about other keys.
func TestARefusalOfOneReleaseHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t, redlock.WithTTL(time.Minute))
		leases := lockMany(t, l, 2)
		c.Masters[0].Deny(wire.Release, errDenied)
		mustUnlock(t, leases[0])
		c.Masters[0].Deny(wire.Release, errDenied, "a0")
		time.Sleep(3 * time.Second)
		before := c.Masters[0].Sent(wire.Release)
		mustUnlock(t, leases[1])
		for i := range 100 {
			mustUnlock(t, lockEverywhere(t, l, fmt.Sprint("b", i)))
			synctest.Wait()
		}
		if n := c.Masters[0].Sent(wire.Release) - before; n > 110 {
			t.Errorf("%d releases were sent for 101 locks: that one is taken is no reason to send another again", n)
		}
		if c.Masters[0].Owner("a1") != "" || c.Masters[0].Owner("a0") == "" {
			t.Errorf("on the node: %q, %q", c.Masters[0].Owner("a0"), c.Masters[0].Owner("a1"))
		}
	})
}

// A node that cannot be reached and a node that refuses need different actions.
func TestRefusedReleasesAreCountedApartFromThoseThatWereOwedTooLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		seen, log := new(recorder), new(logged)
		l := c.Locker(t, redlock.WithObserver(seen), redlock.WithLogger(log.logger()))
		leases := lockMany(t, l, 5)
		c.Masters[1].Deny(wire.Release, errDenied)
		for _, le := range leases {
			mustUnlock(t, le)
		}
		time.Sleep(redlock.DefaultTTL / 2)
		if s := l.Stats(); s.Refused != 0 || s.Pending != 5 {
			t.Errorf("before their keys have expired: %+v", s)
		}
		time.Sleep(redlock.DefaultTTL)
		if s := l.Stats(); s.Refused != 5 || s.Dropped != 0 || s.Pending != 0 {
			t.Errorf("after their keys have expired: %+v", s)
		}
		told := eventsOf[redlock.DroppedEvent](seen)
		for _, e := range told {
			if e.Node != c.Masters[1].Addr() || !errors.Is(e.Err, errDenied) {
				t.Errorf("told: %+v", e)
			}
		}
		if len(told) != 5 || log.count("a node refused the release of a key until its TTL was over") != 5 {
			t.Errorf("%d are told, the log has\n%s", len(told), log)
		}
	})
}
