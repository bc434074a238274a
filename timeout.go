package redlock

import (
	"context"
	"time"

	"github.com/go-redlock/redlock/internal/dispatch"
	"github.com/go-redlock/redlock/internal/quorum"
)

const (
	// timeoutDivisor: the node timeout follows the round trips up to this part of the validity. A
	// renewal, which begins when a third of the TTL is over, then has time for a second try.
	timeoutDivisor = 4

	// connectLooks is how often, connectLook apart, TryLock checks whether a quorum is missing only
	// because connections are still being made.
	connectLooks, connectLook = 5, time.Millisecond
)

// timeout is how long a node may take over a request: as long as [WithNodeTimeout] says, or else a
// part of the TTL, or longer if the farthest node needs it and the validity allows it.
func (en *engine) timeout(t *terms) time.Duration {
	d := en.usualTimeout(t)
	if most := validity(t.ttl) / timeoutDivisor; en.nodeTimeout == 0 && d < most {
		for _, ln := range en.lines {
			d = max(d, min(ln.Due(), most))
		}
	}
	return d
}

// spare is how much longer than the node timeout a request to the node may live. The node timeout
// may rise meanwhile, when the connection that the request waits for shows how far away the node
// is.
func (en *engine) spare(t *terms, ln *dispatch.Line) time.Duration {
	if !ln.Unmeasured() || en.nodeTimeout != 0 {
		return 0
	}
	return max(min(dispatch.ConnectGrace, validity(t.ttl)/timeoutDivisor)-en.timeout(t), 0)
}

// connecting reports whether the quorum that e lacks is missing only because of connections that
// have been in the making for less than dispatch.ConnectGrace. The lines learn a moment after the
// attempt has ended why it failed, so connecting looks several times.
func (en *engine) connecting(ctx context.Context, e *QuorumError) bool {
	for range connectLooks {
		known, perhaps := 0, 0
		for _, ln := range en.lines {
			switch sure, asked := ln.Connects(); {
			case sure:
				known++
			case asked:
				perhaps++
			}
		}
		vote := quorum.Vote{Needed: e.Needed, Ayes: e.Granted + e.Held + known, Pending: perhaps}
		switch outcome := vote.Outcome(); {
		case known > 0 && outcome == quorum.Yes:
			return true
		case outcome == quorum.Neither, en.pause(ctx, connectLook) != nil:
			return false
		}
	}
	return false
}
