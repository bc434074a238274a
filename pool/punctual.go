package pool

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// ending returns a copy of ctx that ends at its deadline. A Locker's context of a round trip only
// reports its deadline, which is enough for the network; a user's function may need its end.
func ending(ctx context.Context) (context.Context, context.CancelFunc) {
	until, bounded := ctx.Deadline()
	if !bounded {
		return ctx, func() {}
	}
	own, cancel := context.WithDeadline(context.WithoutCancel(ctx), until)
	stop := context.AfterFunc(ctx, cancel)
	return own, func() { stop(); cancel() }
}

// punctual makes a user's function be called with a context that ends.
func punctual(f func(context.Context, *redis.Conn) error) func(context.Context, *redis.Conn) error {
	if f == nil {
		return nil
	}
	return func(ctx context.Context, cn *redis.Conn) error {
		ctx, cancel := ending(ctx)
		defer cancel()
		return f(ctx, cn)
	}
}

// punctualCredentials is punctual for a function that returns credentials. It also marks the
// function's error as such.
func punctualCredentials(f func(context.Context) (username, password string, err error)) func(context.Context) (username, password string, err error) {
	if f == nil {
		return nil
	}
	return func(ctx context.Context) (username, password string, err error) {
		ctx, cancel := ending(ctx)
		defer cancel()
		username, password, err = f(ctx)
		return username, password, toldBy("credentials", err)
	}
}
