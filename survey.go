package redlock

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/dispatch"
	"github.com/go-redlock/redlock/internal/quorum"
	"github.com/go-redlock/redlock/internal/wire"
)

// A poll sends every node the same request and waits for all answers.
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

// stop ends the poll. The given reply stands for each node that has not answered.
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

// survey sends r to all nodes. The replies are nil if it was not sent.
func (en *engine) survey(ctx context.Context, op, name string, r *wire.Request) ([]wire.Reply, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("redlock: %s: %w", subject(op, name), ended(ctx))
	}
	p := &poll{replies: make([]wire.Reply, len(en.lines)), open: len(en.lines), done: make(chan struct{})}
	timeout := en.timeout(&en.terms)
	if !en.send(p, r, timeout) {
		return nil, closedError(op, name)
	}

	over, timer := clock.After(en.clock, withGrace(timeout))
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
	answered := quorum.NewSet(len(replies), en.quorum)
	for i := range replies {
		if replies[i].Verdict == wire.OK {
			answered.Add(i)
		}
	}
	if answered.Majority() {
		return replies, nil
	}
	err := en.surveyError(op, name, replies)
	if ctx.Err() != nil {
		err.cause = ended(ctx)
	}
	return replies, err
}

// send sends r to all nodes for p. It returns false, and sends nothing, if the Locker was closed.
func (en *engine) send(p *poll, r *wire.Request, timeout time.Duration) bool {
	en.dispatch.Begin() // before the look at closed: Close waits for all that was counted before it
	defer en.dispatch.End()
	select {
	case <-en.closed:
		return false
	default:
	}
	for _, ln := range en.lines {
		ln.Send(dispatch.Call{To: p, Request: r, Until: clock.IO().Add(timeout), Within: timeout})
	}
	return true
}

// occupiedAt asks one node whether somebody has the lock there. It returns false if the node does
// not answer.
func (en *engine) occupiedAt(ctx context.Context, node int, keys wire.KeySet) bool {
	p := &poll{replies: make([]wire.Reply, len(en.lines)), open: 1, done: make(chan struct{})}
	timeout := en.timeout(&en.terms)
	r := &wire.Request{Verb: wire.Inspect, Lock: keys.Lock, Fence: keys.Fence}
	en.lines[node].Send(dispatch.Call{To: p, Request: r, Until: clock.IO().Add(timeout), Within: timeout})
	over, timer := clock.After(en.clock, timeout)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-over:
	case <-ctx.Done():
	}
	return p.stop(unanswered)[node].Fingerprint != ""
}

// surveyError returns the error for nodes that did not answer or did not carry out the request.
func (en *engine) surveyError(op, name string, replies []wire.Reply) *QuorumError {
	e := &QuorumError{Op: op, Name: name, Needed: en.quorum, verdict: ErrNoQuorum}
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
		e.Nodes = append(e.Nodes, nodeError(en.lines[i], r))
	}
	return e
}
