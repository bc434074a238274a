package redlock

import (
	"crypto/sha1" //nolint:gosec // Redis's own fingerprint
	"encoding/hex"
	"fmt"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/dispatch"
)

// When simultaneous attempts have split the nodes between them, so that none has a majority, one of them has to go on and
// the others have to give way. The nodes tell each whom the others are: every refusal carries the owner's fingerprint. So all
// see one order: who has more of the nodes comes first, and of two that have as many the one with the smaller fingerprint.
// The first keeps what it has and asks the others' nodes again; the rest release theirs. This rests on no clock, and decides
// nothing but who asks: where attempts see different orders, two of them insist for a while, or none does, and they try again.

const (
	// maxRounds is how often an attempt asks the others' nodes again. The pauses before grow to 8 times the first, and to no more:
	// it has to find the moment between two others.
	maxRounds, maxGrowth = 16, 3
	// pauseDivisor: none is longer than this part of the node timeout, or else a round trip. Meanwhile the claim does not learn
	// that another comes first by now; if both keep what they have, nobody gets a majority.
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

// insist has the nodes asked again that others have, if the claim comes before those: at once, and after a while when that was
// to no avail. It returns false if the claim has to give way. With mu held.
//
// The owner id is the same, so at most one of these requests may take the lock on a node (R9 in docs/safety.md). A node is
// therefore asked again only when it has refused the request before for another owner's sake: that request has come, and
// has changed nothing. One that has not answered, or has granted the lock and lost it since, is not asked.
func (c *claim) insist() bool {
	now := c.locker.clock.Now()
	switch {
	case now.Before(c.again): // not yet
		c.ring(c.again)
		return true
	case c.rounds == maxRounds, c.late(now), !c.first():
		return false
	}
	c.until = now.Add(c.timeout)
	c.ring(c.until)
	until, pause := clock.IO().Add(c.timeout), minPause
	for i, ln := range c.locker.lines {
		if n := &c.nodes[i]; n.other() != nil {
			n.ballot, n.refusal, n.flying = open, nil, true
			ln.Send(dispatch.Call{To: c, Request: &c.acquire, Until: until, Within: c.timeout})
			pause = max(pause, ln.Due()/dispatch.DueTrips)
		}
	}
	c.again = now.Add(max(pause, min(pause<<min(c.rounds, maxGrowth), c.timeout/pauseDivisor)))
	c.rounds++
	return true
}

// late reports whether the claim has insisted for long enough.
func (c *claim) late(now time.Time) bool {
	return now.Sub(c.start.Mono) >= maxInsist*c.timeout || !c.end.IsZero() && !now.Before(c.end)
}

// first reports whether others have nodes, and the claim comes before all of them. With mu held.
func (c *claim) first() bool {
	own, asks, others := 0, false, make(map[string]int)
	for i := range c.nodes {
		n := &c.nodes[i]
		r := n.other()
		asks = asks || r != nil
		switch {
		case n.ballot == granted, n.ballot == accepted:
			own++
		case r == nil || r.TTL == 0: // it is reserved: nobody has it yet
		case r.Foreign: // who does not know of this order
			return false
		default:
			others[r.Fingerprint]++
		}
	}
	self := c.fingerprint()
	for o, count := range others {
		if count > own || count == own && o < self {
			return false
		}
	}
	return asks
}
