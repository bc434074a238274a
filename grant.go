package redlock

import (
	"context"
	"log/slog"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/quorum"
)

// A grant is an attempt that was won, with the terms of its next lease.
type grant struct {
	attempt  *attempt
	fence    uint64       // 0 if fenced: no token is left, and a block must be reserved first
	start    clock.Moment // when the lease begins
	deadline clock.Moment
	beside   bool // no grant, but the right to ask for a shared lock once
}

// grantOf returns the grant of an attempt that was just won.
func grantOf(a *attempt) grant {
	return grant{attempt: a, fence: a.state.Token, start: a.start, deadline: a.deadline()}
}

// ready reports whether a lock that was handed over can be held: it has a token (reserved here if
// necessary) and time left, and no majority has meanwhile reported its loss. If not, ready releases
// it.
func (g *grant) ready(ctx context.Context) bool {
	a := g.attempt
	if g.fence == 0 && !a.terms.plain {
		g.fence, _ = a.reserve(ctx)
	}
	a.mu.Lock()
	defer a.unlock()
	if !a.lost && g.deadline.Until(clock.Present(a.engine.clock)) > 0 && (g.fence != 0 || a.terms.plain) {
		return true
	}
	a.abandon(0, false)
	return false
}

// spoiled notes that the lock that was handed over has been abandoned.
func (q *localQueue) spoiled() {
	q.queues.mu.Lock()
	defer q.queues.mu.Unlock()
	q.holder = nil
	q.held--
}

// handOver ends the lease and gives its lock to the next waiter in the queue, without a request to
// the nodes. It reports whether it did so. The lock must be safely held, and have been held for
// less than maxTurn. With the attempt's mu held.
func (le *Lease) handOver(now clock.Moment) bool {
	a := le.attempt
	if a.state.Phase() != quorum.Won || now.Mono.Sub(a.start.Mono) >= maxTurn || le.deadline.Until(now) < a.terms.ttl/2 {
		return false
	}
	w := le.queue.popCompatible(le.terms)
	if w == nil {
		return false
	}
	le.end(ErrReleased, now.Mono)
	le.gone.Store(true)
	a.lease = nil
	le.queueEvent(slog.LevelDebug, "redlock: lease handed over", ReleasedEvent{Name: a.target.name, Kind: a.target.kind().name(), Held: now.Mono.Sub(le.start.Mono)})
	w.turn <- grant{attempt: a, fence: a.state.NextToken(), start: now, deadline: le.deadline}
	return true
}
