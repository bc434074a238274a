package redlock

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	minBackoff, maxBackoff = 5 * time.Millisecond, 200 * time.Millisecond

	// splitTimeouts is for how many node timeouts TryLock goes on when the votes were split.
	splitTimeouts = 4
)

// await takes the lock, however long that takes within ctx and the terms' wait.
func (m *Mutex) await(ctx context.Context, t *terms) (*claim, error) {
	if t.wait != Forever {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.wait)
		defer cancel()
	}
	var last *QuorumError // the last verdict
	for n := 0; ; n++ {
		c, err := m.attempt(ctx, t)
		if err == nil {
			return c, nil
		}
		if !errors.As(err, &last) {
			return nil, m.waitOver(ctx, last)
		}
		if last.permanent() {
			return nil, last
		}
		if err := m.pause(ctx, backoff(n, last.RetryAfter)); err != nil {
			if errors.Is(err, ErrClosed) {
				return nil, err
			}
			return nil, m.waitOver(ctx, last)
		}
	}
}

// try takes the lock if it is free. It tries again only while no owner has a majority: then simultaneous callers have
// split the nodes between them, and none may have got it.
func (m *Mutex) try(ctx context.Context, t *terms) (*claim, error) {
	l := m.locker
	patience := present(l.clock).add(splitTimeouts * l.config.timeout(t))
	for n := 0; ; n++ {
		began := l.clock.Now()
		c, err := m.attempt(ctx, t)
		var last *QuorumError
		switch {
		case err == nil:
			return c, nil
		case !errors.As(err, &last):
			return nil, m.waitOver(ctx, nil)
		case last.owned, errors.Is(last, ErrNoQuorum), patience.until(present(l.clock)) <= 0:
			return nil, last
		}
		spread := max(l.clock.Now().Sub(began), time.Millisecond) << min(n+2, 8)
		if err := m.pause(ctx, rand.N(min(spread, l.config.timeout(t)))); err != nil { //nolint:gosec // jitter
			if errors.Is(err, ErrClosed) {
				return nil, err
			}
			return nil, m.waitOver(ctx, last)
		}
	}
}

// backoff is how long to wait after the n-th attempt, unless the nodes have told that the lock may be had sooner.
func backoff(n int, retryAfter time.Duration) time.Duration {
	d := min(minBackoff<<min(n, 16), maxBackoff)
	d = d/2 + rand.N(d) //nolint:gosec // jitter
	if retryAfter > 0 {
		d = min(d, retryAfter+rand.N(minBackoff)) //nolint:gosec // jitter
	}
	return d
}

// pause waits for d. It returns an error if ctx ended or the Locker was closed first.
func (m *Mutex) pause(ctx context.Context, d time.Duration) error {
	l := m.locker
	over := make(chan struct{})
	timer := l.clock.AfterFunc(d, func() { close(over) })
	defer timer.Stop()
	select {
	case <-over:
		return nil
	case <-l.closed:
		return l.closedError("lock", m.name)
	case <-ctx.Done():
		return ended(ctx)
	}
}

// waitOver is the error of a wait that ctx ended: the last verdict, if there was one, and the context's error.
func (m *Mutex) waitOver(ctx context.Context, last *QuorumError) error {
	if last == nil {
		return fmt.Errorf("redlock: lock %q: %w", m.name, ended(ctx))
	}
	last.cause = ended(ctx)
	return last
}
