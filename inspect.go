package redlock

import (
	"context"
	"slices"
	"time"

	"github.com/go-redlock/redlock/internal/quorum"
	"github.com/go-redlock/redlock/internal/wire"
)

// An Inspection is who has a lock, as the nodes told it at about the same time.
type Inspection struct {
	Name   string
	Needed int // the quorum

	// Owner tells owners apart: 16 hex digits derived from the owner id, from which that cannot be
	// found. It is the one that has the lock on a quorum, or empty if none has. A few nodes with an
	// owner and no quorum are the remains of an attempt, or one under way.
	Owner  string
	Holder string // the owner's label (WithHolder), if it has one
	// how long the owner keeps its quorum if nothing extends it; Forever if it has no end
	Left  time.Duration
	Fence uint64 // the greatest fencing token that the nodes know, 0 if none

	Nodes []NodeInspection // in the order given to New
}

// A NodeInspection is what one node told.
type NodeInspection struct {
	Node   string        // its address
	Owner  string        // as in Inspection; empty if the lock is free there
	Holder string        // the owner's label
	Left   time.Duration // remaining life of the lock; Forever if it has no end
	Fence  uint64        // the fencing register, 0 if there is none
	Err    error         // why the node told nothing
}

// Inspect asks all nodes who has the lock of that name, and changes nothing. It takes the node
// timeout at most.
//
// If fewer nodes than a quorum answered, the error is ErrNoQuorum in a [*QuorumError], and the
// Inspection tells what the others said. It is nil only for bad arguments, an ended context and
// after Close.
func (l *Locker) Inspect(ctx context.Context, name string) (*Inspection, error) {
	m := l.Mutex(name)
	if err := m.bad(); err != nil {
		return nil, err
	}
	replies, err := l.survey(ctx, "inspect", name, &wire.Request{Verb: wire.Inspect, Lock: m.keys.Lock, Fence: m.keys.Fence})
	if replies == nil {
		return nil, err
	}
	in := &Inspection{Name: name, Needed: l.quorum}
	left := make(map[string][]time.Duration)
	for i := range replies {
		r := &replies[i]
		in.Nodes = append(in.Nodes, NodeInspection{
			Node: l.lines[i].Node().Addr(), Owner: r.Fingerprint, Holder: r.Holder, Left: life(r.TTL), Fence: r.Token, Err: r.Err,
		})
		in.Fence = max(in.Fence, r.Token)
		if r.Fingerprint == "" || l.lines[i].Duplicate() || voted(replies[:i], r.Server) {
			continue
		}
		left[r.Fingerprint] = append(left[r.Fingerprint], life(r.TTL))
		if lasts, ok := quorum.Lasts(left[r.Fingerprint], l.quorum); ok {
			in.Owner, in.Holder, in.Left = r.Fingerprint, r.Holder, lasts
		}
	}
	return in, err
}

// voted reports whether that server's answer is among the replies: it came over another line.
func voted(replies []wire.Reply, server string) bool {
	return server != "" && slices.ContainsFunc(replies, func(r wire.Reply) bool { return r.Server == server })
}

// life is how long a key lasts of which a node tells that it lives for ttl, below zero if it has no
// end.
func life(ttl time.Duration) time.Duration {
	if ttl < 0 {
		return Forever
	}
	return ttl
}

// Bootstrap tells all nodes that they may serve at once: the first start of a quorum under
// [WithRestartGuard], where nothing can have been forgotten, need not wait for the longest TTL.
// Never call it as a matter of course when a program starts: it takes the guard from nodes that did
// forget. It returns nil if every node did as told, else a [*QuorumError].
func (l *Locker) Bootstrap(ctx context.Context) error {
	if err := l.made(); err != nil {
		return err
	}
	if l.guard == 0 {
		return &OptionError{"Bootstrap", "no guard", "only a Locker with WithRestartGuard has something to bootstrap"}
	}
	replies, err := l.survey(ctx, "bootstrap", "", &wire.Request{Verb: wire.Bootstrap, Guard: l.guard})
	if err != nil {
		return err
	}
	for i := range replies {
		if replies[i].Verdict != wire.OK {
			return l.surveyError("bootstrap", "", replies)
		}
	}
	return nil
}
