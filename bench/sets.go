package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-redlock/redlock"
)

// setLocker is this library, which takes several locks at once for each lock that is asked for.
type setLocker struct {
	ourLocker
	many int
}

func openSet(many int) func(context.Context, []string) (locker, error) {
	return func(ctx context.Context, addrs []string) (locker, error) {
		l, err := openOurs(addrs)
		if err != nil {
			return nil, err
		}
		return setLocker{l.(ourLocker), many}, nil //nolint:forcetypeassert // it is
	}
}

func (l setLocker) lock(ctx context.Context, name string) (held, error) {
	ms := make([]*redlock.Mutex, l.many)
	for i := range ms {
		ms[i] = l.Mutex(fmt.Sprint(name, ":", i))
	}
	leases, err := redlock.LockAll(ctx, ms...)
	return (*ourLeases)(leases), err
}

type ourLeases redlock.Leases

func (l *ourLeases) unlock(ctx context.Context) error { return (*redlock.Leases)(l).Unlock(ctx) }

// turnsLocker is a library that takes two locks for each lock that is asked for, one after the
// other. All its callers take them in the same order.
type turnsLocker struct{ locker }

func openInTurn(open func(context.Context, []string) (locker, error)) func(context.Context, []string) (locker, error) {
	return func(ctx context.Context, addrs []string) (locker, error) {
		l, err := open(ctx, addrs)
		return turnsLocker{l}, err
	}
}

func (l turnsLocker) lock(ctx context.Context, name string) (held, error) {
	first, err := l.locker.lock(ctx, name+":0")
	if err != nil {
		return nil, err
	}
	second, err := l.locker.lock(ctx, name+":1")
	if err != nil {
		return nil, errors.Join(err, first.unlock(context.WithoutCancel(ctx)))
	}
	return pairHeld{first, second}, nil
}

type pairHeld struct{ first, second held }

func (h pairHeld) unlock(ctx context.Context) error {
	return errors.Join(h.second.unlock(ctx), h.first.unlock(ctx))
}
