package pool

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// ending returns a copy of ctx that ends at its deadline. A Locker's context of a round trip only
// tells the deadline, which does for the network; what a user's function does may know the end
// alone.
func ending(ctx context.Context) (context.Context, context.CancelFunc) {
	until, bounded := ctx.Deadline()
	if !bounded {
		return ctx, func() {}
	}
	own, cancel := context.WithDeadline(context.WithoutCancel(ctx), until)
	stop := context.AfterFunc(ctx, cancel)
	return own, func() { stop(); cancel() }
}

// punctual has a user's function called with a context that ends.
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

// punctualCredentials is punctual for what tells credentials, and says whose error its error is.
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
