package redlock

import (
	"context"
	"errors"

	"github.com/go-redlock/redlock/internal/quorum"
	"github.com/go-redlock/redlock/internal/wire"
)

// Check asks all nodes whether they would serve. It is for the start of a program and for readiness
// probes. It connects to the nodes, takes no lock and leaves nothing on them; under
// [WithRestartGuard] a node that has restarted begins its quarantine, as it does with the first
// request for a lock. It takes the node timeout at most, except while connections that a quorum
// needs are still being made, for instance to distant nodes or over TLS: then it waits until ctx
// ends. Give ctx a deadline.
//
// It returns nil if a quorum would serve; the log and the observers then get the reasons of the
// nodes that would not. Otherwise the error is a [*QuorumError] with ErrNoQuorum, each node's own
// reason, and the context's error if that ended the wait. If no node was asked, it is the context's
// error alone, or ErrClosed. Check does not find what depends on a lock's name, such as a key of
// another type or a key that the nodes' user may not touch.
func (l *Locker) Check(ctx context.Context) error {
	if err := l.made(); err != nil {
		return err
	}
	r := &wire.Request{Verb: wire.Check, Guard: l.guard}
	var before []wire.Reply
	for {
		replies, err := l.survey(ctx, "check", "", r)
		if replies == nil {
			return err
		}
		for i := range before {
			if errors.Is(replies[i].Err, errUnheard) { // that says more than unheard
				replies[i] = before[i]
			}
		}
		before = replies
		switch outcome := l.serve(replies); {
		case outcome == quorum.Yes:
			return nil
		case outcome != quorum.Open, ctx.Err() != nil, l.pause(ctx, minBackoff) != nil:
			failed := l.surveyError("check", "", replies)
			if ctx.Err() != nil {
				failed.cause = ended(ctx)
			}
			return failed
		}
	}
}

// serve reports whether a majority would serve. A node whose connection is still being made leaves
// that open. Of several nodes that are one server only the first has a vote.
func (l *Locker) serve(replies []wire.Reply) quorum.Side {
	vote := quorum.NewVote(len(l.lines), l.quorum)
	for i := range replies {
		r := &replies[i]
		switch {
		case errors.Is(r.Err, wire.ErrConnecting):
		case r.Verdict != wire.OK:
			vote.Count(quorum.Neither, "")
		case l.lines[i].Duplicate():
			vote.Count(quorum.Neither, "")
			*r = noVote
		case !vote.Count(quorum.Yes, r.Server):
			*r = noVote
		}
	}
	return vote.Outcome()
}
