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

	// DueTrips is how many round trips an answer may take: the trip before it on the line, which
	// may carry a batch, its own, and one for delays of the network. dueVariations, K in RFC 6298,
	// is how many times their variation is added.
	DueTrips, dueVariations = 3, 4

	// minSilence is the least time after which a node counts as silent, however near it is: an
	// answer that has arrived may wait that long for a processor (forcePreemptNS in the Go
	// runtime's scheduler).
	minSilence = 10 * time.Millisecond

	// ConnectGrace is how long to wait for connections that are being made: every connection gets
	// at least that long.
	ConnectGrace = time.Second
)

// A roundTrip is how long a node takes to answer: smoothed, with its mean variation, as TCP keeps
// it for its retransmissions (RFC 6298). One slow batch hardly changes it; a lasting change does,
// within about ten answers.
type roundTrip struct {
	smoothed, variation time.Duration
	// the outcome, in nanoseconds, for readers without the lock; 0: unknown
	due atomic.Int64
}

// measured adds a measurement. Calls must not overlap.
func (r *roundTrip) measured(d time.Duration) {
	if r.due.Load() == 0 {
		r.smoothed, r.variation = d, d/2
	} else {
		r.variation += ((r.smoothed - d).Abs() - r.variation) / varying
		r.smoothed += (d - r.smoothed) / smoothing
	}
	r.due.Store(max(int64(DueTrips*r.smoothed+dueVariations*r.variation), 1))
}

// risen restarts the measurement for a node that went silent, if the node reports longer round
// trips than were measured: answers that come after the node timeout are never measured.
func (r *roundTrip) risen(n wire.Node) {
	if d := distance(n); r.due.Load() != 0 && d > r.smoothed {
		r.due.Store(0)
		r.measured(d)
	}
}

// distance is how long a round trip to the node takes, as measured when its connections were made.
// It may be known before the node has answered any request. Zero: unknown.
func distance(n wire.Node) time.Duration {
	if far, ok := n.(distant); ok {
		return far.RoundTrip()
	}
	return 0
}

// A distant node is one to which connections are made.
type distant interface{ RoundTrip() time.Duration }

// Due is how long an answer of the node may take before something must be wrong: several of its own
// round trips. It is zero while these are unknown.
func (ln *Line) Due() time.Duration {
	if d := ln.rtt.due.Load(); d != 0 {
		return time.Duration(d)
	}
	return (DueTrips + dueVariations/2) * distance(ln.node)
}

// Unmeasured reports whether a new connection to the node may still show how far away it is.
func (ln *Line) Unmeasured() bool {
	_, far := ln.node.(distant)
	return far && ln.rtt.due.Load() == 0
}

// Silence returns how long to wait for the node until it counts as silent; zero or less if it is
// silent now. A node is silent if a request is under way and nothing has come from the node for as
// long as an answer may take, or if no connection could be made for ConnectGrace. So a distant node
// is not silent. known is false if the node has neither answered nor failed to answer yet.
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

// Connects reports whether it is sure that a connection to the node is being made, and has not been
// for long; or else, whether that may become known in a moment. The first request to a node may
// have been sent late, because it had to wait for its connection.
func (ln *Line) Connects() (sure, perhaps bool) {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	recent := func(at time.Time) bool { return !at.IsZero() && clock.IO().Sub(at) < ConnectGrace }
	_, far := ln.node.(distant)
	sure = recent(ln.connecting) || far && ln.heard.IsZero() && recent(ln.asked)
	return sure, far && !ln.probing && recent(ln.asked)
}

// nearRoom is how many patient calls may wait for a round trip to a near node before the line has
// no room for another. Each millisecond of distance adds as many, because a round trip takes longer
// then. A near server takes that long for half of them.
const nearRoom = 64

// HasRoom reports whether few patient calls wait for a round trip to the node. Then another one is
// under way soon.
func (ln *Line) HasRoom() bool {
	far := distance(ln.node)
	if far == 0 {
		far = ln.Due() / DueTrips
	}
	room := min(nearRoom*(1+int(far/time.Millisecond)), maxBatch)
	ln.mu.Lock()
	defer ln.mu.Unlock()
	return ln.patient < room
}
