// Package release sends releases until the nodes have confirmed them, in the background if need be.
package release

import (
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/dispatch"
	"github.com/go-redlock/redlock/internal/quorum"
	"github.com/go-redlock/redlock/internal/wire"
)

// An Owner learns what became of its releases.
type Owner interface {
	// Released is called for each answer to a release, with no lock held. confirmed says that the
	// node has deleted the lock for good; a minimum hold leaves it in place.
	Released(node int, reply wire.Reply, confirmed bool)
}

// A Pending is a release that a node has not confirmed: the owner has, or may have, the lock there,
// and must lose it. The release is sent again until the node has confirmed it or the key must have
// expired by itself.
//
// The node's first "gone" is not enough if a request that takes the lock got no answer. The request
// may still be on its way. Or the node was frozen and executes the release, which came on another
// connection, before it. So the release is sent once more, a node timeout after the node has
// answered; a request that is executed even later leaves a lock that lasts for its TTL. Nor is "ok"
// enough if a renewal has meanwhile taken the lock again on the node: the release may have deleted
// the renewal's lock, before the request without an answer is executed.
//
// A release that the node refuses is sent again too, because a refusal may be temporary: somebody
// changes the permissions back.
type Pending struct {
	*Attempt
	Backlog *Backlog // of the node
	Request *wire.Request
	Trace   quorum.Trace

	probe  bool  // sent to see whether the node still refuses
	denied error // why the node refused the release, when it last did
}

// An Attempt is what the releases of one attempt have in common.
type Attempt struct {
	Owner   Owner
	Hold    time.Time // until when a minimum hold leaves the keys in place; zero: no hold
	Until   time.Time // when the keys must have expired by themselves
	Timeout time.Duration
}

// Send sends the release to the node. If it returns a dispatch.Inline, the caller must run that.
func (p *Pending) Send(now time.Time, waits bool) *dispatch.Inline {
	return p.Backlog.line.Send(dispatch.Call{
		To: p, Request: p.Request, Until: now.Add(p.Timeout), Within: p.Timeout, Waits: waits,
	})
}

// resend is Send at a later time, with the rest of the minimum hold at that time.
func (p *Pending) resend(now time.Time) {
	if !p.Hold.IsZero() {
		r := p.Request
		p.Request = &wire.Request{
			Verb: r.Verb, Slots: r.Slots, Lock: r.Lock, Owner: r.Owner, Queue: r.Queue, Inbox: r.Inbox, Reserve: r.Reserve, Quiet: r.Quiet,
			TTL: clock.CeilMillis(max(p.Hold.Sub(now), 0)),
		}
	}
	p.Send(now, false)
}

// Wanted implements dispatch.Receiver.
func (p *Pending) Wanted(*wire.Request) bool { return true }

// Answered implements dispatch.Receiver.
func (p *Pending) Answered(node int, _ *wire.Request, reply wire.Reply) {
	again := p.Trace.Unconfirmed && (reply.Verdict == wire.Gone || reply.Verdict == wire.OK && p.Trace.Rejoined)
	confirmed := !again && (reply.Verdict == wire.OK || reply.Verdict == wire.Gone) && p.Request.TTL == 0
	p.Owner.Released(node, reply, confirmed)
	b := p.Backlog
	switch {
	case again:
		p.Trace.Unconfirmed = false
		b.repeat(p)
	case reply.Verdict == wire.Unavailable:
		b.keep(&b.silent, p)
	case reply.Verdict == wire.Refused && !p.Trace.Refused:
		p.denied, p.probe = reply.Err, false
		b.keep(&b.denied, p)
	case p.probe:
		b.settle(&b.denied)
	}
}
