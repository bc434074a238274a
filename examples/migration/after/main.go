// Command after is command before, moved over from redsync by docs/migration.md.
//
//	after DIR ROUNDS ADDR...
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/examples/migration/work"
	"github.com/go-redlock/redlock/pool"
)

func main() {
	log.SetPrefix("after: ")
	rounds, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	if err := run(context.Background(), os.Args[1], rounds, os.Args[3:]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, dir string, rounds int, addrs []string) error {
	var nodes []pool.Node
	for _, addr := range addrs {
		client := redis.NewClient(&redis.Options{Addr: addr})
		defer client.Close()
		nodes = append(nodes, pool.New(client))
	}
	// the machine may be busy: the test runs four such programs
	locks, err := redlock.New(nodes, redlock.WithNodeTimeout(time.Second))
	if err != nil {
		return err
	}
	defer locks.Close(ctx)

	for range rounds {
		if err := round(ctx, locks, dir); err != nil {
			return err
		}
	}
	return nil
}

func round(ctx context.Context, locks *redlock.Locker, dir string) (err error) {
	lease, err := locks.Lock(ctx, "sum", redlock.WithTTL(2*time.Second))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lease.Unlock(ctx)) }()
	return work.Add(dir)
}
