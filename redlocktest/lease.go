package redlocktest

import (
	"context"
	"testing"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/memnode"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// maxFence is above every fencing token.
const maxFence = 1<<53 - 1<<32

// Lease returns a lease with that name and fencing token that belongs to none of the test's
// Lockers. Use it in fakes, and to test code that takes a lease. The lease ends when it is
// unlocked, when lose is called (with ErrLost), or after a day. A fence of 0 makes a lease without
// fencing.
func Lease(tb testing.TB, name string, fence uint64) (lease *redlock.Lease, lose func()) {
	tb.Helper()
	if fence > maxFence {
		tb.Fatalf("redlocktest: Lease: %d cannot be a fencing token", fence)
	}
	// The node has no register, so the token comes from the clock.
	token := time.UnixMicro(int64(fence)) // at most maxFence
	master := memnode.New("redlocktest", memnode.WithTime(func() time.Time { return token }))
	opts := []redlock.Option{redlock.WithTTL(redlock.MaxTTL), redlock.WithClock(stopped{token})}
	if fence == 0 {
		opts = append(opts, redlock.WithoutFencing())
	}
	l, err := redlock.New([]pool.Node{wire.Seal(master)}, opts...)
	if err != nil {
		tb.Fatalf("redlocktest: Lease: %v", err)
	}
	tb.Cleanup(func() { _ = l.Close(context.Background()) })
	lease, err = l.TryLock(tb.Context(), name)
	if err != nil {
		tb.Fatalf("redlocktest: Lease: %v", err)
	}
	return lease, func() {
		master.Delete(name)
		_ = lease.Extend(context.Background()) // it notices that the lock is lost
	}
}

// stopped is the system's clock with a fixed time of day.
type stopped struct{ wall time.Time }

func (stopped) Now() time.Time    { return time.Now() }
func (c stopped) Wall() time.Time { return c.wall }

func (stopped) AfterFunc(d time.Duration, f func()) redlock.Timer { return time.AfterFunc(d, f) }
