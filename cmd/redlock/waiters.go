package main

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/go-redlock/redlock/internal/wire"
)

// A queue is that of one lock: how long each process in it has waited, the longest wait first.
type queue []time.Duration

// longest returns the longest wait, 0 if nobody waits.
func (q queue) longest() time.Duration {
	if len(q) == 0 {
		return 0
	}
	return q[0]
}

// A tally puts together what the servers say about the queues of some locks.
type tally struct {
	mu      sync.Mutex
	answers int                          // servers that answered
	waits   []map[string][]time.Duration // by lock, then by waiter: what each server says
}

// queues returns those of the locks of these names, and the servers that did not tell. A
// process counts as waiting if it is queued on most of the servers that answered: after a release,
// or a wait that has ended, some may have it in their queues for a moment more.
func (c *search) queues(ctx context.Context, servers []server, names []string) ([]queue, []error) {
	ctx, cancel := context.WithTimeout(ctx, queueTimeout)
	defer cancel()
	t := &tally{waits: make([]map[string][]time.Duration, len(names))}
	errs := make([]error, len(servers))
	var asking errgroup.Group
	for i, one := range servers {
		asking.Go(func() error {
			errs[i] = c.ask(ctx, one, names, t)
			return nil
		})
	}
	_ = asking.Wait()
	return t.queues(), errs
}

// queueTimeout is how long a server may take to tell the queues.
const queueTimeout = time.Second

// ask reads the queues of the locks on one server, and adds them to the tally.
func (c *search) ask(ctx context.Context, one server, names []string, t *tally) error {
	read := one.Pipeline()
	clock := read.Time(ctx)
	queues := make([]*redis.ZSliceCmd, len(names))
	for i, name := range names {
		if key, ok := c.queueKey(name); ok {
			queues[i] = read.ZRangeWithScores(ctx, key, 0, -1)
		}
	}
	_, _ = read.Exec(ctx) // each command has its own error
	now, err := clock.Result()
	if err != nil {
		return err //nolint:wrapcheck // it is shown beside the address
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.answers++
	for i, q := range queues {
		if q == nil {
			continue
		}
		waiters, err := q.Result()
		if denied := redis.HasErrorPrefix(err, "NOPERM"); denied {
			return err //nolint:wrapcheck // as above
		}
		for _, z := range waiters {
			t.add(i, z, now)
		}
	}
	return nil
}

// queueKey returns the key of the queue for what nameOf has named; false if there can be none.
func (c *search) queueKey(name string) (key string, ok bool) {
	if _, _, slot := c.slotOf(name); slot {
		return wire.KeysOfSlot(name).Queue, true
	}
	keys, err := wire.Keys(c.KeyPrefix, name)
	return keys.Queue, err == nil
}

// add adds that a server, whose clock shows now, has a waiter in its queue of lock i. The score is
// the time at which its wait began, in microseconds.
func (t *tally) add(i int, z redis.Z, now time.Time) {
	if t.waits[i] == nil {
		t.waits[i] = make(map[string][]time.Duration)
	}
	inbox, ok := z.Member.(string)
	if !ok {
		return
	}
	t.waits[i][inbox] = append(t.waits[i][inbox], max(0, now.Sub(time.UnixMicro(int64(z.Score)))))
}

// queues returns the queues that the servers agree on.
func (t *tally) queues() []queue {
	all := make([]queue, len(t.waits))
	for i, waiters := range t.waits {
		for _, waits := range waiters {
			if len(waits) > t.answers/2 {
				all[i] = append(all[i], slices.Min(waits))
			}
		}
		slices.Sort(all[i])
		slices.Reverse(all[i])
	}
	return all
}

// columns returns the columns of a queue in a table: how many wait, and the longest wait.
func (q queue) columns() []string {
	if len(q) == 0 {
		return []string{"-", "-"}
	}
	return []string{strconv.Itoa(len(q)), q.longest().Round(time.Millisecond).String()}
}
