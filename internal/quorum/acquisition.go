package quorum

import (
	"errors"
	"slices"

	"github.com/go-redlock/redlock/internal/wire"
)

// A Phase is a stage of an acquisition. An acquisition never goes back to an earlier phase.
type Phase uint8

// The phases.
const (
	Asking Phase = iota // its nodes are being asked
	Won                 // a majority has granted it in time: it stands
	// lost or released: locks that it has on nodes, or still gets there, must be released.
	Over
)

// An Outcome is what the answers to an acquisition amount to.
type Outcome uint8

// The outcomes.
const (
	Undecided Outcome = iota
	Accepted          // a majority has granted the lock, and its registers hold the token
	NoQuorum          // too few nodes serve
	Outvoted          // other owners keep it from a majority
	// other owners keep it from a majority so far, but it may ask their nodes again: see AskAgain.
	Contested
	Doubtful // only nodes that have not answered could help it: see WithoutOpen
)

// An Acquisition is one owner id on its way through the algorithm: all nodes are asked at once, and
// the outcome is decided as soon as no further answer can change it.
//
// With fencing a majority must not only grant the lock but also have the same token in its
// registers. Nodes with the same history have it at once; a second request (Repair) writes the
// greatest value to the others.
//
// After each answer Next must be drained, also when the acquisition has been won: a late grant with
// a lower token is still repaired. Next must be drained before Conclude, or a Repair would be sent
// after its Release.
type Acquisition struct {
	Token   uint64 // the fencing token, once chosen
	Top     uint64 // the greatest reserved token: see Reserve
	Repairs int    // nodes that were sent a Repair
	// Slot is the slot of a semaphore that the acquisition is for; zero for a lock. If it asks for
	// any slot, this is the one that most nodes have granted, until it is chosen with the token.
	Slot int

	spent  uint64 // of the tokens up to Top
	any    bool   // it asks for any slot
	begin  uint8  // the first that is looked at
	chosen bool
	phase  Phase
	needed int
	due    int // nodes with something to send
	freed  int // nodes that have released the lock
	nodes  []node
}

// A ballot is one node's vote.
type ballot uint8

const (
	open     ballot = iota // not answered
	granted                // it holds the lock for us
	accepted               // and its register holds our token
	held                   // another owner has the lock there
	failed                 // it refused, did not answer, or has no vote
)

// A node is what an acquisition has on one node.
type node struct {
	free        string      // the slots that were free there when it granted one
	token       uint64      // that it granted
	server      string      // that granted it
	refusal     *wire.Reply // the last answer, unless that was yes
	slot        uint8       // that it granted
	next        wire.Verb   // what to send; zero: nothing
	ballot      ballot
	settling    bool // a Repair is under way: the node may yet accept
	inFlight    bool // a request that takes the lock is under way: its line has not answered
	told        bool // the lock was ours there, as it has told
	mayHold     bool // the lock is ours there, or may be
	unconfirmed bool // such a request got no answer: it may be executed at any time
	refused     bool // the node refused such a request with an error, and probably did nothing
	missing     bool // the node has lost the lock since: a renewal takes it again
	rejoined    bool // such a renewal was sent: the node may have been without the lock for a time
	// since the grant another server answered on this line, or the node's own server may have been
	// without the lock: so it vouches for no block
	lapsed bool
}

// Start begins an acquisition at that many nodes, of which needed are a majority, and asks all of
// them, for a slot of a semaphore or for a lock, which is slot 0.
func (a *Acquisition) Start(nodes, needed, slot int) {
	*a = Acquisition{needed: needed, nodes: make([]node, nodes), Slot: slot}
	for i := range a.nodes {
		a.ask(i, wire.Acquire)
	}
}

// ask makes Next return a request for a node.
func (a *Acquisition) ask(i int, v wire.Verb) {
	n := &a.nodes[i]
	n.next = v
	n.inFlight = n.inFlight || v == wire.Acquire
	a.due++
}

// Next returns a node and the request to send to it; false if there is nothing to send.
func (a *Acquisition) Next() (i int, v wire.Verb, more bool) {
	if a.due == 0 {
		return 0, 0, false
	}
	i = slices.IndexFunc(a.nodes, func(n node) bool { return n.next != 0 })
	v, a.nodes[i].next = a.nodes[i].next, 0
	a.due--
	return i, v, true
}

