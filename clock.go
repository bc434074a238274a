package redlock

import "time"

// A Clock tells a [Locker] the time. The default is the system's; [WithClock] sets another, for tests and simulations.
// Implementations must be safe for concurrent use.
type Clock interface {
	// Now returns the current time. Only differences between two results are used; they must be those of a clock that
	// runs steadily and never steps, as the monotonic reading that [time.Now] carries does.
	Now() time.Time

	// Wall returns the time of day. It is the hint from which fencing tokens grow, and it tells of a suspended
	// machine, during which the clock behind Now may stand still. It may step: a step forward may end a lease early, none
	// lengthens one.
	Wall() time.Time

	// AfterFunc calls f in a goroutine of its own once d has elapsed by Now. The Timer's Reset goes by Now too: a clock that does not
	// run as the system's does cannot return a plain *time.Timer.
	AfterFunc(d time.Duration, f func()) Timer
}

// A Timer is what [Clock.AfterFunc] started. [*time.Timer] is one.
type Timer interface {
	// Stop prevents the call. It returns false if the call was started or stopped before.
	Stop() bool
	// Reset makes the call come, or come again, once d has elapsed from now.
	Reset(d time.Duration) bool
}

// systemClock is the clock of the operating system.
type systemClock struct{}

func (systemClock) Now() time.Time  { return time.Now() }
func (systemClock) Wall() time.Time { return time.Now().Round(0) } // Round strips the monotonic reading

func (systemClock) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }

// The drift allowance that implementations of Redlock have settled on: a hundredth of the TTL for clocks that run at
// different rates, and two milliseconds for the resolution of the servers' expiry (1 ms) and for small TTLs.
const (
	driftDivisor = 100
	driftMin     = 2 * time.Millisecond
)

// graceDivisor and maxGrace: see withGrace.
const (
	graceDivisor = 8
	maxGrace     = 3 * time.Millisecond
)

// drift is how much sooner than its TTL a lock must be taken for expired, for the clocks of the nodes and ours may run
// at different rates.
func drift(ttl time.Duration) time.Duration { return ttl/driftDivisor + driftMin }

// validity is how long a lock is valid from the moment before its first request was sent.
func validity(ttl time.Duration) time.Duration { return ttl - drift(ttl) }

// A moment is one point in time on two clocks. The monotonic one decides. The wall clock is there for machines that
// were suspended, where the monotonic one may have stood still: it can make a moment come earlier, never later.
type moment struct {
	mono time.Time
	wall time.Duration // since 1970
}

// present returns the current moment.
func present(c Clock) moment {
	if c == (systemClock{}) { // which tells both at a glance
		now := time.Now()
		return moment{mono: now, wall: time.Duration(now.UnixNano())}
	}
	return moment{mono: c.Now(), wall: time.Duration(c.Wall().UnixNano())}
}

// add returns the moment d later.
func (m moment) add(d time.Duration) moment { return moment{mono: m.mono.Add(d), wall: m.wall + d} }

// until returns how long it is from now to m at most: zero or less if either clock has reached it.
func (m moment) until(now moment) time.Duration {
	return min(m.mono.Sub(now.mono), m.wall-now.wall)
}

// after reports whether m is later than o by the monotonic clock.
func (m moment) after(o moment) bool { return m.mono.After(o.mono) }

// withGrace is how long to wait for a request that has the node timeout. When that is over its line says why there is no
// answer, a moment late: a connection's deadline is kept within 2 ms (see pool), and a goroutine must be woken.
func withGrace(timeout time.Duration) time.Duration {
	return timeout + min(timeout/graceDivisor, maxGrace)
}

// ioNow is the time by which requests to nodes are bounded. Sockets keep to the runtime's clock whatever [WithClock] says.
func ioNow() time.Time { return time.Now() }
