package pool_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/pool"
)

// A user's function that hangs gets a context that ends with the node timeout. Otherwise nothing
// would end it, and Close would leave it behind.
func TestUsersFunctionsAreEndedByTheNodeTimeout(t *testing.T) {
	t.Parallel()
	f := newFake(t, func([]string) string { return bulk("OK 1") })
	hang := func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Minute):
			t.Error("its context did not end")
			return nil
		}
	}
	credentials := func(ctx context.Context) (string, string, error) { return "", "", hang(ctx) }
	connected := func(ctx context.Context, _ *redis.Conn) error { return hang(ctx) }
	dialled, err := pool.Dialer{Credentials: credentials}.Dial(f.addr)
	if err != nil {
		t.Fatal(err)
	}
	user := redis.NewClient(&redis.Options{Addr: f.addr, OnConnect: connected})
	defer user.Close()
	for name, n := range map[string]pool.Node{"Dialer.Credentials": dialled[0], "redis.Options.OnConnect": pool.New(user)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := redlock.New([]pool.Node{n}, redlock.WithTTL(200*time.Millisecond), redlock.WithNodeTimeout(50*time.Millisecond))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.TryLock(t.Context(), "a"); err == nil {
				t.Error("a lock without a connection")
			}
			if err := l.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