// Phase returns the acquisition's phase.
func (a *Acquisition) Phase() Phase { return a.phase }

// Conclude ends the asking, or a won acquisition. Only the driver looks at the clock: it concludes
// an Accepted that comes too late as Over.
func (a *Acquisition) Conclude(p Phase) { a.phase = p }

// Acquired counts the answer to an Acquire. vote is false if the node is the same server as another
// node.
func (a *Acquisition) Acquired(i int, reply wire.Reply, vote bool) {
	n := &a.nodes[i]
	a.landed(i, &reply)
	switch {
	case a.phase == Over: // only what landed matters: the driver releases it
	case reply.Verdict == wire.OK && a.voted(reply.Server):
		a.lapse(reply.Server)
		n.refuse(failed, reply)
	case !vote:
		n.refuse(failed, reply)
		a.credit(i)
	case reply.Verdict == wire.OK && reply.Again && !a.credited(reply.Server):
		n.refuse(failed, reply)
	case reply.Verdict == wire.OK:
		a.grant(i, reply)
	case reply.Verdict == wire.Held:
		n.refuse(held, reply)
	default:
		n.refuse(failed, reply)
	}
}

// grant counts a grant.
func (a *Acquisition) grant(i int, reply wire.Reply) {
	n := &a.nodes[i]
	n.ballot, n.token, n.server, n.free = granted, reply.Token, reply.Server, reply.Free
	a.lead(int(n.slot))
	if a.chosen && !a.stray(n) {
		a.match(i)
	}
}

// credit counts a grant that came over a line without a vote for the line that votes for the
// server: over that line the server has answered AGAIN.
func (a *Acquisition) credit(i int) {
	first := a.nodes[i].refusal
	if first.Verdict != wire.OK || first.Again {
		return
	}
	for j := range a.nodes {
		if r := a.nodes[j].refusal; j != i && a.nodes[j].ballot == failed && r.Verdict == wire.OK && r.Again && r.Server == first.Server {
			a.grant(j, *r)
			return
		}
	}
}

// credited reports whether the server has granted the lock over a line without a vote.
func (a *Acquisition) credited(server string) bool {
	return server != "" && slices.ContainsFunc(a.nodes, func(n node) bool {
		return n.ballot == failed && n.refusal.Verdict == wire.OK && !n.refusal.Again && n.refusal.Server == server
	})
}

// refuse notes an answer that does not count for the acquisition.
func (n *node) refuse(b ballot, reply wire.Reply) { n.ballot, n.refusal = b, &reply }

// voted reports whether that server has already granted the lock over another line: that line's
// address may have led to it for a while.
func (a *Acquisition) voted(server string) bool {
	return server != "" && slices.ContainsFunc(a.nodes, func(n node) bool {
		return (n.ballot == granted || n.ballot == accepted) && n.server == server
	})
}

// lapse notes that the server gave us the lock once more: another owner may have had it meanwhile,
// with its own tokens.
func (a *Acquisition) lapse(server string) {
	for i := range a.nodes {
		if n := &a.nodes[i]; server != "" && n.server == server {
			n.lapsed = true
		}
	}
}

// landed notes what a request that takes the lock may have left on its node.
func (a *Acquisition) landed(i int, reply *wire.Reply) {
	n := &a.nodes[i]
	n.inFlight = false
	switch {
	case reply.Verdict == wire.OK:
		n.mayHold, n.refused, n.told, n.slot = true, false, true, uint8(a.Slot)
		if reply.Free != "" { // it was asked for any
			n.slot = reply.Slot
		}
	case reply.Verdict == wire.Unavailable && !reply.Unsent:
		n.mayHold, n.unconfirmed, n.refused = true, true, false
	case reply.Verdict == wire.Refused && !reply.Unsent && !errors.Is(reply.Err, wire.ErrBadFence):
		n.mayHold, n.refused = true, true // a script that fails half way does not undo its work
	}
}

