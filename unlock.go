package redlock

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/dispatch"
	"github.com/go-redlock/redlock/internal/quorum"
	"github.com/go-redlock/redlock/internal/wire"
)

// Unlock ends the lease and deletes the lock from the nodes. It returns once a majority has deleted
// it, or a majority no longer can, or the node timeout is over: it blocks no longer than that (see
// [WithNodeTimeout]). The rest is done in the background. ctx bounds nothing: the lock is released
// even if ctx has ended.
//
// It returns nil if a majority deleted the lock before the lease's deadline. It returns ErrLost if
// the lock was already gone, or the deadline had passed: the work may have overlapped with another
// holder's. It returns ErrNoQuorum if too few nodes answered: the lock then lasts for its TTL on
// the nodes that the background work does not reach. It returns ErrReleased if the lease was
// unlocked before, and then sends nothing.
func (le *Lease) Unlock(ctx context.Context) error {
	_ = ctx // bounds nothing: see above
	own, sent, err := le.release()
	if !sent {
		return err
	}
	return le.released(own)
}

// release ends the lease and sends the releases of its lock, whose answers released waits for. If
// it reports false there is nothing to wait for: the lock was handed over, or the lease had ended.
func (le *Lease) release() (own *dispatch.Inline, sent bool, _ error) {
	if !le.held() {
		return nil, false, ErrReleased
	}
	a := le.attempt
	a.mu.Lock()
	now := le.check()
	if le.unlocked {
		a.unlock()
		return nil, false, ErrReleased
	}
	le.unlocked = true
	if le.cause != nil && !errors.Is(le.cause, ErrClosed) {
		a.unlock()
		return nil, false, le.unlockError(ErrLost, nil)
	}
	if le.cause == nil && le.handOver(now) {
		a.unlock()
		return nil, false, nil
	}
	le.end(ErrReleased, now.Mono)
	a.openVote(now)
	own = a.abandon(le.remainder(), true)
	a.setTimer(a.until.Mono)
	a.unlock()
	return own, true, nil
}

// released waits for the nodes' answers to the releases, and makes the round trip that release has
// left to the caller, if there is one.
func (le *Lease) released(own *dispatch.Inline) error {
	a := le.attempt
	if own != nil {
		defer le.leaveQueue() // where an Observer panics
		own.Run()
	}
	<-a.done
	le.leaveQueue()
	a.timer.Stop()
	err := a.vote.verdict
	if err == nil && le.deadline.Until(a.now()) <= 0 {
		err = ErrLost
	}
	if err != nil {
		err = le.unlockError(err, &a.vote)
	}
	level := slog.LevelDebug
	if err != nil {
		level = slog.LevelWarn
	}
	if a.engine.listens(level) {
		a.engine.emit(le.Context(), level, "redlock: lease released", ReleasedEvent{Name: a.target.name, Kind: a.target.kind().name(), Err: err, Held: le.ended.Sub(le.start.Mono)})
	}
	return err
}

// remainder is how long the keys must stay for the minimum hold, in whole milliseconds. With the
// attempt's mu held.
func (le *Lease) remainder() time.Duration {
	if le.terms.minHold == 0 {
		return 0
	}
	return clock.CeilMillis(max(le.start.Add(le.terms.minHold).Until(le.attempt.now()), 0))
}

// unlockError is the error of Unlock if it did not find and delete the lock on a majority.
func (le *Lease) unlockError(verdict error, v *releaseVote) error {
	e := &QuorumError{Op: "unlock", Name: le.attempt.target.name, Needed: le.attempt.engine.quorum, verdict: verdict}
	if v != nil {
		le.attempt.fillIn(e, v)
	}
	return e
}

// A releaseVote counts each node's first answer to a release, for the caller of Unlock. The
// attempt's mu guards it.
type releaseVote struct {
	nodes        quorum.Vote // yes: it has deleted the lock; no: that was gone
	awaited      bool        // Unlock waits for it
	closed, late bool        // late: by the node timeout
	verdict      error       // nil, ErrLost or ErrNoQuorum
}

// openVote opens the vote on the attempt's release. An attempt has one such vote at most. With mu
// held.
func (a *attempt) openVote(now clock.Moment) {
	en := a.engine
	a.timeout = en.timeout(a.terms)
	a.until = now.Add(withGrace(a.timeout))
	a.vote.nodes = quorum.NewVote(len(en.lines), en.quorum)
}

// count counts the first answer of a node to its release, if Unlock waits for that. With mu held.
func (a *attempt) count(i int, reply *wire.Reply) {
	r := &a.releases[i]
	if !a.vote.awaited || r.counted {
		return
	}
	vote := !a.engine.lines[i].Duplicate()
	side, server := quorum.Neither, reply.Server
	switch {
	case !vote:
		server = ""
	case r.Request.Slots != nil: // it may have been another slot that the node had
	case reply.Verdict == wire.OK:
		side = quorum.Yes
	case reply.Verdict == wire.Gone:
		side = quorum.No
	}
	if counts := a.vote.nodes.Count(side, server); !counts || !vote {
		reply = &noVote
	}
	r.counted = true
	if reply.Verdict != wire.OK {
		refusal := *reply
		r.refusal = &refusal
	}
	switch a.vote.nodes.Outcome() { // as soon as nothing that is still open can change it
	case quorum.Yes:
		a.endVote(nil)
	case quorum.No:
		a.endVote(ErrLost)
	case quorum.Neither:
		a.endVote(ErrNoQuorum)
	case quorum.Open:
	}
}

// postpone delays the release to a duplicate until the vote is over: if it came first, the line
// that votes for the server would find the lock gone. With mu held.
func (a *attempt) postpone(i int) {
	a.releases[i].postponed = true
	a.count(i, &noVote)
}

// closeVote ends the vote if it is still open: the node timeout is over. With mu held.
func (a *attempt) closeVote() {
	a.vote.late = !a.vote.closed
	a.endVote(ErrNoQuorum)
}

// endVote ends the vote. With mu held.
func (a *attempt) endVote(verdict error) {
	if a.vote.closed { // nothing is postponed any more
		return
	}
	a.vote.closed, a.vote.verdict = true, verdict
	a.done <- struct{}{} // the channel is empty: the attempt's decision has been received
	for i := range a.releases {
		if r := &a.releases[i]; r.postponed {
			r.Send(clock.IO(), false)
		}
	}
}

// fillIn adds to e how the nodes answered the release.
func (a *attempt) fillIn(e *QuorumError, v *releaseVote) {
	a.mu.Lock()
	defer a.unlock()
	e.Granted, e.Held, e.Failed, e.Pending = v.nodes.Ayes, v.nodes.Noes, v.nodes.Failed(), v.nodes.Pending
	if v.late {
		e.Failed, e.Pending = e.Failed+e.Pending, 0
	}
	for i := range a.releases {
		switch r := &a.releases[i]; {
		case r.counted && r.refusal == nil: // it is released
		case !r.counted && v.late:
			silence := dispatch.Silent(r.Timeout)
			e.Nodes = append(e.Nodes, nodeError(a.engine.lines[i], &silence))
		default:
			e.Nodes = append(e.Nodes, nodeError(a.engine.lines[i], cmp.Or(r.refusal, &unanswered)))
		}
	}
}
