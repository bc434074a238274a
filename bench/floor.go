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

// deleteIfMine is the release script of "Distributed Locks with Redis".
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
			ok, err := c.SetNX(ctx, name, h.owner, ttl).Result() //nolint:staticcheck // deprecated, but widely used
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

// quorumLocker sends the same as floorLocker, and goes on when a majority has answered: what is
// left of a quorum over go-redis if nothing is done beside it. Goroutines that stand by for each
// node carry the commands.
type quorumLocker struct {
	clients
	questions []chan question
}

// A question is what one node is asked.
type question struct {
	ask func(node int, c *redis.Client) bool
	to  *ballot
}

func openQuorum(_ context.Context, addrs []string) (locker, error) {
	l := &quorumLocker{clients: dial(addrs)}
	for i, c := range l.clients {
		questions := make(chan question, 1024)
		l.questions = append(l.questions, questions)
		for range 2 { // one may wait for a late answer
			go func() {
				for q := range questions {
					q.to.count(q.ask(i, c))
				}
			}()
		}
	}
	return l, nil
}

func (l *quorumLocker) close() error {
	for _, q := range l.questions {
		close(q)
	}
	return l.clients.close()
}

// A quorumLock is deleted on a node once it was set there: on another connection the delete could
// come first.
type quorumLock struct {
	locker *quorumLocker
	name   string
	owner  string
	asked  []chan struct{}
}

func (l *quorumLocker) lock(ctx context.Context, name string) (held, error) {
	h := &quorumLock{l, name, rand.Text(), make([]chan struct{}, len(l.clients))}
	for i := range h.asked {
		h.asked[i] = make(chan struct{})
	}
	if !l.majority(func(i int, c *redis.Client) bool {
		defer close(h.asked[i])
		ok, err := c.SetNX(ctx, name, h.owner, ttl).Result() //nolint:staticcheck // deprecated, but widely used
		return ok && err == nil
	}) {
		return nil, errors.New("held by another")
	}
	return h, nil
}

func (h *quorumLock) unlock(ctx context.Context) error {
	if !h.locker.majority(func(i int, c *redis.Client) bool {
		<-h.asked[i]
		deleted, err := deleteScript.Run(ctx, c, []string{h.name}, h.owner).Bool()
		return deleted && err == nil
	}) {
		return errNotDeleted
	}
	return nil
}

// majority asks all nodes at once, and returns whether most said yes as soon as that is certain.
func (l *quorumLocker) majority(ask func(node int, c *redis.Client) bool) bool {
	b := newBallot(len(l.clients))
	for _, q := range l.questions {
		q <- question{ask, b}
	}
	return <-b.decided
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