// choose takes the greatest granted token for the acquisition, and has the nodes that granted a
// lower one raise theirs to it.
func (a *Acquisition) choose() {
	a.chosen = true
	for i := range a.nodes {
		if n := &a.nodes[i]; n.ballot == granted && !a.stray(n) {
			a.Token = max(a.Token, n.token)
		}
	}
	a.Top, a.spent = a.Token, a.Token
	for i := range a.nodes {
		if n := &a.nodes[i]; n.ballot == granted && !a.stray(n) {
			a.match(i)
		}
	}
}

// match compares a grant with the chosen token. A higher token came too late to be chosen: its node
// keeps other owners out, but does not accept.
func (a *Acquisition) match(i int) {
	n := &a.nodes[i]
	switch token := n.token; {
	case token == a.Token:
		n.ballot = accepted
	case token < a.Token:
		n.settling = true
		a.Repairs++
		a.ask(i, wire.Repair)
	}
}

// Repaired counts the answer to a Repair. The answer is about a register, and counts only if it
// comes from the server that granted the lock; otherwise elsewhere counts in its place.
func (a *Acquisition) Repaired(i int, reply wire.Reply, vote bool, elsewhere wire.Reply) {
	n := &a.nodes[i]
	n.settling = false
	switch {
	case reply.Verdict == wire.Unavailable:
		n.refuse(failed, reply)
	case !n.speaks(&reply, vote):
		n.refuse(failed, elsewhere)
	case reply.Verdict == wire.OK:
		n.ballot = accepted
	case reply.Verdict == wire.Gone, reply.Verdict == wire.Raised:
		n.refuse(held, reply)
		n.missing = reply.Verdict == wire.Gone
	default:
		n.refuse(failed, reply)
	}
}

// speaks reports whether an answer about a register comes from the server that granted the lock on
// this line. The address may now lead to another node's server, where the lock is ours too: that
// server's register is a different one.
func (n *node) speaks(reply *wire.Reply, vote bool) bool {
	return reply.Server == n.server && vote
}

// Waits reports whether the node has not answered yet: an Acquire, or a Repair of what it granted.
func (a *Acquisition) Waits(i int) (acquire, repair bool) {
	return a.nodes[i].ballot == open, a.nodes[i].settling
}

// GiveUp counts a node that has not answered as failed, with that reason: the node timeout is over.
// That also replaces a grant whose Repair has not been answered.
func (a *Acquisition) GiveUp(i int, why wire.Reply) {
	a.nodes[i].refuse(failed, why)
	a.nodes[i].settling = false
}

// A Tally counts the ballots.
type Tally struct{ Open, Granted, Accepted, Settling, Held, Failed int }

// Tally counts the ballots.
func (a *Acquisition) Tally() (t Tally) {
	for i := range a.nodes {
		n := &a.nodes[i]
		if a.stray(n) {
			t.Held++ // for another has this one, or is to have it
			continue
		}
		switch n.ballot {
		case open:
			t.Open++
		case accepted:
			t.Accepted++
			t.Granted++
		case granted:
			t.Granted++
			if n.settling {
				t.Settling++
			}
		case held:
			t.Held++
		case failed:
			t.Failed++
		}
	}
	return t
}

// Decide chooses the token once a majority has granted the lock, and returns what the answers
// amount to.
func (a *Acquisition) Decide() Outcome {
	if a.phase != Asking {
		return Undecided
	}
	q := a.needed
	t := a.Tally()
	if t.Granted >= q && !a.chosen {
		a.choose()
		t = a.Tally()
	}
	switch {
	case t.Accepted >= q:
		return Accepted
	case t.Granted+t.Held+t.Open < q:
		return NoQuorum
	case a.chosen && t.Accepted+t.Settling+t.Open < q:
		return Outvoted
	case t.Granted+t.Open < q && (t.Open == 0 || t.Granted > 0 || a.most() >= q):
		return a.lost(t)
	case t.Granted+t.Open < q, t.Granted < q && t.Held > 0 && t.Granted+t.Held >= q:
		return Doubtful
	}
	return Undecided
}

