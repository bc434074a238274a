package redlock

import (
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
	le.check()
	if le.unlocked {
		a.unlock()
		return nil, false, ErrReleased
	}
	le.unlocked = true
	if le.cause != nil && !errors.Is(le.cause, ErrClosed) {
		a.unlock()
		return nil, false, le.unlockError(ErrLost, nil)
	}
	if le.cause == nil && le.handOver() {
		a.unlock()
		return nil, false, nil
	}
	le.end(ErrReleased)
	vote := a.openVote()
	own = a.abandon(le.remainder(), vote)
	a.setTimer(vote.until.Mono)
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
		a.engine.emit(le.Context(), level, "redlock: lease released", ReleasedEvent{Name: a.name, Kind: a.kind.name(), Err: err, Held: le.ended.Sub(le.start.Mono)})
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
	e := &QuorumError{Op: "unlock", Name: le.attempt.name, Needed: le.attempt.engine.quorum, verdict: verdict}
	if v != nil {
		le.attempt.fillIn(e, v)
	}
	return e
}

// A releaseVote counts each node's first answer to a release, for the caller of Unlock. The
// attempt's mu guards it.
type releaseVote struct {
	until clock.Moment // the node timeout
	done  chan<- struct{}

	nodes        quorum.Vote    // yes: it has deleted the lock; no: that was gone
	closed, late bool           // late: by the node timeout
	verdict      error          // nil, ErrLost or ErrNoQuorum
	duplicates   []*owedRelease // to be sent once it is over
}

// openVote opens the vote on the attempt's release. An attempt has one such vote at most. With mu
// held.
func (a *attempt) openVote() *releaseVote {
	l, v := a.engine, &a.vote
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
	case r.Request.Slots != nil: // it may have been another slot that the node had
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

// postpone delays the release to a duplicate until the vote is over: if it came first, the line
// that votes for the server would find the lock gone. With mu held.
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
		v.done <- struct{}{} // the channel is empty: the attempt's decision has been received
	}
	for _, r := range v.duplicates {
		r.Send(clock.IO(), false)
	}
	v.duplicates = nil
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
		r := &a.releases[i]
		reply := wire.Reply{Verdict: r.said, Err: r.why}
		if !r.counted && v.late {
			reply = dispatch.Silent(r.Timeout)
		}
		if r.said != wire.OK {
			e.Nodes = append(e.Nodes, nodeError(a.engine.lines[i], &reply))
		}
	}
}
