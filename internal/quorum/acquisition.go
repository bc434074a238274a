package quorum

import (
	"errors"
	"slices"

	"github.com/go-redlock/redlock/internal/wire"
)

// A Phase is how far an acquisition has come. It never goes back.
type Phase uint8

// The phases.
const (
	Asking Phase = iota // its nodes are being asked
	Won                 // a majority has granted it in time: it stands
	// lost or released: what it has on the nodes, or gets there yet, is to be released.
	Over
)

// An Outcome is what the answers to an acquisition come to.
type Outcome uint8

// The outcomes.
const (
	Undecided Outcome = iota
	Accepted          // a majority has granted the lock, and its registers hold the token
	NoQuorum          // too few nodes serve
	Outvoted          // others keep it from a majority
	// so do they, by what has been answered, but it may ask their nodes again: see AskAgain.
	Contested
	Doubtful // only nodes that have not answered could help it: see WithoutOpen
)

// An Acquisition is one owner id on its way through the algorithm: every node is asked at once, and
// it is decided as soon as no further answer can change the outcome.
//
// With fencing a majority must not only grant the lock but also hold one and the same token in its
// register. Nodes whose clocks and histories agree do so at once; to the others the greatest value
// is written in a second round (Repair).
//
// After each answer Next must be drained, also when the acquisition has been won: a late, lower
// grant is still repaired. It must be before it is concluded, or a Repair would stand behind its
// Release.
type Acquisition struct {
	Token   uint64 // the fencing token, once chosen
	Top     uint64 // the greatest token reserved: see Reserve
	Repairs int    // nodes that were sent a Repair

	spent  uint64 // of the tokens up to Top
	chosen bool
	phase  Phase
	needed int
	due    int // nodes with something to send
	freed  int // nodes that have given the lock up
	nodes  []node
}

// A ballot is one node's say.
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
	token       uint64      // that it granted
	server      string      // that granted it
	refusal     *wire.Reply // the last answer, unless that was yes
	next        wire.Verb   // what to send; zero: nothing
	ballot      ballot
	settling    bool // a Repair is under way: the node may yet accept
	inFlight    bool // a request that takes the lock is under way
	mayHold     bool // the lock is ours there, or may be
	unconfirmed bool // such a request went unanswered: it may be executed at any time
	refused     bool // the node refused such a request with an error: it hardly did any of it
	missing     bool // the node has lost the lock since: a renewal wins it back
	rejoined    bool // such a renewal was sent: the node may not have had the lock all the time
	// another server spoke for it since, or its own may have been without the lock: it vouches for
	// no block
	lapsed bool
}

// Start begins an acquisition at that many nodes, of which needed decide: all are to be asked.
func (a *Acquisition) Start(nodes, needed int) {
	*a = Acquisition{needed: needed, nodes: make([]node, nodes)}
	for i := range a.nodes {
		a.ask(i, wire.Acquire)
	}
}

// ask has a request sent to a node.
func (a *Acquisition) ask(i int, v wire.Verb) {
	n := &a.nodes[i]
	n.next = v
	n.inFlight = n.inFlight || v == wire.Acquire
	a.due++
}

// Next returns a node that is to be sent something and what; false if none is.
func (a *Acquisition) Next() (i int, v wire.Verb, more bool) {
	if a.due == 0 {
		return 0, 0, false
	}
	i = slices.IndexFunc(a.nodes, func(n node) bool { return n.next != 0 })
	v, a.nodes[i].next = a.nodes[i].next, 0
	a.due--
	return i, v, true
}

// Phase is how far the acquisition has come.
func (a *Acquisition) Phase() Phase { return a.phase }

// Conclude ends the asking, or what was won. The driver alone looks at the clock: Accepted that
// comes too late is Over.
func (a *Acquisition) Conclude(p Phase) { a.phase = p }

