package main

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// deleteIfMine is the release that "Distributed Locks with Redis" gives.
const deleteIfMine = `if redis.call("get",KEYS[1]) == ARGV[1] then return redis.call("del",KEYS[1]) else return 0 end`

var deleteScript = redis.NewScript(deleteIfMine)

// floorLocker sends what any Redlock must send, and waits for all answers.
type floorLocker struct{ clients }

func openFloor(_ context.Context, addrs []string) (locker, error) {
	return floorLocker{dial(addrs)}, nil
}

type floorLock struct {
	clients clients
	name    string
	owner   string
}

func (l floorLocker) lock(ctx context.Context, name string) (held, error) {
	h := &floorLock{l.clients, name, rand.Text()}
	for {
		n := l.all(func(c *redis.Client) bool {
			ok, err := c.SetNX(ctx, name, h.owner, ttl).Result() //nolint:staticcheck // deprecated, and what everybody uses
			return ok && err == nil
		})
		if n > len(l.clients)/2 {
			return h, nil
		}
		_ = h.unlock(ctx)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (h *floorLock) unlock(ctx context.Context) error {
	n := h.clients.all(func(c *redis.Client) bool {
		deleted, err := deleteScript.Run(ctx, c, []string{h.name}, h.owner).Bool()
		return deleted && err == nil
	})
	if n <= len(h.clients)/2 {
		return errNotDeleted
	}
	return nil
}

// all asks all nodes at once, and returns how many said yes.
func (cs clients) all(ask func(*redis.Client) bool) int {
	if len(cs) == 0 {
		panic("no nodes")
	}
	var yes atomic.Int64
	var wg sync.WaitGroup
	for _, c := range cs {
		wg.Go(func() {
			if ask(c) {
				yes.Add(1)
			}
		})
	}
	wg.Wait()
	return int(yes.Load())
}

var errNotDeleted = errors.New("the lock was not deleted on a majority")
