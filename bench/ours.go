package main

import (
	"context"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/pool"
)

// ourLocker is this library.
type ourLocker struct{ *redlock.Locker }

func openFenced(_ context.Context, addrs []string) (locker, error) { return openOurs(addrs) }

func openPlain(_ context.Context, addrs []string) (locker, error) {
	return openOurs(addrs, redlock.WithoutFencing())
}

func openOurs(addrs []string, opts ...redlock.Option) (locker, error) {
	nodes, err := pool.Dial(addrs...)
	if err != nil {
		return nil, err
	}
	l, err := redlock.New(nodes, append(opts, redlock.WithTTL(ttl))...)
	if err != nil {
		return nil, err
	}
	return ourLocker{l}, nil
}

func (l ourLocker) lock(ctx context.Context, name string) (held, error) {
	lease, err := l.Lock(ctx, name)
	return (*ourLease)(lease), err
}

func (l ourLocker) close() error { return l.Close(context.Background()) }

type ourLease redlock.Lease

func (l *ourLease) unlock(ctx context.Context) error { return (*redlock.Lease)(l).Unlock(ctx) }
