// Package quorum is the algorithm of "Distributed Locks with Redis", and of the fencing tokens, as
// a state machine: it takes answers, and gives requests to send and an outcome. It has no
// goroutine, timer, lock or clock; its driver has. It is the only place where a majority decides on
// a lock.
package quorum

import "slices"

// A Side is one answer in a Vote, or the answer of a majority.
type Side uint8

// The sides. A vote is Open as long as outstanding answers can change it.
const (
	Open Side = iota
	Yes
	No
	Neither // an answer that does not count; a vote in which no side can win any more
)

// A Vote counts the nodes that say yes and the nodes that say no. A server that several addresses
// lead to counts once.
type Vote struct {
	Nodes      int
	Needed     int // for a majority
	Pending    int // nodes that have not answered
	Ayes, Noes int

	few  [5]string // servers that have voted
	more []string
}

// NewVote opens a vote of that many nodes, of which needed decide.
func NewVote(nodes, needed int) Vote { return Vote{Nodes: nodes, Needed: needed, Pending: nodes} }

// Count counts a node's answer. It returns false, and counts it for neither side, if that server
// has answered over another line already.
func (v *Vote) Count(answer Side, server string) bool {
	v.Pending--
	if server != "" && v.has(server) {
		return false
	}
	v.note(server)
	switch answer {
	case Yes:
		v.Ayes++
	case No:
		v.Noes++
	default: // it does not count
	}
	return true
}

func (v *Vote) has(server string) bool {
	return slices.Contains(v.few[:], server) || slices.Contains(v.more, server)
}

func (v *Vote) note(server string) {
	if server == "" {
		return
	}
	if i := slices.Index(v.few[:], ""); i >= 0 {
		v.few[i] = server
	} else {
		v.more = append(v.more, server)
	}
}

// Failed is how many nodes have answered neither yes nor no.
func (v *Vote) Failed() int { return v.Nodes - v.Ayes - v.Noes - v.Pending }

// Outcome is the result of the vote, as soon as no outstanding answer can change it.
func (v *Vote) Outcome() Side {
	switch {
	case v.Ayes >= v.Needed:
		return Yes
	case v.Noes >= v.Needed:
		return No
	case v.Ayes+v.Pending < v.Needed && v.Noes+v.Pending < v.Needed:
		return Neither
	}
	return Open
}
