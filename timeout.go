package redlock

import (
	"context"
	"time"

	"github.com/go-redlock/redlock/internal/dispatch"
)

const (
	// timeoutDivisor: the node timeout follows the round trips up to this part of the validity. A
	// renewal, which begins when a third of the TTL is over, then has time for a second try.
	timeoutDivisor = 4

	// connectLooks is how often, connectLook apart, TryLock looks whether nothing but connections
	// in the making is missing.
	connectLooks, connectLook = 5, time.Millisecond
)

// timeout is how long a node may take over a request: what [WithNodeTimeout] says, or else a part
// of the TTL, and longer than that where the farthest node needs it and the validity allows.
func (l *Locker) timeout(t *terms) time.Duration {
	d := l.usualTimeout(t)
	if most := validity(t.ttl) / timeoutDivisor; l.nodeTimeout == 0 && d < most {
		for _, ln := range l.lines {
			d = max(d, min(ln.Due(), most))
		}
	}
	return d
}

// spare is for how much longer than the node timeout a request to the node is let live, for that
// may rise meanwhile: when the connection that the request waits for tells how far away the node
// is.
func (l *Locker) spare(t *terms, ln *dispatch.Line) time.Duration {
	if !ln.Unmeasured() || l.nodeTimeout != 0 {
		return 0
	}
	return max(min(dispatch.ConnectGrace, validity(t.ttl)/timeoutDivisor)-l.timeout(t), 0)
}

// connecting reports whether the quorum that e lacks is missing only because of connections that
// are still being made, and have been for less than dispatch.ConnectGrace. What was found out when
// the attempt ended takes a moment to be known.
func (l *Locker) connecting(ctx context.Context, e *QuorumError) bool {
	for range connectLooks {
		known, perhaps := 0, 0
		for _, ln := range l.lines {
			switch sure, asked := ln.Connects(); {
			case sure:
				known++
			case asked:
				perhaps++
			}
		}
		most := e.Granted + e.Held + known
		if known > 0 && most >= e.Needed {
			return true
		}
		if most+perhaps < e.Needed || l.pause(ctx, connectLook) != nil {
			return false
		}
	}
	return false
}
