package main

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/go-redlock/redlock"
)

// manyPermits is of how many permits a lone caller takes one; fewPermits is how many processes
// share.
const manyPermits, fewPermits = 16, 4

// permitLocker is this library, with a permit of a semaphore for each lock that is asked for.
type permitLocker struct {
	ourLocker
	permits int
	taken   int // which are held all the time

	once      sync.Once
	semaphore *redlock.Semaphore // as a program keeps it
}

func openPermits(permits, taken int) func(context.Context, []string) (locker, error) {
	return func(_ context.Context, addrs []string) (locker, error) {
		l, err := openOurs(addrs)
		if err != nil {
			return nil, err
		}
		return &permitLocker{ourLocker: l.(ourLocker), permits: permits, taken: taken}, nil //nolint:forcetypeassert // it is
	}
}

func (l *permitLocker) lock(ctx context.Context, name string) (held, error) {
	var err error
	l.once.Do(func() {
		l.semaphore = l.Semaphore(name, l.permits)
		s := l.Semaphore(name, l.permits, redlock.WithTTL(time.Hour))
		for range l.taken {
			if _, err = s.Acquire(ctx); err != nil {
				return
			}
		}
	})
	if err != nil {
		return nil, err
	}
	lease, err := l.semaphore.Acquire(ctx)
	return (*ourLease)(lease), err
}

const (
	inUse      = "permits in use"
	slotGap    = "gap of a slot"
	inAllTurns = "p99 in turns of all"
)

// share adds what n processes that share a lock, or permits, made of it: how many were in use on
// average, for how long each slot was idle between two holders, and how long the slowest waited,
// in times that it takes until everybody has had a turn.
func (v values) share(c contestant, n int, hold time.Duration) {
	permits := 1.
	if strings.Contains(c.name, "permits") {
		permits = fewPermits
	}
	v[inUse] = v[rate] * hold.Seconds()
	v[slotGap] = permits*1e6/v[rate] - micros(hold)
	v[inAllTurns] = v[p99] * v[rate] / 1e6 / float64(n)
}
