package pool

import "time"

// now is the time by which connections are judged. Nothing about a lock's validity rests on it.
func now() time.Time { return time.Now() }

// elapsed is how much time has passed, by the clock that says more: the monotonic one stands while
// the machine is suspended.
func elapsed(from, to time.Time) time.Duration {
	return max(to.Sub(from), to.Round(0).Sub(from.Round(0)))
}

// after calls f at its end, by that time.
func after(d time.Duration, f func()) *time.Timer { return time.AfterFunc(d, f) }

// every returns a ticker by that time.
func every(d time.Duration) *time.Ticker { return time.NewTicker(d) }
