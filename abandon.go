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
// caller's context bounds that. If remainder is not zero the keys live on for that long. If it
// returns a round trip, a caller that waits for the vote must run it. With mu held.
func (a *attempt) abandon(remainder time.Duration, vote *releaseVote) (own *dispatch.Inline) {
	a.leaves = a.state.Phase() == quorum.Won && a.acquire.Inbox != ""
	a.state.Conclude(quorum.Over)
	a.release = vote
	a.releases = make([]owedRelease, len(a.engine.lines))
	request := a.request(wire.Release)
	request.TTL = remainder
	request.Queue, request.Reserve = a.keys().Queue, notify.Reservation(a.timeout)
	// Without subscriptions no node has our channel in its queue, or the lock reserved for it. That
	// of a semaphore may wait for another permit.
	if n := a.engine.notifier; n.Subscribed() && !a.kind.several() {
		request.Inbox = n.Channel(false)
	}
	now := clock.IO()
	until := now.Add(max(a.terms.ttl, remainder))
	a.released = release.Attempt{Owner: a, Until: until, Timeout: a.timeout}
	if remainder > 0 {
		a.released.Hold = now.Add(remainder)
	}
	// A waiter of this process tries as soon as a majority has released the lock. Not if another
	// owner has won: it would lose again at once.
	a.wakesWaiter = !a.kind.several() && !errors.Is(a.verdict, ErrHeld) && !errors.Is(a.verdict, errSplit)
	a.prepare(request)
	for i := range a.releases {
		own = a.free(i, now, vote != nil) // only a lone node returns one
	}
	return own
}

// prepare makes the releases of all nodes, of which the first that have the lock tell the second
// waiter too. With mu held.
func (a *attempt) prepare(request *wire.Request) {
	quiet, told := a.quiet(request), 0
	var every *wire.Request // for a node that may have any slot
	for i := range a.releases {
		r := request
		if a.state.Holds(i) {
			told++
		}
		if told > secondTold {
			r = quiet
		}
		if !a.state.Has(i) {
			if every == nil {
				every = a.everySlot(request)
			}
			a.releases[i].every = every
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
		if r.every != nil && !a.state.Has(i) { // nor has it answered since
			r.Request = r.every
		}
		if a.release != nil && a.engine.lines[i].Duplicate() {
			a.release.postpone(r)
			return nil
		}
		return r.Send(now, waits)
	case quorum.NotYet:
		return nil
	case quorum.Refused:
		a.leaveQueue(i)
	case quorum.Nothing:
	}
	if a.release != nil {
		a.release.count(r, &wire.Reply{Verdict: wire.Gone}, !a.engine.lines[i].Duplicate())
	}
	return nil
}

// leaveQueue has a node that refused an attempt which was won forget its place in the queue, and
// pass on what it has reserved for it since: the lock has been had. With mu held.
func (a *attempt) leaveQueue(i int) {
	if a.leaves {
		r, slot := &a.acquire, a.state.Slot
		place := notify.Place{Slots: a.slots[slot : slot+1], Inbox: r.Inbox, Ticket: r.Ticket}
		a.engine.notifier.Leave(place, a.engine.lines[i:i+1], a.timeout)
	}
}

// Confirmed implements release.Owner: once a majority of the nodes has given the lock up, a waiter
// of this process tries. The nodes tell waiters of other processes, for in most cases this process
// has had its turn. But what stood in the way of its own waiter may have been this process itself:
// an attempt that was granted too late, a lease whose Unlock went unanswered, or one of a call that
// did not wait.
func (a *attempt) Confirmed(node int) {
	en := a.engine
	if !a.wakesWaiter || en.lines[node].Duplicate() {
		return
	}
	a.mu.Lock()
	freed := a.state.Freed()
	a.unlock()
	if freed {
		en.notifier.Freed(a.keys().Lock)
	}
}

// Released implements release.Owner.
func (a *attempt) Released(node int, reply wire.Reply) {
	a.mu.Lock()
	defer a.unlock()
	if a.release != nil {
		a.release.count(&a.releases[node], &reply, !a.engine.lines[node].Duplicate())
	}
}

// An owedRelease is the release of a node, and its answer.
type owedRelease struct {
	release.Pending
	every   *wire.Request // the release instead, if the node may have any slot when it is sent
	counted bool
	said    Verdict // the first answer
	why     error   // its cause
}

// error tells how the nodes have answered. With mu held.
func (a *attempt) error(verdict error) *QuorumError {
	e := lockError(a.kind.op(), a.name, verdict, a.engine.quorum, a.state.Standing())
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
