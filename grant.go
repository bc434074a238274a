package redlock

import (
	"context"

	"github.com/go-redlock/redlock/internal/clock"
)

// A grant is an attempt that was won, and the lease that may be made of it.
type grant struct {
	attempt  *attempt
	fence    uint64       // 0 with a fenced attempt: none is left, a block must be reserved first
	start    clock.Moment // when the lease begins
	deadline clock.Moment
}

// grantOf is what an attempt that was won gives.
func grantOf(a *attempt) grant {
	return grant{attempt: a, fence: a.state.Token, start: a.start, deadline: a.deadline()}
}

// ready sees to it that a lock that was handed over can be held: that it has a token and time left,
// and no majority has said meanwhile that it is lost. If not it is released.
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
