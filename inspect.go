package redlock

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/go-redlock/redlock/internal/quorum"
	"github.com/go-redlock/redlock/internal/wire"
)

// An Inspection says who has a lock, as the nodes reported it at about the same time.
type Inspection struct {
	Name   string
	Needed int // the quorum

	// Owner identifies the owner that has the lock on a quorum; it is empty if no owner has. It is
	// 16 hex digits derived from the owner id; the owner id cannot be derived from it. An owner on
	// too few nodes for a quorum is an attempt under way, or the remains of one.
	Owner  string
	Holder string // the owner's label (WithHolder), if it has one
	// how long the owner keeps its quorum if nothing extends the lock; Forever if it never expires
	Left  time.Duration
	Fence uint64 // the greatest fencing token that the nodes know; 0 if they know none
	// OwnerFence is the owner's fencing token, on which a quorum of the nodes that have its lock
	// agree; 0 while they do not, as after some have lost their data. It may be greater than the
	// token of the present holder where goroutines of one process hand the lock on, and is of no
	// meaning for an owner without fencing.
	OwnerFence uint64

	// Readers are the owners that share the lock on a quorum, the one that keeps it longest first.
	// Then Owner is empty.
	Readers []Reader

	Nodes []NodeInspection // in the order given to New
}

// A Reader is one of the owners of a shared lock.
type Reader struct {
	Owner  string        // as in Inspection
	Holder string        // its label (WithHolder), if it has one
	Left   time.Duration // how long it keeps its quorum if nothing extends the lock
}

// A NodeInspection is what one node reported.
type NodeInspection struct {
	Node   string        // its address
	Owner  string        // as in Inspection; empty if the lock is free there, or shared
	Holder string        // the owner's label
	Left   time.Duration // remaining life of the lock; Forever if it never expires
	Fence  uint64        // the fencing register, 0 if there is none
	// how many owners share the lock there
	Readers int
	Err     error // why the node reported nothing
}

// Inspect asks all nodes who has the lock of that name, and changes nothing. It takes the node
// timeout at most.
//
// If fewer nodes than a quorum answered, the error is a [*QuorumError] with ErrNoQuorum, and the
// Inspection has what the others reported. The Inspection is nil only if an argument is bad, the
// context had ended, or the Locker is closed.
func (l *Locker) Inspect(ctx context.Context, name string) (*Inspection, error) {
	return l.Mutex(name).Inspect(ctx)
}

// Inspect is [Locker.Inspect] for the mutex's name.
func (m *Mutex) Inspect(ctx context.Context) (*Inspection, error) {
	if err := m.bad(); err != nil {
		return nil, err
	}
	return m.inspect(ctx, &m.keys[0])
}

// inspect asks all nodes who has the lock with those keys.
func (m *Mutex) inspect(ctx context.Context, keys *wire.KeySet) (*Inspection, error) {
	l, r := m.locker, &wire.Request{Verb: wire.Inspect, Lock: keys.Lock, Fence: keys.Fence}
	if m.permits == nil { // a permit is not shared
		r.Readers = wire.ReadersKey(keys.Lock)
	}
	replies, err := l.survey(ctx, "inspect", m.name, r)
	if replies == nil {
		return nil, err
	}
	return l.inspection(m.name, replies), err
}

// inspection makes an Inspection of the nodes' replies.
func (l *Locker) inspection(name string, replies []wire.Reply) *Inspection {
	type term struct {
		owner string
		token uint64
	}
	in := &Inspection{Name: name, Needed: l.quorum}
	left, agree, share := make(map[string][]time.Duration), make(map[term]int), make(shares)
	for i := range replies {
		r := &replies[i]
		in.Nodes = append(in.Nodes, nodeInspection(l.lines[i].Node().Addr(), r))
		in.Fence = max(in.Fence, r.Token)
		if r.Fingerprint == "" || l.lines[i].Duplicate() || voted(replies[:i], r.Server) {
			continue
		}
		if r.Fingerprint == ofReaders {
			share.count(r.Readers)
			continue
		}
		left[r.Fingerprint] = append(left[r.Fingerprint], life(r.TTL))
		if lasts, ok := quorum.Lasts(left[r.Fingerprint], l.quorum); ok {
			in.Owner, in.Holder, in.Left = r.Fingerprint, r.Holder, lasts
		}
		same := term{r.Fingerprint, r.Token}
		if agree[same]++; agree[same] >= l.quorum {
			in.OwnerFence = r.Token
		}
	}
	in.Readers = share.of(l.quorum)
	return in
}

func nodeInspection(node string, r *wire.Reply) NodeInspection {
	n := NodeInspection{Node: node, Left: life(r.TTL), Fence: r.Token, Err: r.Err}
	if n.Readers = len(r.Readers); r.Fingerprint != ofReaders {
		n.Owner, n.Holder = r.Fingerprint, r.Holder
	}
	return n
}

// shares are the shares of readers on the nodes, by owner.
type shares map[string][]wire.Reader

func (s shares) count(readers []wire.Reader) {
	for _, r := range readers {
		s[r.Fingerprint] = append(s[r.Fingerprint], r)
	}
}

// of returns the readers that have a share on so many nodes, the one that keeps it longest first.
func (s shares) of(needed int) (readers []Reader) {
	for owner, each := range s {
		left := make([]time.Duration, len(each))
		for i, r := range each {
			left[i] = r.TTL
		}
		if lasts, ok := quorum.Lasts(left, needed); ok {
			readers = append(readers, Reader{Owner: owner, Holder: each[0].Holder, Left: lasts})
		}
	}
	slices.SortFunc(readers, func(a, b Reader) int {
		return cmp.Or(cmp.Compare(b.Left, a.Left), cmp.Compare(a.Owner, b.Owner))
	})
	return readers
}

// voted reports whether the replies already have an answer of that server, which came over another
// line.
func voted(replies []wire.Reply, server string) bool {
	return server != "" && slices.ContainsFunc(replies, func(r wire.Reply) bool { return r.Server == server })
}

// life is how long a key lasts whose node reports ttl, which is negative if the key never expires.
func life(ttl time.Duration) time.Duration {
	if ttl < 0 {
		return Forever
	}
	return ttl
}

// Bootstrap lets all nodes serve at once. It is for the first start of a quorum under
// [WithRestartGuard]: no node can have forgotten a lock, so the nodes need not wait for the longest
// TTL. Never call it routinely when a program starts: it ends the quarantine also of nodes that
// have forgotten locks. It returns nil if every node has done so, else a [*QuorumError].
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
