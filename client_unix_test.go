//go:build unix

package redlock_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock"
)

// A server that is stopped keeps its connections and answers nothing, as one does that swaps or
// whose disk hangs.
func TestStoppedServersCostNothingAndAreCleanedUp(t *testing.T) {
	t.Parallel()
	s := servers(t, 5)
	l := dialed(t, s.Addrs(), redlock.WithNodeTimeout(generous))
	mustUnlock(t, mustLock(t, l, "a"))
	for _, i := range []int{0, 1} {
		if err := s.Process(i).Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	if d := took(func() {
		for range 20 {
			mustUnlock(t, mustLock(t, l, "a"))
		}
	}); d > patient {
		t.Errorf("twenty locks took %v", d)
	}
	for _, i := range []int{0, 1} {
		if err := s.Process(i).Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
	if n := l.Stats().Dropped; n != 0 {
		t.Errorf("%d releases were dropped", n)
	}
	for _, addr := range s.Addrs() {
		client := redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true})
		if n, err := client.Exists(ctx, "a").Result(); n != 0 || err != nil {
			t.Errorf("%s has the lock left: %d, %v", addr, n, err)
		}
		_ = client.Close()
	}
}
