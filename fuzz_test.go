package redlock_test

import (
	"errors"
	"testing"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/memnode"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// Any options give either an error that names one of them, or a Locker that works.
func FuzzOptions(f *testing.F) {
	second := int64(time.Second)
	f.Add("lock", "", "", 10*second, int64(0), int64(0), 3600*second, 0.05, false)
	f.Add("{a", "p:", "host/1", int64(-1), second, int64(1), int64(1)<<62, 1.0, true)
	f.Add("x}", "{", "\x00", int64(redlock.MinTTL), int64(redlock.MaxTTL), second, -second, -1.0, true)
	f.Add("a:redlock:fence", "\xff", "é", int64(1)<<62, int64(-1)<<62, int64(1)<<62, int64(0), 1e300, false)
	f.Fuzz(func(t *testing.T, name, prefix, holder string, ttl, minHold, renewal, retention int64, part float64, guard bool) {
		opts := []redlock.Option{
			redlock.WithTTL(time.Duration(ttl)), redlock.WithMinHold(time.Duration(minHold)), redlock.WithHolder(holder),
			redlock.WithKeyPrefix(prefix), redlock.WithFenceRetention(time.Duration(retention)),
			redlock.WithNodeTimeout(time.Duration(float64(ttl) * part)), redlock.WithRenewal(time.Duration(renewal)),
		}
		if guard {
			opts = append(opts, redlock.WithRestartGuard(time.Duration(ttl)))
		}
		locks, err := redlock.New([]pool.Node{wire.Seal(memnode.New("node"))}, opts...)
		if err != nil {
			wantNamed(t, err)
			return
		}
		defer mustClose(t, locks)
		if guard {
			if err := locks.Bootstrap(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		lease, err := locks.TryLock(t.Context(), name)
		switch {
		case err == nil:
			_ = lease.Unlock(t.Context()) // a short lease may be over
		case errors.Is(err, redlock.ErrTooLate), errors.Is(err, redlock.ErrNoQuorum):
			// The machine was slow.
		default:
			wantNamed(t, err)
		}
	})
}

// wantNamed checks that the error is one about a name or an option, and says which.
func wantNamed(t *testing.T, err error) {
	t.Helper()
	var bad *redlock.OptionError
	if !errors.As(err, &bad) || bad.Option == "" || bad.Reason == "" {
		t.Fatalf("%T: %v", err, err)
	}
}