// Acquired counts the answer to an Acquire. A node without a vote is the same server as another.
func (a *Acquisition) Acquired(i int, reply wire.Reply, vote bool) {
	n := &a.nodes[i]
	a.landed(i, &reply)
	switch {
	case a.phase == Over:
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
	n.ballot, n.token, n.server = granted, reply.Token, reply.Server
	if a.chosen {
		a.match(i)
	}
}

// credit has the line that votes for a server count a grant that came over one without a vote: the
// server said AGAIN over the line that votes.
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

// voted reports whether that server has granted the lock over another line: an address may have led
// to it for a while.
func (a *Acquisition) voted(server string) bool {
	return server != "" && slices.ContainsFunc(a.nodes, func(n node) bool {
		return (n.ballot == granted || n.ballot == accepted) && n.server == server
	})
}

// lapse notes that the server gave us the lock once more: it may have been another's meanwhile,
// with tokens of its own.
func (a *Acquisition) lapse(server string) {
	for i := range a.nodes {
		if n := &a.nodes[i]; server != "" && n.server == server {
			n.lapsed = true
		}
	}
}

// landed notes what a request that takes the lock has left on its node.
func (a *Acquisition) landed(i int, reply *wire.Reply) {
	n := &a.nodes[i]
	n.inFlight = false
	switch {
	case reply.Verdict == wire.OK:
		n.mayHold, n.refused = true, false
	case reply.Verdict == wire.Unavailable && !reply.Unsent:
		n.mayHold, n.unconfirmed, n.refused = true, true, false
	case reply.Verdict == wire.Refused && !reply.Unsent && !errors.Is(reply.Err, wire.ErrBadFence):
		n.mayHold, n.refused = true, true // a script that fails half way leaves what it has done
	}
}

// choose makes the greatest token granted the acquisition's, and has the nodes that granted a lower
// one raise theirs to it.
func (a *Acquisition) choose() {
	a.chosen = true
	for i := range a.nodes {
		if a.nodes[i].ballot == granted {
			a.Token = max(a.Token, a.nodes[i].token)
		}
	}
	a.Top, a.spent = a.Token, a.Token
	for i := range a.nodes {
		if a.nodes[i].ballot == granted {
			a.match(i)
		}
	}
}

// match compares a grant with the chosen token. A token that is higher came too late to be chosen:
// that node keeps others out, but does not accept.
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

// Repaired counts the answer to a Repair. It speaks of a register: that of the server that granted
// the lock is meant. Elsewhere is what counts of another's answer.
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

// speaks reports whether an answer about a register is that of the server that granted the lock on
// this line. The address may lead to another node's server by now, where the lock is ours too: what
// that has in its register is not what this one has.
func (n *node) speaks(reply *wire.Reply, vote bool) bool {
	return reply.Server == n.server && vote
}

// Waits reports whether the node has not answered yet: an Acquire, or a Repair of what it granted.
func (a *Acquisition) Waits(i int) (acquire, repair bool) {
	return a.nodes[i].ballot == open, a.nodes[i].settling
}

// GiveUp counts a node that has not answered as failed, for that reason: the node timeout is over.
// What it answered before is not the last word.
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

// Decide chooses the token once a majority has granted the lock, and says what the answers come to.
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

// WithoutOpen is what Doubtful comes to where the nodes that have not answered are silent: an
// acquisition that others may have outvoted does not wait for those until the node timeout.
// Meanwhile what it holds would keep the others from a majority.
func (a *Acquisition) WithoutOpen() Outcome { return a.lost(a.Tally()) }

// lost is the outcome where others keep the acquisition from a majority.
func (a *Acquisition) lost(t Tally) Outcome {
	if t.Granted > 0 && a.most() < a.needed {
		return Contested
	}
	return Outvoted
}

// An Owed is whether a node is owed a release.
type Owed uint8

// What a node is owed.
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

// A Trace is what is known of the lock on a node that is to release it.
type Trace struct {
	Unconfirmed bool // a request that takes the lock went unanswered
	Refused     bool // or was refused with an error: hardly anything is owed
	Rejoined    bool // one that was to win the node back was sent too
}

// Holds reports whether the node has the lock for us, as far as is known.
func (a *Acquisition) Holds(i int) bool { return a.nodes[i].mayHold && !a.nodes[i].inFlight }

// Release says whether the node is owed a release now. What is Due is so once.
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

// Freed counts a node that has given the lock up for good. It returns true once: when they have
// become a majority.
func (a *Acquisition) Freed() bool {
	a.freed++
	return a.freed == a.needed
}

// Extend returns what to send to the node to extend the lock there; zero if there is nothing to
// extend yet, for the answer to what takes it is late. A renewal also wins back a node that has
// lost the lock.
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

// Extended notes the answer to what Extend has returned, and says what it counts for.
func (a *Acquisition) Extended(i int, v wire.Verb, reply *wire.Reply) Side {
	n := &a.nodes[i]
	switch {
	case v == wire.Rejoin:
		// A node that was won back counts from the next extension on. One that gives the lock to
		// another, or to nobody yet, has lost it.
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

// Vouches reports whether the node's answer to a Repair counts for a block of tokens: only nodes
// that accepted the token, and have had the lock ever since, do. Another owner may have been given
// a token of the block by any other.
func (a *Acquisition) Vouches(i int, reply *wire.Reply, vote bool) bool {
	n := &a.nodes[i]
	return reply.Verdict == wire.OK && n.ballot == accepted && !n.lapsed && n.speaks(reply, vote)
}

// Reserve makes the tokens up to top the acquisition's: a majority of the nodes that vouch for it
// has raised its register to top.
func (a *Acquisition) Reserve(top uint64) { a.spent, a.Top = a.Top, top }

// NextToken takes one of the tokens that are reserved, or returns 0.
func (a *Acquisition) NextToken() uint64 {
	if a.spent == a.Top {
		return 0
	}
	a.spent++
	return a.spent
}
