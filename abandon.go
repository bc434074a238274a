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

// abandon releases all that the attempt has on the nodes, and sees to it that what it gets there
// yet is released too. No context of a caller bounds that. If remainder is not zero the keys are
// left to live for that long. Who waits for a vote has to run the round trip, if one is returned.
// With mu held.
func (a *attempt) abandon(remainder time.Duration, vote *releaseVote) (own *dispatch.Inline) {
	a.state.Conclude(quorum.Over)
	a.release = vote
	a.releases = make([]owedRelease, len(a.locker.lines))
	request := a.request(wire.Release)
	request.TTL = remainder
	request.Queue, request.Reserve = a.queue, notify.Reservation(a.timeout)
	// else no node has our channel in its queue, or the lock reserved for it
	if n := a.locker.notifier; n.Subscribed() {
		request.Inbox = n.Channel()
	}
	now := clock.IO()
	until := now.Add(max(a.terms.ttl, remainder))
	a.released = release.Attempt{Owner: a, Until: until, Timeout: a.timeout}
	if remainder > 0 {
		a.released.Hold = now.Add(remainder)
	}
	// Who waits here tries once a majority has given the lock up: unless that was lost in time, to
	// somebody else, for to try at once would be to lose at once.
	a.wakesWaiter = !errors.Is(a.verdict, ErrHeld) && !errors.Is(a.verdict, errSplit)
	for i := range a.releases {
		a.releases[i].Pending = release.Pending{Attempt: &a.released, Backlog: a.locker.backlogs[i], Request: request}
	}
	for i := range a.releases { // an answer to one looks at the others
		own = a.free(i, now, vote != nil) // one only, of a lone node
	}
	return own
}

// free releases the lock on one node, unless a request is under way there that takes it: on a pool
// of connections a release could overtake it, so it waits until that has landed. Who calls, and
// waits for the answer, has to run the round trip, if one is returned. With mu held.
func (a *attempt) free(i int, now time.Time, waits bool) *dispatch.Inline {
	r := &a.releases[i]
	owed, trace := a.state.Release(i)
	switch {
	case owed == quorum.Due:
		r.Trace = trace
		if a.release != nil && a.locker.lines[i].Duplicate() {
			a.release.postpone(r)
		} else {
			return r.Send(now, waits)
		}
	case owed == quorum.Nothing && a.release != nil:
		a.release.count(r, &wire.Reply{Verdict: wire.Gone}, !a.locker.lines[i].Duplicate())
	}
	return nil
}

// Confirmed implements release.Owner: it has who waits here for the lock try, once a majority of
// the nodes has given it up. They tell other processes of that, for in most cases this one has had
// its turn. But what stood in the way of the waiter may have been this process's own: an attempt
// that was granted too late, a lease whose Unlock went unanswered, or one that a call had which did
// not wait.
func (a *attempt) Confirmed(node int) {
	l := a.locker
	if a.wakesWaiter && !l.lines[node].Duplicate() && int(a.confirmed.Add(1)) == l.quorum {
		l.notifier.Freed(a.acquire.Lock)
	}
}

// Released implements release.Owner.
func (a *attempt) Released(node int, reply wire.Reply) {
	a.mu.Lock()
	defer a.unlock()
	if a.release != nil {
		a.release.count(&a.releases[node], &reply, !a.locker.lines[node].Duplicate())
	}
}

// An owedRelease is the release of a node, and its answer.
type owedRelease struct {
	release.Pending
	counted bool
	said    Verdict // the first answer
	why     error   // its cause
}

// A releaseVote counts what the nodes say first to a release, for the caller of Unlock. The
// attempt's mu guards it.
type releaseVote struct {
	until clock.Moment // the node timeout
	done  chan<- struct{}

	nodes        quorum.Vote    // yes: it has deleted the lock; no: that was gone
	closed, late bool           // late: by the node timeout
	verdict      error          // nil, ErrLost or ErrNoQuorum
	duplicates   []*owedRelease // to be sent once it is over
}

// openVote opens the vote on the attempt's release, of which there is one at most. With mu held.
func (a *attempt) openVote() *releaseVote {
	l, v := a.locker, &a.vote
	a.timeout = l.timeout(a.terms)
	v.until, v.done = clock.Present(l.clock).Add(withGrace(a.timeout)), a.done
	v.nodes = quorum.NewVote(len(l.lines), l.quorum)
	return v
}

// count counts the first answer to r. With mu held.
func (v *releaseVote) count(r *owedRelease, reply *wire.Reply, vote bool) {
	if r.counted {
		return
	}
	side, server := quorum.Neither, reply.Server
	switch {
	case !vote:
		server = ""
	case reply.Verdict == wire.OK:
		side = quorum.Yes
	case reply.Verdict == wire.Gone:
		side = quorum.No
	}
	if counts := v.nodes.Count(side, server); !counts || !vote {
		reply = &noVote
	}
	r.counted, r.said, r.why = true, reply.Verdict, reply.Err
	v.decide()
}

// postpone has the release to a duplicate wait until the vote is over: should it come first, the
// line that votes for the server would find the lock gone. With mu held.
func (v *releaseVote) postpone(r *owedRelease) {
	v.duplicates = append(v.duplicates, r)
	v.count(r, &noVote, false)
}

// decide ends the vote as soon as nothing that is still open can change it. With mu held.
func (v *releaseVote) decide() {
	switch v.nodes.Outcome() {
	case quorum.Yes:
		v.end(nil)
	case quorum.No:
		v.end(ErrLost)
	case quorum.Neither:
		v.end(ErrNoQuorum)
	case quorum.Open:
	}
}

// close ends the vote if it is still open: the node timeout is over. With mu held.
func (v *releaseVote) close() {
	v.late = !v.closed
	v.end(ErrNoQuorum)
}

// end ends the vote. With mu held.
func (v *releaseVote) end(verdict error) {
	if !v.closed {
		v.closed, v.verdict = true, verdict
		v.done <- struct{}{} // there is room: the decision was taken out
	}
	for _, r := range v.duplicates {
		r.Send(clock.IO(), false)
	}
	v.duplicates = nil
}

// fillIn adds to e how the nodes of c have answered.
func (v *releaseVote) fillIn(a *attempt, e *QuorumError) {
	a.mu.Lock()
	defer a.unlock()
	e.Granted, e.Held, e.Failed, e.Pending = v.nodes.Ayes, v.nodes.Noes, v.nodes.Failed(), v.nodes.Pending
	if v.late {
		e.Failed, e.Pending = e.Failed+e.Pending, 0
	}
	for i := range a.releases {
		r := &a.releases[i]
		reply := wire.Reply{Verdict: r.said, Err: r.why}
		if !r.counted && v.late {
			reply = dispatch.Silent(r.Timeout)
		}
		if r.said != wire.OK {
			e.Nodes = append(e.Nodes, nodeError(a.locker.lines[i], &reply))
		}
	}
}

// error tells how the nodes have answered. With mu held.
func (a *attempt) error(verdict error) *QuorumError {
	e := lockError(a.name, verdict, a.locker.quorum, a.state.Standing())
	if !errors.Is(verdict, ErrTooLate) {
		e.self = a.fingerprint()
	}
	for i, ln := range a.locker.lines {
		if r, denied := a.state.Denied(i); denied {
			e.Nodes = append(e.Nodes, nodeError(ln, cmp.Or(r, &unanswered)))
		}
	}
	return e
}
