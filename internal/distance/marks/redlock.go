//go:build linux

package marks

import (
	"context"
	"crypto/tls"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/pool"
)

// Redlock is the name of this library as a contestant.
const Redlock = "redlock"

// Settings are a scenario's settings for a contestant. A zero leaves the default.
type Settings struct {
	TTL     time.Duration
	MaxIdle time.Duration
	TLS     *tls.Config
}

// Open makes a contestant's Locker, with connections of its own.
type Open func(addrs []string, s Settings) (Locker, error)

// OpenRedlock makes a Locker of this library, with defaults.
func OpenRedlock(addrs []string, s Settings) (Locker, error) {
	nodes, err := pool.Dialer{TLS: s.TLS, MaxIdle: s.MaxIdle}.Dial(addrs...)
	if err != nil {
		return nil, err
	}
	var opts []redlock.Option
	if s.TTL != 0 {
		opts = append(opts, redlock.WithTTL(s.TTL))
	}
	l, err := redlock.New(nodes, opts...)
	return ours{l}, err
}

type ours struct{ *redlock.Locker }

func (o ours) Lock(ctx context.Context, name string) (func(context.Context) error, error) {
	lease, err := o.Locker.Lock(ctx, name)
	if err != nil {
		return nil, err
	}
	return lease.Unlock, nil
}

func (o ours) TryLock(ctx context.Context, name string) (func(context.Context) error, error) {
	lease, err := o.Locker.TryLock(ctx, name)
	if err != nil {
		return nil, err
	}
	return lease.Unlock, nil
}

func (o ours) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return o.Locker.Close(ctx)
}
