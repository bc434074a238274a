//go:build linux

package marks

import "time"

// beat is how often watchPauses looks at the clock.
const beat = 10 * time.Millisecond

// A span is the time between two moments.
type span struct{ began, ended time.Time }

// meets reports whether two spans have a moment in common.
func (s span) meets(o span) bool { return !s.ended.Before(o.began) && !o.ended.Before(s.began) }

// pauses are the times in which this process did not run, mostly because the whole machine did not.
// No deadline is kept then, so a failure in a pause says nothing about the network.
type pauses []span

// meet reports whether there was a pause in that span.
func (p pauses) meet(s span) bool {
	for _, one := range p {
		if one.meets(s) {
			return true
		}
	}
	return false
}

// excuse counts the failures that met no pause, and those that did; more than most of these count
// as failures too.
func (p pauses) excuse(failures []span, most int) (failed, excused int) {
	for _, f := range failures {
		if p.meet(f) {
			excused++
		}
	}
	if excused > most {
		excused = 0
	}
	return len(failures) - excused, excused
}

// watchPauses looks for pauses of that length until stop is called, which returns them.
func watchPauses(least time.Duration) (stop func() pauses) {
	stopped, found := make(chan struct{}), make(chan pauses)
	go func() {
		var all pauses
		for last := time.Now(); ; {
			time.Sleep(beat)
			now := time.Now()
			if now.Sub(last) > beat+least {
				// what was due during the pause happens after it, all at once
				all = append(all, span{last, now.Add(5 * beat)})
			}
			last = now
			select {
			case <-stopped:
				found <- all
				return
			default:
			}
		}
	}()
	return func() pauses {
		close(stopped)
		return <-found
	}
}