// WithoutOpen is the outcome in place of Doubtful if the nodes that have not answered are silent.
// An acquisition that others may have outvoted does not wait for silent nodes until the node
// timeout, because meanwhile its own nodes would keep the others from a majority.
func (a *Acquisition) WithoutOpen() Outcome { return a.lost(a.Tally()) }

// lost is the outcome if other owners keep the acquisition from a majority.
func (a *Acquisition) lost(t Tally) Outcome {
	if t.Granted > 0 && a.most() < a.needed && !a.any {
		return Contested
	}
	return Outvoted
}

// An Owed says whether a release must be sent to a node.
type Owed uint8

// What must be sent to a node: nothing, a release later, or a release now.
const (
	Nothing Owed = iota
	// a request that takes the lock is under way: on a pool of connections a release could overtake
	// it.
	NotYet
	Due
	// nothing, but the node refused the lock because of another owner: if it was to queue whoever
	// asked, it has.
	Refused
)

// A Trace is what is known about the lock on a node that must release it.
type Trace struct {
	Unconfirmed bool // a request that takes the lock went unanswered
	Refused     bool // or was refused with an error: probably there is nothing to release
	Rejoined    bool // a renewal that takes the lock again was sent too
}

// Holds reports whether the node has the lock for us, as far as is known.
func (a *Acquisition) Holds(i int) bool { return a.nodes[i].mayHold && !a.nodes[i].inFlight }

// Release says whether a release must be sent to the node now. It returns Due once.
func (a *Acquisition) Release(i int) (Owed, Trace) {
	n := &a.nodes[i]
	switch {
	case n.inFlight:
		return NotYet, Trace{}
	case n.mayHold:
		n.mayHold = false
		return Due, Trace{n.unconfirmed, n.refused, n.rejoined}
	case n.other() != nil:
		return Refused, Trace{}
	}
	return Nothing, Trace{}
}

// Freed counts a node that has released the lock for good. It returns true once: when these nodes
// become a majority.
func (a *Acquisition) Freed() bool {
	a.freed++
	return a.freed == a.needed
}

// Extend returns the request that extends the lock on the node; zero if there may be nothing to
// extend yet, because a request that takes the lock is not answered. A renewal also takes the lock
// again on a node that has lost it.
func (a *Acquisition) Extend(i int, renewal bool) wire.Verb {
	n := &a.nodes[i]
	switch {
	case n.inFlight:
		return 0
	case n.missing && renewal:
		n.inFlight, n.rejoined, n.lapsed = true, true, true
		return wire.Rejoin
	}
	return wire.Extend
}

// Extended notes the answer to a request that Extend has returned, and says for which side it
// counts.
func (a *Acquisition) Extended(i int, v wire.Verb, reply *wire.Reply) Side {
	n := &a.nodes[i]
	switch {
	case v == wire.Rejoin:
		// A node that took the lock again counts from the next extension on. A node that has given
		// the lock to another owner, or grants none yet, has lost it.
		a.landed(i, reply)
		if n.missing = reply.Verdict != wire.OK; !n.missing {
			a.lapse(reply.Server)
		}
		if reply.Verdict == wire.Held || reply.Verdict == wire.Quarantined {
			return No
		}
	case reply.Verdict == wire.OK:
		n.missing = false
		n.lapsed = n.lapsed || reply.Server != n.server
		return Yes
	case reply.Verdict == wire.Gone:
		n.missing = true
		return No
	}
	return Neither
}

// Vouches reports whether the node's answer to a Repair counts for a block of tokens. It counts
// only if the node accepted the token and has had the lock ever since: any other node may have
// given a token of the block to another owner.
func (a *Acquisition) Vouches(i int, reply *wire.Reply, vote bool) bool {
	n := &a.nodes[i]
	return reply.Verdict == wire.OK && n.ballot == accepted && !n.lapsed && n.speaks(reply, vote)
}

// Reserve gives the tokens up to top to the acquisition: a majority of nodes, all of which vouch,
// have raised their registers to top.
func (a *Acquisition) Reserve(top uint64) { a.spent, a.Top = a.Top, top }

// NextToken takes one of the reserved tokens, or returns 0 if none is left.
func (a *Acquisition) NextToken() uint64 {
	if a.spent == a.Top {
		return 0
	}
	a.spent++
	return a.spent
}
