package redlock

import (
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/dispatch"
	"github.com/go-redlock/redlock/internal/jitter"
	"github.com/go-redlock/redlock/internal/quorum"
)

const (
	// maxRounds is how often an attempt asks the others' nodes again. The pauses in between grow to
	// 8 times the first, but no longer, because the attempt must not miss the moment between two
	// other owners. So where round trips are short it may end sooner than maxInsist: an owner that
	// keeps its nodes for sixteen rounds is not about to give way.
	maxRounds, maxGrowth = 16, 3
	// pauseDivisor: no pause is longer than the node timeout divided by this, or a round trip if
	// that is longer. During a pause the attempt does not learn that another attempt now comes
	// first; while both keep their nodes, neither gets a majority.
	pauseDivisor = 4
	// minPause is the least pause before a node is asked again: timers are not more exact.
	minPause = time.Millisecond
	// maxInsist is for how many node timeouts from its start an attempt may ask again.
	maxInsist = 2
	// minSplitBackoff is the least time for which an attempt gives way.
	minSplitBackoff = 2 * time.Millisecond
)

// insist asks the nodes again that other owners have, if the attempt comes before all of those: at
// once, and after a pause if that did not help. It returns false if the attempt must give way. With
// mu held.
func (a *attempt) insist() bool {
	now := a.engine.clock.Now()
	switch again := a.start.Mono.Add(a.again); {
	case now.Before(again): // not yet
		a.setTimer(again)
		return true
	case a.rounds == maxRounds, a.late(now), !a.state.First(a.party()):
		return false
	}
	a.until = a.now().Add(a.timeout)
	a.setTimer(a.until.Mono)
	pause := minPause
	for i, ln := range a.engine.lines {
		if a.state.AskAgain(i) {
			pause = max(pause, ln.Due()/dispatch.DueTrips)
		}
	}
	a.sendNext()
	a.again = now.Sub(a.start.Mono) + max(pause, min(pause<<min(a.rounds, maxGrowth), a.timeout/pauseDivisor))
	a.rounds++
	return true
}

// late reports whether the attempt must not ask again any more.
func (a *attempt) late(now time.Time) bool {
	return now.Sub(a.start.Mono) >= maxInsist*a.timeout || !a.end.IsZero() && !now.Before(a.end)
}

// complete asks a node that refused the attempt, which was won without it. The more nodes have the
// lock, the more of them pass it on to the same waiter in the end.
// It returns false if it does not ask.
func (a *attempt) complete(node int) bool {
	a.mu.Lock()
	defer a.unlock()
	if a.state.Phase() != quorum.Won || a.acquire.Inbox == "" || !a.state.AskAgain(node) {
		return false
	}
	a.sendNext()
	return true
}

// yield concludes an attempt that others keep from a majority. With mu held.
func (a *attempt) yield() {
	e := a.error(ErrHeld)
	if !e.owned {
		e.verdict = errSplit
	}
	a.conclude(quorum.Over, e)
}

// awaited reports whether a node that has not answered may still do so soon. With mu held.
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

// settling is after how long locks are free that other attempts were given for a moment: their
// requests have arrived, and then their releases.
func (en *engine) settling(t *terms) time.Duration {
	d := en.splitBackoff(0, t)
	for _, ln := range en.lines {
		d = max(d, ln.Due())
	}
	return min(d+jitter.N(d), en.timeout(t))
}

// splitBackoff is how long to give way after the n-th attempt with split votes: the attempt that
// comes first must have time to ask again after the others' releases. It grows and is random, so
// that attempts that all gave way do not meet again.
func (en *engine) splitBackoff(n int, t *terms) time.Duration {
	d := minSplitBackoff
	for _, ln := range en.lines {
		if left, known := ln.Silence(clock.IO()); known && left > 0 {
			d = max(d, ln.Due())
		}
	}
	return min(d+jitter.N(d<<min(n+1, 8)), en.timeout(t))
}
