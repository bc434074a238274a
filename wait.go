package redlock

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/jitter"
)

const (
	minBackoff, maxBackoff = 5 * time.Millisecond, 200 * time.Millisecond

	// Without a quorum, a waiter rests for about an eighth of the time for which it had none. But
	// it rests no longer than maxRest, or restFactor times what its attempt took: an attempt that
	// is refused costs little. If it asked as often as at first, a thousand processes that start at
	// once would keep their machine so busy, with making connections anew, that none is answered in
	// time.
	restDivisor, restFactor, maxRest = 8, 16, 5 * time.Second

	// A waiter in the nodes' queues waits for a notice for minPatience if it saw no owner with a
	// majority, and for maxPatience if it saw one.
	minPatience, maxPatience = 500 * time.Millisecond, 4 * time.Second

	// foreignPatience is how long it waits for another program's lock, whose release sends no
	// notice.
	foreignPatience = 200 * time.Millisecond

	// splitTimeouts is for how many node timeouts TryLock makes further attempts after the votes
	// were split. The last attempt may insist until maxSplit node timeouts are over. Its answers
	// may take another one.
	splitTimeouts, maxSplit = 3, 5
)

// await takes the lock. It waits for it as long as ctx and the terms' wait allow.
func (m *Mutex) await(ctx context.Context, q *localQueue, t *terms, began time.Time) (grant, error) {
	if t.wait != Forever {
		var stop func()
		ctx, stop = m.locker.within(ctx, t.wait)
		defer stop()
	}
	g, turn, err := m.enter(ctx, q, t)
	if !turn {
		return g, err
	}
	has := false
	defer func() {
		if !has { // or an Observer panicked
			q.giveUp()
		}
	}()
	if g.attempt != nil {
		if has = g.ready(ctx); has {
			return g, nil
		}
		q.spoiled()
	}
	if ctx.Err() != nil { // its wait was over when its turn came
		return grant{}, q.refused(ctx)
	}
	g, err = m.contend(ctx, q, t, began)
	has = err == nil
	return g, err
}

// enter waits in the local queue. It returns true when it is the call's turn to hold the lock, if
// the grant has one, or to contend for it. Otherwise several may hold it, and the grant is the
// call's, or there is an error.
func (m *Mutex) enter(ctx context.Context, q *localQueue, t *terms) (g grant, turn bool, err error) {
	defer func() {
		if !turn && g.attempt == nil { // or an Observer panicked
			q.leave()
		}
	}()
	for {
		g, err = q.wait(ctx, t)
		switch {
		case err != nil:
			return grant{}, false, err
		case g.beside:
			if g, err = m.beside(ctx, q, t); err != nil || g.attempt != nil {
				return g, false, err
			}
		case q.permits == 0 || g.attempt == nil:
			return g, true, nil
		case g.ready(ctx):
			return g, false, nil
		}
		// what it was offered is gone, and it is not its turn to contend
	}
}

// within returns a context that ends with ctx, or after that wait. Call stop when it is no longer
// needed.
func (l *Locker) within(ctx context.Context, wait time.Duration) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := l.clock.AfterFunc(wait, func() { cancel(errWaited) })
	if until := clock.IO().Add(wait); lasts(ctx, until) {
		ctx = &waitContext{ctx, until}
	}
	return ctx, func() {
		timer.Stop()
		cancel(nil)
	}
}

// A waitContext is a context that ends with [WithWait], and reports that time as its deadline.
type waitContext struct {
	context.Context //nolint:containedctx // it is one
	until           time.Time
}

// Deadline implements context.Context.
func (c *waitContext) Deadline() (time.Time, bool) { return c.until, true }

// lasts reports whether ctx lasts beyond that time if it is not cancelled.
func lasts(ctx context.Context, at time.Time) bool {
	until, bounded := ctx.Deadline()
	return ctx.Err() == nil && (!bounded || until.After(at))
}

