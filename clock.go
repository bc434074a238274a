package redlock

import (
	"time"

	"github.com/go-redlock/redlock/internal/clock"
)

// A Clock tells a [Locker] the time. The default is the system's; [WithClock] sets another, for
// tests and simulations. Implementations must be safe for concurrent use.
type Clock interface {
	// Now returns the current time. Only differences between two results are used; they must be
	// those of a clock that runs steadily and never steps, as the monotonic reading that [time.Now]
	// carries does.
	Now() time.Time

	// Wall returns the time of day. It is the hint from which fencing tokens grow, and it tells of
	// a suspended machine, during which the clock behind Now may stand still. It may step: a step
	// forward may end a lease early, none lengthens one.
	Wall() time.Time

	// AfterFunc calls f in a goroutine of its own once d has elapsed by Now. The Timer's Reset goes
	// by Now too: a clock that does not run as the system's does cannot return a plain *time.Timer.
	AfterFunc(d time.Duration, f func()) Timer
}

// A Timer is what [Clock.AfterFunc] started. [*time.Timer] is one.
type Timer interface {
	// Stop prevents the call. It returns false if the call was started or stopped before.
	Stop() bool
	// Reset makes the call come, or come again, once d has elapsed from now.
	Reset(d time.Duration) bool
}

// A givenClock is a clock that [WithClock] gave, as the rest of the library knows it.
type givenClock struct{ Clock }

// AfterFunc implements clock.Clock.
func (c givenClock) AfterFunc(d time.Duration, f func()) clock.Timer {
	return c.Clock.AfterFunc(d, f)
}

// The drift allowance that implementations of Redlock have settled on: a hundredth of the TTL for
// clocks that run at different rates, and two milliseconds for the resolution of the servers'
// expiry (1 ms) and for small TTLs.
const (
	driftDivisor = 100
	driftMin     = 2 * time.Millisecond
)

// graceDivisor and maxGrace: see withGrace.
const (
	graceDivisor = 8
	maxGrace     = 3 * time.Millisecond
)

// drift is how much sooner than its TTL a lock must be taken for expired, for the clocks of the
// nodes and ours may run at different rates.
func drift(ttl time.Duration) time.Duration { return ttl/driftDivisor + driftMin }

// validity is how long a lock is valid from the moment before its first request was sent.
func validity(ttl time.Duration) time.Duration { return ttl - drift(ttl) }

// withGrace is how long to wait for a request that has the node timeout. When that is over its line
// says why there is no answer, a moment late: a connection's deadline is kept within 2 ms (see
// pool), and a goroutine must be woken.
func withGrace(timeout time.Duration) time.Duration {
	return timeout + min(timeout/graceDivisor, maxGrace)
}
