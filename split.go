package redlock

import (
	"crypto/sha1" //nolint:gosec // Redis's own fingerprint
	"encoding/hex"
	"fmt"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/dispatch"
	"github.com/go-redlock/redlock/internal/quorum"
)

const (
	// maxRounds is how often an attempt asks the others' nodes again. The pauses before grow to 8
	// times the first, and to no more: it has to find the moment between two others. So it may end
	// sooner than maxInsist where round trips are short: an owner that keeps its nodes for sixteen
	// rounds holds the lock, or has died with it.
	maxRounds, maxGrowth = 16, 3
	// pauseDivisor: none is longer than this part of the node timeout, or else a round trip.
	// Meanwhile the claim does not learn that another comes first by now; if both keep what they
	// have, nobody gets a majority.
	pauseDivisor = 4
	// minPause is the least pause before a node is asked again: what timers keep to.
	minPause = time.Millisecond
	// maxInsist is for how many node timeouts from its start an attempt may do so.
	maxInsist = 2
)

// errSplit is the verdict where no owner was seen on a majority, though enough nodes answered.
var errSplit = fmt.Errorf("%w: the votes are split between owners", ErrNoQuorum)

// fingerprint is what nodes tell others of the owner id: see pool/lua/acquire.lua.
func (c *claim) fingerprint() string {
	sum := sha1.Sum([]byte(c.acquire.Owner)) //nolint:gosec // see above
	return hex.EncodeToString(sum[:8])
}

// insist has the nodes asked again that others have, if the claim comes before those: at once, and
// after a while when that was to no avail. It returns false if the claim has to give way. With mu
// held.
func (c *claim) insist() bool {
	now := c.locker.clock.Now()
	switch {
	case now.Before(c.again): // not yet
		c.ring(c.again)
		return true
	case c.rounds == maxRounds, c.late(now), !c.state.First(c.fingerprint()):
		return false
	}
	c.until = now.Add(c.timeout)
	c.ring(c.until)
	pause := minPause
	for i, ln := range c.locker.lines {
		if c.state.AskAgain(i) {
			pause = max(pause, ln.Due()/dispatch.DueTrips)
		}
	}
	c.sendNext()
	c.again = now.Add(max(pause, min(pause<<min(c.rounds, maxGrowth), c.timeout/pauseDivisor)))
	c.rounds++
	return true
}

// late reports whether the claim has insisted for long enough.
func (c *claim) late(now time.Time) bool {
	return now.Sub(c.start.Mono) >= maxInsist*c.timeout || !c.end.IsZero() && !now.Before(c.end)
}

// yield concludes a claim that others keep from a majority. With mu held.
func (c *claim) yield() {
	e := c.error(ErrHeld)
	if !e.owned {
		e.verdict = errSplit
	}
	c.conclude(quorum.Over, e)
}

// awaited reports whether a node that has not answered may yet do so soon. With mu held.
func (c *claim) awaited() bool {
	now := clock.IO()
	for i, ln := range c.locker.lines {
		if open, _ := c.state.Waits(i); !open {
			continue
		}
		switch left, known := ln.Silence(now); {
		case !known:
			return true
		case left > 0:
			c.ring(c.locker.clock.Now().Add(left))
			return true
		}
	}
	return false
}
