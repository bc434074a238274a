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
	dir := os.Args[1]
	rounds, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	var nodes []pool.Node
	for _, addr := range os.Args[3:] {
		client := redis.NewClient(&redis.Options{Addr: addr})
		defer client.Close()
		nodes = append(nodes, pool.New(client))
	}
	locks, err := redlock.New(nodes)
	if err != nil {
		log.Fatal(err)
	}
	defer locks.Close(ctx)

	for range rounds {
		if err := round(ctx, locks, dir); err != nil {
			log.Fatal(err)
		}
	}
}

func round(ctx context.Context, locks *redlock.Locker, dir string) (err error) {
	lease, err := locks.Lock(ctx, "sum", redlock.WithTTL(2*time.Second))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lease.Unlock(ctx)) }()
	return work.Add(dir)
}
