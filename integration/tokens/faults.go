package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"
)

// A fault makes something go wrong, and has put it right when it returns.
type fault struct {
	name   string
	strike func(ctx context.Context, r *run, random *rand.Rand) error
}

// modes lists the faults of each mode. Those of one row happen one after the other; rows run at the
// same time.
var modes = map[string][][]fault{
	"clocks": {
		// one row: one clock at a time
		{{"client clock shifted", shiftClient}, {"server clock shifted", shiftServer}},
		{{"client stopped past its TTL", stopClient}},
		{{"lock keys deleted", deleteKeys}, {"lock keys expired", expireKeys}},
	},
	"losses": {
		// one row: one loss at a time
		{{"server flushed", flush}, {"server restarted empty", restart}},
	},
}

// play makes the faults of the mode until ctx ends, or one of them fails to happen, and counts
// them.
func (r *run) play(ctx context.Context) error {
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	rows := modes[r.mode]
	errs := make([]error, len(rows))
	var all sync.WaitGroup
	for i, row := range rows {
		random := rand.New(rand.NewPCG(r.seed, uint64(i)))
		all.Go(func() {
			for ctx.Err() == nil {
				sleep(ctx, 50*time.Millisecond+upTo(random, 200*time.Millisecond))
				f := row[random.IntN(len(row))]
				switch err := f.strike(ctx, r, random); {
				case err == nil:
					r.count(f.name)
				case ctx.Err() == nil: // otherwise the error says only that ctx has ended
					errs[i] = fmt.Errorf("%s: %w", f.name, err)
					quit()
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func (r *run) count(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults[name]++
}

func upTo(random *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(random.Int64N(int64(d)))
}

// shift shifts one clock by up to six hours either way, for a while.
func shift(ctx context.Context, set func(time.Duration) error, random *rand.Rand) error {
	d := time.Hour + upTo(random, 5*time.Hour)
	if random.IntN(2) == 0 {
		d = -d
	}
	if err := set(d); err != nil {
		return err
	}
	sleep(ctx, 200*time.Millisecond+upTo(random, 600*time.Millisecond))
	return set(0)
}

func shiftClient(ctx context.Context, r *run, random *rand.Rand) error {
	return shift(ctx, r.clients[random.IntN(len(r.clients))].shift, random)
}

func shiftServer(ctx context.Context, r *run, random *rand.Rand) error {
	return shift(ctx, r.servers[random.IntN(len(r.servers))].shift, random)
}

func stopClient(ctx context.Context, r *run, random *rand.Rand) error {
	p := r.clients[random.IntN(len(r.clients))]
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	sleep(ctx, ttl+ttl/4+upTo(random, 2*ttl))
	return p.signal(syscall.SIGCONT)
}

// someServers calls f for one to five of the servers.
func someServers(r *run, random *rand.Rand, f func(*server, string) error) error {
	key := fmt.Sprintf("name-%d", random.IntN(names))
	var err error
	for _, i := range random.Perm(size)[:1+random.IntN(size)] {
		err = errors.Join(err, f(r.servers[i], key))
	}
	return err
}

func deleteKeys(ctx context.Context, r *run, random *rand.Rand) error {
	return someServers(r, random, func(s *server, key string) error { return s.client.Del(ctx, key).Err() })
}

func expireKeys(ctx context.Context, r *run, random *rand.Rand) error {
	return someServers(r, random, func(s *server, key string) error { return s.client.PExpire(ctx, key, time.Millisecond).Err() })
}

func flush(ctx context.Context, r *run, random *rand.Rand) error {
	return r.servers[random.IntN(size)].client.FlushAll(ctx).Err()
}

func restart(ctx context.Context, r *run, random *rand.Rand) error {
	s := r.servers[random.IntN(size)]
	s.kill()
	return s.start(ctx)
}
