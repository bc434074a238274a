package redlock

import (
	"context"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/dispatch"
	"github.com/go-redlock/redlock/internal/quorum"
	"github.com/go-redlock/redlock/internal/wire"
)

// maxTurn is how long a lock is handed from one to the next inside this process before other
// processes get their chance to take it. By as much, at most, a block of tokens is ahead of all
// clocks: see blockTop.
const maxTurn = 10 * time.Millisecond

// reserve gets the attempt a block of tokens, above all that it had: a majority of the nodes that
// accepted its token, and have had the lock for it ever since, raises its register to the top of
// the block. No other node counts: another owner may have been given a token there that lies within
// the block. It returns the first token.
func (a *attempt) reserve(ctx context.Context) (uint64, error) {
	a.mu.Lock()
	v := &reservation{attempt: a, top: a.blockTop(a.now()), vote: quorum.NewVote(len(a.engine.lines), a.engine.quorum), done: make(chan struct{})}
	r := a.request(wire.Repair)
	r.Token = v.top
	timeout := a.timeout
	until := clock.IO().Add(timeout)
	for _, ln := range a.engine.lines {
		ln.Send(dispatch.Call{To: v, Request: r, Until: until, Within: a.timeout})
	}
	a.unlock()

	over, timer := clock.After(a.engine.clock, timeout)
	defer timer.Stop()
	select {
	case <-v.done:
	case <-over:
	case <-ctx.Done():
	}
	a.mu.Lock()
	defer a.unlock()
	if v.vote.Outcome() != quorum.Yes {
		return 0, ErrNoQuorum
	}
	a.state.Reserve(v.top)
	a.extend, a.rejoin = nil, nil // they tell the nodes the top
	a.engine.tokens.observe(a.keys().Lock, v.top)
	return a.state.NextToken(), nil
}

// blockTop is the last token of the next block. Tokens grow from clocks: where the registers are
// lost, and the clocks agree, a later lock has a greater token only if no token was ahead of them.
// So a block is the microseconds that have passed since the token was chosen, and for what is to
// come once more as many; at least one. However short turns are, and however many, tokens are ahead
// of all clocks by no more than a turn lasts. With mu held.
func (a *attempt) blockTop(now clock.Moment) uint64 {
	wall := uint64(max(now.Wall.Microseconds(), 1))
	lasted := min(max(now.Mono.Sub(a.start.Mono), 0), maxTurn)
	return max(max(wall, a.state.Token)+uint64(lasted.Microseconds()), a.state.Top+1)
}

// A reservation counts the nodes that accept the top of a block, of those that may. The attempt's
// mu guards it.
type reservation struct {
	attempt *attempt
	top     uint64
	vote    quorum.Vote
	done    chan struct{}
}

func (v *reservation) Wanted(*wire.Request) bool { return true }

// Answered implements dispatch.Receiver.
func (v *reservation) Answered(i int, _ *wire.Request, reply wire.Reply) {
	v.attempt.mu.Lock()
	defer v.attempt.unlock()
	decided := v.vote.Outcome() != quorum.Open
	side := quorum.Neither
	if v.attempt.state.Vouches(i, &reply, !v.attempt.engine.lines[i].Duplicate()) {
		side = quorum.Yes
	}
	v.vote.Count(side, "")
	if !decided && v.vote.Outcome() != quorum.Open {
		close(v.done)
	}
}
