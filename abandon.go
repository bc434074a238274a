package redlock

import (
	"cmp"
	"errors"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/dispatch"
	"github.com/go-redlock/redlock/internal/notify"
	"github.com/go-redlock/redlock/internal/quorum"
	"github.com/go-redlock/redlock/internal/release"
	"github.com/go-redlock/redlock/internal/wire"
)

// abandon releases all that the attempt has on the nodes, and what late grants give it there. No
// caller's context bounds that. If remainder is not zero the keys live on for that long. If Unlock
// waits for the vote, it must run the round trip that abandon may return. With mu held.
func (a *attempt) abandon(remainder time.Duration, awaited bool) (own *dispatch.Inline) {
	a.leaves = a.state.Phase() == quorum.Won && a.acquire.Inbox != ""
	a.state.Conclude(quorum.Over)
	a.vote.awaited = awaited
	a.releases = make([]owedRelease, len(a.engine.lines))
	request := a.request(wire.Release)
	request.TTL = remainder
	request.Queue, request.Reserve = a.keys().Queue, notify.Reservation(a.timeout)
	// When a lock is unlocked, our place in the queues is left over from the turn that ends. Else
	// it may be that of the next attempt, which a node has refused because it carried this one out
	// late: so the node tells that place, as any other. Without subscriptions no node has it, or
	// the lock reserved for it. That of a semaphore may wait for another permit.
	if n := a.engine.notifier; awaited && n.Subscribed() && !a.target.kind().several() {
		request.Inbox = n.Channel(false)
	}
	// A waiter of this process tries as soon as a majority has released the lock. Not if another
	// owner has won: it would lose again at once.
	a.wakesWaiter = !a.target.kind().several() && !refusedBy(a.verdict, ErrHeld) && !refusedBy(a.verdict, errSplit)
	now := clock.IO()
	until := now.Add(max(a.terms.ttl, remainder))
	a.released = release.Attempt{Owner: a, Until: until, Timeout: a.timeout}
	if remainder > 0 {
		a.released.Hold = now.Add(remainder)
	}
	a.prepare(request)
	for i := range a.releases {
		own = a.free(i, now, awaited) // only a lone node returns one
	}
	return own
}

// prepare makes the releases of all nodes, of which the first that have the lock tell the second
// waiter too. With mu held.
func (a *attempt) prepare(request *wire.Request) {
	quiet, told := a.quiet(request), 0
	for i := range a.releases {
		r := request
		if a.state.Holds(i) {
			told++
		}
		if told > secondTold {
			r = quiet
		}
		if !a.state.Has(i) {
			if a.every == nil {
				a.every = a.everySlot(request)
			}
			a.releases[i].anySlot = true
		}
		a.releases[i].Pending = release.Pending{Attempt: &a.released, Backlog: a.engine.backlogs[i], Request: r}
	}
}

// secondTold is how many of the nodes that pass the lock on tell the second waiter too. It looks
// whether the first has died meanwhile, which takes one of them, and another in case that is lost.
const secondTold = 2

// quiet returns the release for the other nodes. With mu held.
func (a *attempt) quiet(loud *wire.Request) *wire.Request {
	// then nobody has waited here, or nothing is passed on
	if !a.engine.notifier.Subscribed() || loud.TTL > 0 {
		return loud
	}
	r := a.request(wire.Release)
	r.TTL, r.Queue, r.Reserve, r.Inbox, r.Quiet = 0, loud.Queue, loud.Reserve, loud.Inbox, true
	return r
}

// free releases the lock on one node. If a request that takes the lock is under way there, the
// release waits for its answer, because on a pool of connections it could overtake that request. If
// it returns a round trip, a caller that waits for the answer must run it. With mu held.
func (a *attempt) free(i int, now time.Time, waits bool) *dispatch.Inline {
	r := &a.releases[i]
	owed, trace := a.state.Release(i)
	switch owed {
	case quorum.Due:
		r.Trace = trace
		if r.anySlot && !a.state.Has(i) { // nor has it answered since
			r.Request = a.every
		}
		if a.vote.awaited && !a.vote.closed && a.engine.lines[i].Duplicate() {
			a.postpone(i)
			return nil
		}
		return r.Send(now, waits)
	case quorum.NotYet:
		return nil
	case quorum.Refused:
		a.leaveQueue(i)
	case quorum.Nothing:
	}
	a.count(i, &wire.Reply{Verdict: wire.Gone})
	return nil
}

// leaveQueue has a node that refused an attempt which was won forget its place in the queue, and
// pass on what it has reserved for it since: the lock has been had. With mu held.
func (a *attempt) leaveQueue(i int) {
	if a.leaves {
		r, slot := &a.acquire, a.state.Slot
		place := notify.Place{Slots: a.target.slots()[slot : slot+1], Inbox: r.Inbox, Ticket: r.Ticket}
		a.engine.notifier.Leave(place, a.engine.lines[i:i+1], a.timeout)
	}
}

// Released implements release.Owner: it counts the answer, if Unlock waits for it. Once a majority
// of the nodes has confirmed that the lock is gone, a waiter of this process tries. The nodes tell
// waiters of other processes, for in most cases this process has had its turn. But what stood in
// the way of its own waiter may have been this process itself: an attempt that a node carried out
// when it was given up, a lease whose Unlock went unanswered, or one of a call that did not wait.
func (a *attempt) Released(node int, reply wire.Reply, confirmed bool) {
	en := a.engine
	a.mu.Lock()
	defer a.unlock()
	if confirmed && a.wakesWaiter && !en.lines[node].Duplicate() && a.state.Freed() {
		// before count, which may let Unlock return: a goroutine that contends after that need not
		// be woken
		en.notifier.Freed(a.keys().Lock)
	}
	a.count(node, &reply)
}

// An owedRelease is the release of a node, and its answer.
type owedRelease struct {
	release.Pending
	anySlot   bool // the node may have any slot: see attempt.every
	postponed bool
	counted   bool
	refusal   *wire.Reply // the answer that was counted, unless that was yes
}

// undecided tells how the nodes had answered when that ended the attempt. With mu held.
func (a *attempt) undecided(why error) *QuorumError {
	e := a.error(why)
	e.undecided, e.Failed, e.Pending = true, e.Failed+e.Pending, 0
	for i := range e.Nodes {
		if n := &e.Nodes[i]; n.Verdict == wire.Unanswered {
			n.Verdict, n.Err = unheard.Verdict, unheard.Err
		}
	}
	return e
}

// error tells how the nodes have answered. With mu held.
func (a *attempt) error(verdict error) *QuorumError {
	e := lockError(a.target.kind().op(), a.target.name, verdict, a.engine.quorum, a.state.Standing())
	if !errors.Is(verdict, ErrTooLate) {
		e.self = a.fingerprint()
	}
	for i, ln := range a.engine.lines {
		if r, denied := a.state.Denied(i); denied {
			e.Nodes = append(e.Nodes, nodeError(ln, cmp.Or(r, &unanswered)))
		}
	}
	return e
}
