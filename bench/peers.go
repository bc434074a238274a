package main

import (
	"context"
	"errors"
	"time"

	bsmlock "github.com/bsm/redislock"
	rs "github.com/go-redsync/redsync/v4"
	rspool "github.com/go-redsync/redsync/v4/redis"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"
	rueidisclient "github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislock"
)

// clients are go-redis clients with their defaults.
type clients []*redis.Client

func dial(addrs []string) (cs clients) {
	for _, a := range addrs {
		cs = append(cs, redis.NewClient(&redis.Options{Addr: a}))
	}
	return cs
}

func (cs clients) close() error {
	var errs []error
	for _, c := range cs {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

type redsyncLocker struct {
	clients
	rs *rs.Redsync
}

func openRedsync(_ context.Context, addrs []string) (locker, error) {
	cs := dial(addrs)
	var pools []rspool.Pool
	for _, c := range cs {
		pools = append(pools, goredis.NewPool(c))
	}
	return redsyncLocker{cs, rs.New(pools...)}, nil
}

func (l redsyncLocker) lock(ctx context.Context, name string) (held, error) {
	m := l.rs.NewMutex(name)
	for {
		err := m.LockContext(ctx)
		if err == nil {
			return (*redsyncMutex)(m), nil
		}
		// It gives up after 32 tries, about five seconds; then the caller tries again.
		if ctx.Err() != nil || !errors.Is(err, rs.ErrFailed) && !errors.As(err, new(*rs.ErrTaken)) {
			return nil, err
		}
	}
}

type redsyncMutex rs.Mutex

func (m *redsyncMutex) unlock(ctx context.Context) error {
	_, err := (*rs.Mutex)(m).UnlockContext(ctx)
	return err
}

type rueidisLocker struct{ rueidislock.Locker }

func openRueidis(_ context.Context, addrs []string) (locker, error) {
	l, err := rueidislock.NewLocker(rueidislock.LockerOption{
		ClientOption:   rueidisclient.ClientOption{InitAddress: addrs},
		KeyMajority:    1,
		NoLoopTracking: true,
		KeyValidity:    ttl,
	})
	return rueidisLocker{l}, err
}

func (l rueidisLocker) lock(ctx context.Context, name string) (held, error) {
	_, cancel, err := l.WithContext(ctx, name)
	return rueidisLock(cancel), err
}

func (l rueidisLocker) close() error {
	l.Close()
	return nil
}

type rueidisLock context.CancelFunc

func (l rueidisLock) unlock(context.Context) error {
	l()
	return nil
}

type bsmLocker struct {
	clients
	lockers *bsmlock.Client
}

func openBSM(_ context.Context, addrs []string) (locker, error) {
	cs := dial(addrs)
	return bsmLocker{cs, bsmlock.New(cs[0])}, nil
}

func (l bsmLocker) lock(ctx context.Context, name string) (held, error) {
	for {
		h, err := l.lockers.Obtain(ctx, name, ttl, &bsmlock.Options{RetryStrategy: bsmlock.LinearBackoff(100 * time.Millisecond)})
		if err == nil {
			return bsmHeld{h}, nil
		}
		if ctx.Err() != nil || !errors.Is(err, bsmlock.ErrNotObtained) {
			return nil, err
		}
	}
}

type bsmHeld struct{ *bsmlock.Lock }

func (h bsmHeld) unlock(ctx context.Context) error { return h.Release(ctx) }
