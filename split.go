package redlock

import (
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/dispatch"
	"github.com/go-redlock/redlock/internal/jitter"
	"github.com/go-redlock/redlock/internal/quorum"
)

const (
	// maxRounds is how often an attempt asks the others' nodes again. The pauses before grow to 8
	// times the first, and to no more: it has to find the moment between two others. So it may end
	// sooner than maxInsist where round trips are short: an owner that keeps its nodes for sixteen
	// rounds is not about to give way.
	maxRounds, maxGrowth = 16, 3
	// pauseDivisor: none is longer than this part of the node timeout, or else a round trip.
	// Meanwhile the attempt does not learn that another comes first by now; if both keep what they
	// have, nobody gets a majority.
	pauseDivisor = 4
	// minPause is the least pause before a node is asked again: what timers keep to.
	minPause = time.Millisecond
	// maxInsist is for how many node timeouts from its start an attempt may do so.
	maxInsist = 2
	// minSplitBackoff is how long one gives way at least.
	minSplitBackoff = 2 * time.Millisecond
)

// insist has the nodes asked again that others have, if the attempt comes before those: at once,
// and after a while when that was to no avail. It returns false if the attempt has to give way.
// With mu held.
func (a *attempt) insist() bool {
	now := a.engine.clock.Now()
	switch {
	case now.Before(a.again): // not yet
		a.setTimer(a.again)
		return true
	case a.rounds == maxRounds, a.late(now), !a.state.First(a.fingerprint()):
		return false
	}
	a.until = now.Add(a.timeout)
	a.setTimer(a.until)
	pause := minPause
	for i, ln := range a.engine.lines {
		if a.state.AskAgain(i) {
			pause = max(pause, ln.Due()/dispatch.DueTrips)
		}
	}
	a.sendNext()
	a.again = now.Add(max(pause, min(pause<<min(a.rounds, maxGrowth), a.timeout/pauseDivisor)))
	a.rounds++
	return true
}

// late reports whether the attempt has insisted for long enough.
func (a *attempt) late(now time.Time) bool {
	return now.Sub(a.start.Mono) >= maxInsist*a.timeout || !a.end.IsZero() && !now.Before(a.end)
}

// yield concludes an attempt that others keep from a majority. With mu held.
func (a *attempt) yield() {
	e := a.error(ErrHeld)
	if !e.owned {
		e.verdict = errSplit
	}
	a.conclude(quorum.Over, e)
}

// awaited reports whether a node that has not answered may yet do so soon. With mu held.
func (a *attempt) awaited() bool {
	now := clock.IO()
	for i, ln := range a.engine.lines {
		if open, _ := a.state.Waits(i); !open {
			continue
		}
		switch left, known := ln.Silence(now); {
		case !known:
			return true
		case left > 0:
			a.setTimer(a.engine.clock.Now().Add(left))
			return true
		}
	}
	return false
}

// splitBackoff is how long to give way after the n-th attempt that has split the votes: the one
// that comes first has to learn of the others' releases, and to ask once more. If that was not
// enough, or all gave way, it is better not to meet again.
func (en *engine) splitBackoff(n int, t *terms) time.Duration {
	d := minSplitBackoff
	for _, ln := range en.lines {
		if left, known := ln.Silence(clock.IO()); known && left > 0 {
			d = max(d, ln.Due())
		}
	}
	return min(d+jitter.N(d<<min(n+1, 8)), en.timeout(t))
}
