// Package observertest makes an observer see all events of locks, for tests of the packages that
// export them.
package observertest

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/memnode"
)

// OwnerID is the beginning of an owner id. Nothing that is exported may contain it.
var OwnerID = regexp.MustCompile(`[0-9a-f]{32}`)

// Kind returns the part of a lock's name before the colon: "job", for all locks of Live.
func Kind(name string) string {
	kind, _, _ := strings.Cut(name, ":")
	return kind
}

// Live makes Lockers take, renew, lose, release and fail to get locks, in a synctest bubble: one
// lock is released, two are lost, one is held by another, and one finds no quorum.
func Live(t testing.TB, observer redlock.Observer) {
	t.Helper()
	masters, nodes := memnode.Cluster(3)
	var lockers []*redlock.Locker
	for range 2 {
		l, err := redlock.New(nodes, redlock.WithObserver(observer), redlock.WithRenewal(redlock.Forever), redlock.WithHolder("web-1"))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing is left to do
		lockers = append(lockers, l)
	}
	lock := func(name string) *redlock.Lease {
		lease, err := lockers[0].Lock(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // for the answers that came after the decision
		if owner, _, _ := masters[0].Get(name); !OwnerID.MatchString(owner) {
			t.Fatalf("an owner id does not look as OwnerID has it: %q", owner)
		}
		return lease
	}
	released, gone, starved := lock("job:released"), lock("job:gone"), lock("job:starved")
	if _, err := lockers[1].TryLock(t.Context(), "job:gone"); !errors.Is(err, redlock.ErrHeld) {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Second) // a renewal each
	if err := released.Unlock(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, m := range masters {
		m.Delete("job:gone")
	}
	if err := gone.Extend(t.Context()); !errors.Is(err, redlock.ErrLost) {
		t.Fatal(err)
	}
	masters[0].Kill()
	masters[1].Freeze()
	if _, err := lockers[1].TryLock(t.Context(), "job:none"); !errors.Is(err, redlock.ErrNoQuorum) {
		t.Fatal(err)
	}
	<-starved.Done()
	masters[1].Thaw()
	masters[0].Start(true)
	synctest.Wait()
}
