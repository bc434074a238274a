package quorum

import (
	"cmp"
	"slices"
	"time"

	"github.com/go-redlock/redlock/internal/wire"
)

// When simultaneous attempts have split the nodes between them, so that none has a majority, one of
// them must go on and the others must give way. Every refusal carries the owner's fingerprint, so
// each attempt knows the others, and all see the same order: the attempt with more nodes comes
// first, and of two with equally many the one with the smaller fingerprint. The first keeps its
// nodes and asks the others' nodes again; the others release theirs. This depends on no clock, and
// only decides which attempt asks: if attempts see different orders, two of them insist for a
// while, or none does, and they try again.

// other is the node's answer if it reports another owner that has the lock there, or will have it
// next; otherwise nil. The answer of a node without a vote does not count.
func (n *node) other() *wire.Reply {
	if n.ballot != held || n.refusal.Verdict != wire.Held {
		return nil
	}
	return n.refusal
}

// most is the greatest number of nodes that one other owner has, plus the nodes that are reserved
// for the next owner.
func (a *Acquisition) most() (most int) {
	passing := 0
	for i := range a.nodes {
		r, same := a.nodes[i].other(), 0
		if r != nil && r.TTL == 0 {
			passing++
			continue
		}
		for j := range a.nodes {
			if o := a.nodes[j].other(); r != nil && o != nil && o.TTL != 0 && o.Fingerprint == r.Fingerprint {
				same++
			}
		}
		most = max(most, same)
	}
	return most + passing
}

// First reports whether other owners have nodes, and this acquisition, whose owner has the
// fingerprint self, comes before all of them.
func (a *Acquisition) First(self string) bool {
	own, asks, others := 0, false, make(map[string]int)
	for i := range a.nodes {
		n := &a.nodes[i]
		r := n.other()
		asks = asks || r != nil
		switch {
		case n.ballot == granted, n.ballot == accepted:
			own++
		case r == nil || r.TTL == 0: // reserved: nobody has the lock yet
		case r.Foreign: // another program does not know this order
			return false
		case r.Fingerprint == self: // readers have it, and a waiter keeps further ones out
			return false
		default:
			others[r.Fingerprint]++
		}
	}
	for o, count := range others {
		if count > own || count == own && o < self {
			return false
		}
	}
	return asks
}

// AskAgain has the node asked again if another owner has the lock there, and reports whether it
// does so.
//
// The owner id is the same, so at most one of these requests may take the lock on a node (R9 in
// docs/safety.md). A node is therefore asked again only if it has refused the request before
// because another owner had the lock: that request has arrived, and has changed nothing. A node
// that has not answered, or that granted the lock and lost it since, is not asked again. Nor is one
// where a renewal takes the lock, or may have taken it.
func (a *Acquisition) AskAgain(i int) bool {
	n := &a.nodes[i]
	if n.other() == nil || n.inFlight || n.mayHold {
		return false
	}
	n.ballot, n.refusal = open, nil
	a.ask(i, wire.Acquire)
	return true
}

// A Standing is how the nodes stand to an acquisition.
type Standing struct {
	Tally
	Owner      string        // fingerprint of the other owner that has the lock on the most nodes
	Owned      bool          // that one has it on a majority
	Foreign    bool          // another program has it, or may have it on the most nodes
	Holder     string        // label of an owner, if a node reported one
	RetryAfter time.Duration // a quorum is free by then if nobody renews the lock; 0 if unknown
	// The slot that is free on the most nodes, as far as those tell that granted one; false: none
	// has. Of an acquisition of any slot.
	Slot   int
	Vacant bool
}

// Standing is how the nodes stand to the acquisition.
func (a *Acquisition) Standing() Standing {
	s := Standing{Tally: a.Tally()}
	s.Slot, s.Vacant = a.Vacant()
	owners, most, passing, foreign := make(map[string]int), 0, 0, false
	waits := make([]time.Duration, 0, len(a.nodes))
	for i := range a.nodes {
		n := &a.nodes[i]
		switch r := n.refusal; {
		case n.ballot == granted || n.ballot == accepted:
			waits = append(waits, 0)
		case r == nil:
		case r.Verdict == wire.Held && r.TTL >= 0, r.Verdict == wire.Quarantined:
			waits = append(waits, r.TTL)
		}
		switch r := n.other(); {
		case r == nil:
		case r.TTL == 0:
			passing++ // reserved for the next owner
		default:
			owners[r.Fingerprint]++
			s.Holder = cmp.Or(s.Holder, r.Holder)
			if owners[r.Fingerprint] > most {
				most, s.Owner, s.Foreign = owners[r.Fingerprint], r.Fingerprint, r.Foreign
			}
			foreign = foreign || r.Foreign
		}
	}
	// what a full node tells is about the slot that was to be looked at first
	s.Owned = most+passing >= a.needed && (!s.Vacant || a.Slot == int(a.begin))
	s.Foreign = s.Foreign || foreign && !s.Owned
	if slices.Sort(waits); len(waits) >= a.needed {
		s.RetryAfter = waits[a.needed-1]
	}
	return s
}

// strayed is what the answer of a node amounts to that granted another slot.
var strayed = wire.Reply{Verdict: wire.Held}

// Denied returns the answer of a node that has not granted the lock; nil if it has not answered. It
// returns false if the node has granted the lock.
func (a *Acquisition) Denied(i int) (*wire.Reply, bool) {
	n := &a.nodes[i]
	switch {
	case a.stray(n):
		return &strayed, true
	case n.ballot == granted, n.ballot == accepted:
		return nil, false
	}
	return n.refusal, true
}
