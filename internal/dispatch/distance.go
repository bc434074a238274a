package dispatch

import (
	"sync/atomic"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/wire"
)

const (
	// Weights of the newest measurement: alpha and beta of RFC 6298, section 2, "Computing TCP's
	// Retransmission Timer".
	smoothing, varying = 8, 4

	// DueTrips is how many round trips an answer may take: the one before it on the line, which may
	// carry a batch, its own, and one for what the network adds. dueVariations, K in RFC 6298, is
	// how many times their variation comes on top.
	DueTrips, dueVariations = 3, 4

	// minSilence is the least time after which a node counts as silent, however near it is: an
	// answer that has come may have to wait that long for a processor (forcePreemptNS in the Go
	// runtime's scheduler).
	minSilence = 10 * time.Millisecond

	// ConnectGrace is for how long connections in the making are waited for: the least time that a
	// connection is given.
	ConnectGrace = time.Second
)

// A roundTrip is how long a node takes to answer: smoothed, with its mean variation, as TCP keeps
// it for its retransmissions (RFC 6298). One batch that took long hardly moves it; a lasting change
// does, in about ten answers.
type roundTrip struct {
	smoothed, variation time.Duration
	// the outcome, in nanoseconds, for those who have no lock; 0: nothing is known
	due atomic.Int64
}

// measured adds a measurement. One at a time.
func (r *roundTrip) measured(d time.Duration) {
	if r.due.Load() == 0 {
		r.smoothed, r.variation = d, d/2
	} else {
		r.variation += ((r.smoothed - d).Abs() - r.variation) / varying
		r.smoothed += (d - r.smoothed) / smoothing
	}
	r.due.Store(max(int64(DueTrips*r.smoothed+dueVariations*r.variation), 1))
}

// risen has a node that went silent measured anew where it tells that round trips to it take longer
// than they did: what comes after the node timeout is never seen.
func (r *roundTrip) risen(n wire.Node) {
	if d := distance(n); r.due.Load() != 0 && d > r.smoothed {
		r.due.Store(0)
		r.measured(d)
	}
}

// distance is how long a round trip to the node takes by what it knows from when its connections
// were made, which may be before it has answered any request. Zero if it does not know.
func distance(n wire.Node) time.Duration {
	if far, ok := n.(distant); ok {
		return far.RoundTrip()
	}
	return 0
}

// A distant node is one that connections are made to.
type distant interface{ RoundTrip() time.Duration }

// Due is how long an answer of the node may take before something must be wrong: several of its own
// round trips. It is zero while nothing is known of them.
func (ln *Line) Due() time.Duration {
	if d := ln.rtt.due.Load(); d != 0 {
		return time.Duration(d)
	}
	return (DueTrips + dueVariations/2) * distance(ln.node)
}

// Unmeasured reports whether a connection to the node may yet tell how far away it is.
func (ln *Line) Unmeasured() bool {
	_, far := ln.node.(distant)
	return far && ln.rtt.due.Load() == 0
}

// Silence returns for how much longer the node may be awaited before it counts as silent: nothing
// has been heard of it for as long as an answer may take, though a request is under way, or no
// connection could be made for ConnectGrace. A node that is far away is not silent. Zero or less:
// it is. Of a node that has neither answered nor failed to nothing is known.
func (ln *Line) Silence(now time.Time) (left time.Duration, known bool) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	due := ln.Due()
	switch {
	case ln.probing && (ln.connecting.IsZero() || now.Sub(ln.connecting) >= ConnectGrace):
		return 0, true
	case due == 0:
		return 0, false
	case ln.asked.IsZero():
		return max(due, minSilence), true
	}
	return max(due, minSilence) - now.Sub(ln.asked), true
}

// Connects reports whether a connection to the node is being made, and has not been for long; or
// else, whether that may be found out in a moment. The first request to a node may have been sent
// late over the connection that it had to wait for.
func (ln *Line) Connects() (sure, perhaps bool) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	recent := func(at time.Time) bool { return !at.IsZero() && clock.IO().Sub(at) < ConnectGrace }
	_, far := ln.node.(distant)
	sure = recent(ln.connecting) || far && ln.heard.IsZero() && recent(ln.asked)
	return sure, far && !ln.probing && recent(ln.asked)
}
