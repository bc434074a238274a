package redlock

import (
	"context"
	"errors"

	"github.com/go-redlock/redlock/internal/quorum"
	"github.com/go-redlock/redlock/internal/wire"
)

// Check asks all nodes whether they would serve: for the start of a program, and for readiness
// probes. It connects to them, takes no lock and leaves nothing on them; under [WithRestartGuard] a
// node that has restarted begins its quarantine, as it does with the first request for a lock. It
// takes the node timeout at most, and longer only while connections that a quorum needs are being
// made, as far away or over TLS: until ctx ends. Give ctx a deadline.
//
// It returns nil if a quorum would serve. A node beside that quorum which would not is told to the
// log and the observers. Otherwise the error is ErrNoQuorum in a [*QuorumError] whose Nodes have
// each node's own reason, with the context's error if that ended the wait; or the context's error
// alone, or ErrClosed, if nothing was asked. What a lock's own name brings with it, such as a key
// of another type or one that the nodes' user may not touch, shows when it is locked.
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
			if replies[i] == unheard { // it tells more than that
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

// serve reports whether a majority would serve: it may yet where a connection to a node is being
// made. A further node of a server is made one without a vote.
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