// contend makes attempts until one succeeds. Between two attempts it waits in the nodes' queues for
// the notice that the lock has been passed on to it; if the nodes can send no notice, it waits for
// a while. The call began at that time.
func (m *Mutex) contend(ctx context.Context, q *localQueue, t *terms, since time.Time) (grant, error) {
	l := m.locker
	m = m.anywhere()
	// a process that has waited lately will wait again: it queues from the first attempt on
	entry := q.openEntry(since, m.slots(), l.notifier.Subscribed())
	last := q.inherit() // the last verdict
	if last != nil {
		if g, again := q.hear(ctx, t, entry, patience(last)); g.attempt != nil {
			return g, nil
		} else if !again {
			return grant{}, m.stopped(ctx, last)
		}
		m = m.aimed(last, entry)
	}
	splits := 0        // in a row
	var dark time.Time // since when attempts have found no quorum
	for n := 0; ; n++ {
		queued := entry != nil && entry.Ready()
		if !queued && last == nil {
			entry = nil // it does not wait yet
		}
		began := l.clock.Now()
		a, err := m.runAttempt(ctx, t, entry, queued, time.Time{})
		if err == nil {
			q.acquired(a)
			return grantOf(a), nil
		}
		verdict := verdictOf(err)
		if verdict == nil {
			return grant{}, waitOver(ctx, last, err)
		}
		if last = verdict; last.permanent() {
			return grant{}, last
		}
		q.noteRefusal(last)
		entry = q.openEntry(since, m.slots(), true)
		// votes that are split between fewer nodes than a quorum are none either
		held := errors.Is(last, ErrHeld) || errors.Is(last, errSplit) && last.Granted+last.Held >= last.Needed
		var rest time.Duration
		switch {
		case held:
			dark = time.Time{}
		case dark.IsZero():
			dark = began
			fallthrough
		default:
			now := l.clock.Now()
			rest = min(now.Sub(dark)/restDivisor, restFactor*now.Sub(began), maxRest)
			l.outage.lasts(&l.journal, dark, now, last)
		}
		var again bool
		switch {
		case held && m.permits.picked():
			again = true // at once: another slot may be free
		case held && queued:
			patient := patience(last)
			if unqueued(last) {
				patient = min(patient, l.splitBackoff(0, t)<<min(3*splits, 9))
				splits++
			} else {
				splits = 0
			}
			var g grant
			if g, again = q.hear(ctx, t, entry, patient); g.attempt != nil {
				return g, nil
			}
			n = 0 // the backoff starts again
		case held && l.notifier.Subscribe(ctx, l.timeout(t)) && entry.Ready():
			again = true // at once: now the nodes can queue it
		case queued: // it listens while it rests
			var g grant
			if g, again = q.hear(ctx, t, entry, backoff(n, rest, last.RetryAfter)); g.attempt != nil {
				return g, nil
			}
		default:
			again = l.pause(ctx, backoff(n, rest, last.RetryAfter)) == nil
		}
		if !again {
			return grant{}, m.stopped(ctx, last)
		}
		m = m.aimed(last, entry)
	}
}

// try takes the lock if it is free. It tries again in two cases: no owner has a majority, because
// simultaneous callers have split the nodes between them; or connections are still being made.
func (m *Mutex) try(ctx context.Context, q *localQueue, t *terms, _ time.Time) (grant, error) {
	l, has := m.locker, false
	defer func() {
		if has {
			q.overtake()
		} else { // or an Observer panicked
			q.leave()
		}
	}()
	var own []string // fingerprints of earlier attempts, which a node may carry out late
	began := l.clock.Now()
	m = m.anywhere()
	for n := 0; ; n++ {
		a, err := m.runAttempt(ctx, t, nil, false, began.Add(maxSplit*l.timeout(t)))
		if err == nil {
			has = true
			return grantOf(a), nil
		}
		last := verdictOf(err)
		if last == nil || ctx.Err() != nil {
			return grant{}, waitOver(ctx, last, err)
		}
		split := errors.Is(last, errSplit) || m.permits.picked()
		if last.owned && slices.Contains(own, last.owner) {
			split, last.verdict = true, errSplit
		}
		switch {
		case errors.Is(last, ErrNoQuorum) && l.connecting(ctx, last):
			began = l.clock.Now() // this wait does not count
		case !split, l.clock.Now().Sub(began) >= splitTimeouts*l.timeout(t):
			return grant{}, last
		default:
			if err := l.pause(ctx, l.splitBackoff(n, t)); err != nil {
				return grant{}, m.stopped(ctx, last)
			}
		}
		own = append(own, last.self)
		m = m.aimed(last, nil)
	}
}

// backoff returns how long to wait after the n-th attempt, but no less than that rest. It is less
// if the nodes' answers show that the lock may be free sooner.
func backoff(n int, rest, retryAfter time.Duration) time.Duration {
	d := max(min(minBackoff<<min(n, 16), maxBackoff), rest)
	d = d/2 + jitter.N(d)
	if retryAfter > 0 {
		d = min(d, retryAfter+jitter.N(minBackoff))
	}
	return d
}

// patience returns how long to wait for a notice before the next attempt. It is no longer than the
// owner has the lock. It is short if there seems to be no owner, or one whose release sends no
// notice.
func patience(e *QuorumError) time.Duration {
	d := maxPatience
	switch {
	case e.foreign:
		d = foreignPatience
	case !e.owned:
		d = minPatience
	}
	d = d*3/4 + jitter.N(d/2)
	if e.RetryAfter > 0 {
		d = min(d, e.RetryAfter+jitter.N(4*minBackoff))
	}
	return d
}

// unqueued reports whether the votes were split and some were the attempt's own. The nodes that
// granted it have removed the waiter from their queues, and queue it again only when they refuse
// it. Until then they pass the lock on to another waiter than the other nodes do, so that the next
// votes are split too. If a minority is away, all nodes that answer may be needed.
func unqueued(e *QuorumError) bool { return e.Granted > 0 && errors.Is(e, errSplit) }

// stopped returns the error of a wait that was cut short after a verdict: ctx ended, or the Locker
// was closed.
func (m *Mutex) stopped(ctx context.Context, last *QuorumError) error {
	if ctx.Err() == nil {
		return closedError(m.op(), m.name)
	}
	return waitOver(ctx, last, nil)
}

// waitOver returns the error of a wait that ctx ended: the last verdict with the context's error;
// or, without a verdict, how the nodes had answered the only attempt.
func waitOver(ctx context.Context, last *QuorumError, undecided error) error {
	if last == nil {
		return undecided
	}
	e := *last // others may be looking at it
	e.cause = ended(ctx)
	return &e
}
