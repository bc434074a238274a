package redlock

import (
	"time"

	"github.com/go-redlock/redlock/internal/clock"
)

// A Clock tells a [Locker] the time. The default is the system's; [WithClock] sets another, for
// tests and simulations. Implementations must be safe for concurrent use.
type Clock interface {
	// Now returns the current time. Only differences between two results are used. The clock must
	// run steadily and never step, like the monotonic reading in the result of [time.Now].
	Now() time.Time

	// Wall returns the time of day. Fencing tokens start from it, and it shows that the machine was
	// suspended, when the clock behind Now may stand still. It may step: a step forward may end a
	// lease early; no step makes a lease last longer.
	Wall() time.Time

	// AfterFunc calls f in its own goroutine once d has elapsed by Now. The Timer's Reset must
	// follow Now too: a clock that does not run like the system's cannot return a plain
	// *time.Timer.
	AfterFunc(d time.Duration, f func()) Timer
}

// A Timer is started by [Clock.AfterFunc]. A [*time.Timer] is a Timer.
type Timer interface {
	// Stop prevents the call. It returns false if the call was already started or stopped.
	Stop() bool
	// Reset schedules the call, or another call, for once d has elapsed from now.
	Reset(d time.Duration) bool
}

// A givenClock adapts the clock given to [WithClock] to clock.Clock.
type givenClock struct{ Clock }

// AfterFunc implements clock.Clock.
func (c givenClock) AfterFunc(d time.Duration, f func()) clock.Timer {
	return c.Clock.AfterFunc(d, f)
}

// The usual drift allowance of Redlock implementations: a hundredth of the TTL for clocks that run
// at different rates, and two milliseconds for the resolution of the servers' expiry (1 ms) and for
// small TTLs.
const (
	driftDivisor = 100
	driftBase    = 2 * time.Millisecond
)

// graceDivisor and maxGrace: see withGrace.
const (
	graceDivisor = 8
	maxGrace     = 3 * time.Millisecond
)

// drift is how much sooner than its TTL a lock must count as expired, because the clocks of the
// nodes and ours may run at different rates.
func drift(ttl time.Duration) time.Duration { return ttl/driftDivisor + driftBase }

// validity is how long a lock is valid from the moment before its first request was sent.
func validity(ttl time.Duration) time.Duration { return ttl - drift(ttl) }

// withGrace is how long to wait for a request whose limit is the node timeout. When that is over
// the line reports why there is no answer, but a moment late: a connection keeps its deadline
// within 2 ms (see pool), and a goroutine must be woken.
func withGrace(timeout time.Duration) time.Duration {
	return timeout + min(timeout/graceDivisor, maxGrace)
}
