package redlock

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/pool"
)

const (
	// Weights of the newest measurement: alpha and beta of RFC 6298, section 2, "Computing TCP's Retransmission Timer".
	smoothing, varying = 8, 4

	// dueTrips is how many round trips an answer may take: the one before it on the line, which may carry a batch, its own, and
	// one for what the network adds. dueVariations, K in RFC 6298, is how many times their variation comes on top.
	dueTrips, dueVariations = 3, 4

	// minSilence is the least time after which a node counts as silent, however near it is: an answer that has come may have
	// to wait that long for a processor (forcePreemptNS in the Go runtime's scheduler).
	minSilence = 10 * time.Millisecond

	// timeoutDivisor: the node timeout follows the round trips up to this part of the validity. A renewal, which begins when a
	// third of the TTL is over, then has time for a second try.
	timeoutDivisor = 4

	// connectGrace is for how long TryLock goes on where nothing but connections in the making is missing: the least time that
	// a connection is given.
	connectGrace = time.Second
	// connectLooks is how often, connectLook apart, it looks whether that is so.
	connectLooks, connectLook = 5, time.Millisecond
)

// A roundTrip is how long a node takes to answer: smoothed, with its mean variation, as TCP keeps it for its
// retransmissions (RFC 6298). One batch that took long hardly moves it; a lasting change does, in about ten answers.
type roundTrip struct {
	smoothed, variation time.Duration
	due                 atomic.Int64 // the outcome, in nanoseconds, for those who have no lock; 0: nothing is known
}

// measured adds a measurement. One at a time.
func (r *roundTrip) measured(d time.Duration) {
	if r.due.Load() == 0 {
		r.smoothed, r.variation = d, d/2
	} else {
		r.variation += ((r.smoothed - d).Abs() - r.variation) / varying
		r.smoothed += (d - r.smoothed) / smoothing
	}
	r.due.Store(max(int64(dueTrips*r.smoothed+dueVariations*r.variation), 1))
}

// risen has a node that went silent measured anew where it tells that round trips to it take longer than they did: what
// comes after the node timeout is never seen.
func (r *roundTrip) risen(n pool.Node) {
	if d := distance(n); r.due.Load() != 0 && d > r.smoothed {
		r.due.Store(0)
		r.measured(d)
	}
}

// distance is how long a round trip to the node takes by what it knows from when its connections were made, which may be
// before it has answered any request. Zero if it does not know.
func distance(n pool.Node) time.Duration {
	if far, ok := n.(distant); ok {
		return far.RoundTrip()
	}
	return 0
}

// A distant node is one that connections are made to.
type distant interface{ RoundTrip() time.Duration }

// due is how long an answer of the node may take before something must be wrong: several of its own round trips. It is zero
// while nothing is known of them.
func (ln *line) due() time.Duration {
	if d := ln.rtt.due.Load(); d != 0 {
		return time.Duration(d)
	}
	return (dueTrips + dueVariations/2) * distance(ln.node)
}

// silence returns for how much longer the node may be awaited before it counts as silent: nothing has been heard of it for
// as long as an answer may take, though a request is under way, or no connection could be made for connectGrace. A node
// that is far away is not silent. Zero or less: it is. Of a node that has neither answered nor failed to nothing is known.
func (ln *line) silence(now time.Time) (left time.Duration, known bool) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	due := ln.due()
	switch {
	case ln.sick && (ln.connecting.IsZero() || now.Sub(ln.connecting) >= connectGrace):
		return 0, true
	case due == 0:
		return 0, false
	case ln.asked.IsZero():
		return max(due, minSilence), true
	}
	return max(due, minSilence) - now.Sub(ln.asked), true
}

// timeout is how long a node may take over a request: what [WithNodeTimeout] says, or else a part of the TTL, and longer
// than that where the farthest node needs it and the validity allows.
func (l *Locker) timeout(t *terms) time.Duration {
	d := l.usualTimeout(t)
	if most := validity(t.ttl) / timeoutDivisor; l.nodeTimeout == 0 && d < most {
		for _, ln := range l.lines {
			d = max(d, min(ln.due(), most))
		}
	}
	return d
}

// spare is for how much longer than the node timeout a request to the node is let live, for that may rise meanwhile: when the
// connection that the request waits for tells how far away the node is.
func (l *Locker) spare(t *terms, ln *line) time.Duration {
	if _, far := ln.node.(distant); !far || l.nodeTimeout != 0 || ln.rtt.due.Load() != 0 {
		return 0
	}
	return max(min(connectGrace, validity(t.ttl)/timeoutDivisor)-l.timeout(t), 0)
}

// connecting reports whether the quorum that e lacks is missing only because of connections that are still being made, and
// have been for less than connectGrace. What was found out when the attempt ended takes a moment to be known.
func (l *Locker) connecting(ctx context.Context, e *QuorumError) bool {
	for range connectLooks {
		known, perhaps := 0, 0
		for _, ln := range l.lines {
			switch sure, asked := ln.connects(); {
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

// connects reports whether a connection to the node is being made, and has not been for long; or else, whether that may be
// found out in a moment. The first request to a node may have been sent late over the connection that it had to wait for.
func (ln *line) connects() (sure, perhaps bool) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	recent := func(at time.Time) bool { return !at.IsZero() && clock.IO().Sub(at) < connectGrace }
	_, far := ln.node.(distant)
	sure = recent(ln.connecting) || far && ln.heard.IsZero() && recent(ln.asked)
	return sure, far && !ln.sick && recent(ln.asked)
}
