// Package clock tells the library the time.
package clock

import "time"

// A Clock tells the time: see redlock.Clock, which is what a user may give.
type Clock interface {
	Now() time.Time
	Wall() time.Time
	AfterFunc(d time.Duration, f func()) Timer
}

// A Timer is started by AfterFunc.
type Timer interface {
	Stop() bool
	Reset(d time.Duration) bool
}

// System is the clock of the operating system.
type System struct{}

// Now returns the current time, with its monotonic reading.
func (System) Now() time.Time { return time.Now() }

// Wall returns the time of day.
func (System) Wall() time.Time { return time.Now().Round(0) } // Round strips the monotonic reading

// AfterFunc calls f in a goroutine of its own once d has elapsed.
func (System) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }

// After returns a channel that is closed once d has elapsed by c, unless the timer is stopped
// before.
func After(c Clock, d time.Duration) (<-chan struct{}, Timer) {
	over := make(chan struct{})
	return over, c.AfterFunc(d, func() { close(over) })
}

// IO returns the time that bounds requests to nodes. Sockets follow the runtime's clock, whatever
// clock a user gives.
func IO() time.Time { return time.Now() }

// A Moment is one point in time on two clocks. The monotonic one decides. The wall clock is for
// machines that were suspended, during which the monotonic clock may have stood still: it can make
// a moment come earlier, never later.
type Moment struct {
	Mono time.Time
	Wall time.Duration // since 1970
}

// Present returns the current moment.
func Present(c Clock) Moment {
	if c == (System{}) { // one reading has both
		now := time.Now()
		return Moment{Mono: now, Wall: time.Duration(now.UnixNano())}
	}
	return Moment{Mono: c.Now(), Wall: time.Duration(c.Wall().UnixNano())}
}

// Add returns the moment d later.
func (m Moment) Add(d time.Duration) Moment { return Moment{Mono: m.Mono.Add(d), Wall: m.Wall + d} }

// Until returns how long it is from now to m at most: zero or less if either clock has reached it.
func (m Moment) Until(now Moment) time.Duration {
	return min(m.Mono.Sub(now.Mono), m.Wall-now.Wall)
}

// After reports whether m is later than o by the monotonic clock.
func (m Moment) After(o Moment) bool { return m.Mono.After(o.Mono) }

// CeilMillis rounds up to whole milliseconds.
func CeilMillis(d time.Duration) time.Duration {
	return (d + time.Millisecond - 1).Truncate(time.Millisecond)
}
