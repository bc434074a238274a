package redlock

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/dispatch"
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

// A poll asks every node the same and waits for all of them.
type poll struct {
	mu      sync.Mutex
	replies []wire.Reply
	open    int
	closed  bool
	done    chan struct{}
}

func (p *poll) Wanted(*wire.Request) bool { return true }

// Answered implements dispatch.Receiver.
func (p *poll) Answered(i int, _ *wire.Request, reply wire.Reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.replies[i] = reply
	if p.open--; p.open == 0 {
		p.closed = true
		close(p.done)
	}
}

// stop ends the poll. What has not answered counts as having replied so.
func (p *poll) stop(open wire.Reply) []wire.Reply {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for i := range p.replies {
		if p.replies[i].Verdict == wire.Unanswered {
			p.replies[i] = open
		}
	}
	return p.replies
}

// survey asks all nodes r. The replies are nil if it was not sent.
func (l *Locker) survey(ctx context.Context, op, name string, r *wire.Request) ([]wire.Reply, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("redlock: %s: %w", subject(op, name), ended(ctx))
	}
	p := &poll{replies: make([]wire.Reply, len(l.lines)), open: len(l.lines), done: make(chan struct{})}
	timeout := l.timeout(&l.terms)
	if !l.send(p, r, timeout) {
		return nil, closedError(op, name)
	}

	over, timer := clock.After(l.clock, withGrace(timeout))
	defer timer.Stop()
	var replies []wire.Reply
	select {
	case <-p.done:
		replies = p.stop(unanswered)
	case <-over:
		replies = p.stop(dispatch.Silent(timeout))
	case <-ctx.Done():
		replies = p.stop(unheard)
	}
	answered := quorum.NewSet(len(replies), l.quorum)
	for i := range replies {
		if replies[i].Verdict == wire.OK {
			answered.Add(i)
		}
	}
	if answered.Majority() {
		return replies, nil
	}
	err := l.surveyError(op, name, replies)
	if ctx.Err() != nil {
		err.cause = ended(ctx)
	}
	return replies, err
}

// send sends r to all nodes for p. It returns false, and sends nothing, if the Locker was closed.
func (l *Locker) send(p *poll, r *wire.Request, timeout time.Duration) bool {
	l.dispatch.Begin() // before the look at closed: Close waits for what was counted by then
	defer l.dispatch.End()
	select {
	case <-l.closed:
		return false
	default:
	}
	for _, ln := range l.lines {
		ln.Send(dispatch.Call{To: p, Request: r, Until: clock.IO().Add(timeout), Within: timeout})
	}
	return true
}

// occupiedAt asks one node whether somebody has the lock there. If it does not answer nobody seems
// to.
func (l *Locker) occupiedAt(ctx context.Context, node int, keys wire.KeySet) bool {
	p := &poll{replies: make([]wire.Reply, len(l.lines)), open: 1, done: make(chan struct{})}
	timeout := l.timeout(&l.terms)
	r := &wire.Request{Verb: wire.Inspect, Lock: keys.Lock, Fence: keys.Fence}
	l.lines[node].Send(dispatch.Call{To: p, Request: r, Until: clock.IO().Add(timeout), Within: timeout})
	over, timer := clock.After(l.clock, timeout)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-over:
	case <-ctx.Done():
	}
	return p.stop(unanswered)[node].Fingerprint != ""
}

// surveyError tells of the nodes that did not answer, or did not do as they were told.
func (l *Locker) surveyError(op, name string, replies []wire.Reply) *QuorumError {
	e := &QuorumError{Op: op, Name: name, Needed: l.quorum, verdict: ErrNoQuorum}
	for i := range replies {
		r := &replies[i]
		switch r.Verdict {
		case wire.OK:
			e.Granted++
			continue
		case wire.Unanswered:
			e.Pending++
		default:
			e.Failed++
		}
		e.Nodes = append(e.Nodes, nodeError(l.lines[i], r))
	}
	return e
}
