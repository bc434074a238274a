// Command before is a program on redsync. Command after is the same program, moved over by
// docs/migration.md.
//
//	before DIR ROUNDS ADDR...
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/go-redsync/redsync/v4"
	redsyncredis "github.com/go-redsync/redsync/v4/redis"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/examples/migration/work"
)

func main() {
	log.SetPrefix("before: ")
	rounds, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	if err := run(context.Background(), os.Args[1], rounds, os.Args[3:]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, dir string, rounds int, addrs []string) error {
	var pools []redsyncredis.Pool
	for _, addr := range addrs {
		client := redis.NewClient(&redis.Options{Addr: addr})
		defer client.Close()
		pools = append(pools, goredis.NewPool(client))
	}
	rs := redsync.New(pools...)

	for range rounds {
		if err := round(ctx, rs, dir); err != nil {
			return err
		}
	}
	return nil
}

func round(ctx context.Context, rs *redsync.Redsync, dir string) (err error) {
	mutex := rs.NewMutex("sum", redsync.WithExpiry(2*time.Second), redsync.WithTries(1000))
	if err := mutex.LockContext(ctx); err != nil {
		return err
	}
	defer func() {
		if ok, failed := mutex.UnlockContext(ctx); !ok {
			err = errors.Join(err, failed)
		}
	}()
	return work.Add(dir)
}
