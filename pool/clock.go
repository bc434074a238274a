package pool

import "time"

// now is the time for connections. No lock's validity depends on it.
func now() time.Time { return time.Now() }

// elapsed is how much time has passed, by the clock that shows more: the monotonic clock may stand
// still while the machine is suspended.
func elapsed(from, to time.Time) time.Duration {
	return max(to.Sub(from), to.Round(0).Sub(from.Round(0)))
}

// after calls f when d has passed, by the same clock.
func after(d time.Duration, f func()) *time.Timer { return time.AfterFunc(d, f) }

// every returns a ticker by the same clock.
func every(d time.Duration) *time.Ticker { return time.NewTicker(d) }
