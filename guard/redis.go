package guard

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/redis/go-redis/v9"
)

//go:embed set.lua
var setLua string

var setScript = redis.NewScript(setLua)

// RegisterRedis registers the token in the hash at key, field "token", or fails with [ErrStale] if
// a greater one is there. Call it before the first read under the lock.
func RegisterRedis(ctx context.Context, client redis.Scripter, key string, token uint64) error {
	return runRedis(ctx, client, key, token)
}

// SetRedis stores value and token in the hash at key, in the fields "value" and "token", in one
// atomic step. If a greater token is there, it changes nothing and fails with [ErrStale].
func SetRedis(ctx context.Context, client redis.Scripter, key string, token uint64, value string) error {
	return runRedis(ctx, client, key, token, value)
}

func runRedis(ctx context.Context, client redis.Scripter, key string, token uint64, value ...any) error {
	if err := check(token); err != nil {
		return err
	}
	switch done, err := setScript.Run(ctx, client, []string{key}, append([]any{token}, value...)...).Int(); {
	case err != nil:
		return fmt.Errorf("guard: %q: %w", key, err)
	case done == 0:
		return stale(key, token)
	}
	return nil
}
