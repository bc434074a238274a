package redlock

import (
	"context"

	"github.com/go-redlock/redlock/internal/clock"
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
	a.abandon(0, nil)
	return false
}
