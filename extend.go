package redlock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/dispatch"
	"github.com/go-redlock/redlock/internal/quorum"
	"github.com/go-redlock/redlock/internal/wire"
)

// An extension is one try to move a lease's deadline. Only nodes that still have the lock for its
// owner count. If a majority of the nodes confirms before the current deadline, the deadline moves.
// If a majority says that the lock is gone, the lease ends. Anything less changes nothing: a node
// that did not answer may still have the lock.
type extension struct {
	lease   *Lease
	start   clock.Moment // before the first request was sent
	timeout time.Duration
	keeps   bool // it also keeps the fencing register
	done    chan struct{}

	// The attempt's mu guards these.
	replies []wire.Reply
	vote    quorum.Vote // yes: the lock is extended; no: it is gone
	decided bool
	verdict error
}

// Extend moves the lease's deadline to a full TTL from now, less the drift. It returns as soon as a
// majority has extended the lock, or a majority no longer can, or the node timeout is over, or ctx
// ends.
//
// If the lease has ended, the error is the reason: ErrLost, ErrReleased or ErrClosed. Otherwise the
// error is ErrNoQuorum or the context's error; the deadline is then unchanged, and Extend may be
// called again. Extend never takes a lost lock again.
func (le *Lease) Extend(ctx context.Context) error {
	e, err := le.startExtension(ctx)
	if err != nil {
		return err
	}
	return e.wait(ctx)
}

// startExtension sends an extension, for which wait waits.
func (le *Lease) startExtension(ctx context.Context) (*extension, error) {
	if !le.held() {
		return nil, ErrReleased
	}
	if le.Err() == nil && ctx.Err() != nil {
		return nil, fmt.Errorf("redlock: extend %q: %w", le.Name(), ended(ctx))
	}
	a := le.attempt
	a.mu.Lock()
	defer a.unlock()
	le.check()
	if le.cause != nil {
		return nil, &QuorumError{Op: "extend", Name: a.target.name, Needed: a.engine.quorum, verdict: le.cause}
	}
	return le.extend(false), nil
}

// wait waits until the extension is decided, but no longer than the node timeout, the lease and
// ctx last.
func (e *extension) wait(ctx context.Context) error {
	le, timeout := e.lease, e.timeout
	timer := le.attempt.engine.clock.AfterFunc(withGrace(timeout), func() { e.expire(dispatch.Silent(timeout)) })
	defer timer.Stop()
	select {
	case <-e.done:
	case <-le.Done():
		e.expire(unanswered)
	case <-ctx.Done():
		e.expire(unheard)
	}
	return e.result(ctx)
}

// extend sends an extension. A renewal also takes the lock again on nodes that have lost it. With
// mu held: so nothing is sent once the lease has ended.
func (le *Lease) extend(renewal bool) *extension {
	a := le.attempt
	e := &extension{
		lease:   le,
		start:   a.now(),
		done:    make(chan struct{}),
		replies: make([]wire.Reply, len(a.engine.lines)),
		vote:    quorum.NewVote(len(a.engine.lines), a.engine.quorum),
	}
	if a.rejoin == nil {
		a.rejoin = a.request(wire.Rejoin)
	}
	request := e.request()
	a.timeout = a.engine.timeout(a.terms)
	e.timeout = a.timeout
	call := dispatch.Call{To: e, Until: clock.IO().Add(a.timeout), Within: a.timeout, Patient: renewal}
	if renewal { // it is of use as long as the lease lasts
		call.Until = clock.IO().Add(max(a.timeout, le.left()))
	}
	for i, ln := range a.engine.lines {
		switch a.state.Extend(i, renewal) {
		case wire.Rejoin:
			call.Request = a.rejoin
			ln.Send(call)
		case wire.Extend:
			call.Request = request
			ln.Send(call)
		default: // the answer of the node is late
			e.vote.Count(quorum.Neither, "")
			e.replies[i] = wire.Reply{Verdict: wire.Unavailable, Unsent: true, Err: errAwaited}
		}
	}
	e.decide()
	return e
}

// keepDivisor: a lease that is extended has the nodes keep its fencing register after this part of
// the retention again, at the next extension. To find the register and to set its expiry costs a
// node as much as the rest of an extension.
const keepDivisor = 32

// request returns what the extension asks of nodes that have the lock. With mu held.
func (e *extension) request() *wire.Request {
	a := e.lease.attempt
	e.keeps = a.acquire.Fence != "" && a.kept.Add(a.acquire.Retention/keepDivisor).Until(e.start) <= 0
	if a.extend == nil || e.keeps != (a.extend.Fence != "") {
		a.extend = a.request(wire.Extend)
		if !e.keeps {
			a.extend.Fence, a.extend.Retention, a.extend.Token = "", 0, 0
		}
	}
	return a.extend
}

// Wanted implements dispatch.Receiver.
func (e *extension) Wanted(*wire.Request) bool {
	e.lease.attempt.mu.Lock()
	defer e.lease.attempt.unlock()
	return e.lease.cause == nil
}

// Answered implements dispatch.Receiver.
func (e *extension) Answered(i int, r *wire.Request, reply wire.Reply) {
	a := e.lease.attempt
	a.mu.Lock()
	defer a.unlock()
	side := a.state.Extended(i, r.Verb, &reply)
	if r.Verb == wire.Rejoin && a.state.Phase() == quorum.Over {
		a.free(i, clock.IO(), false)
	}
	e.replies[i] = reply
	if a.engine.lines[i].Duplicate() {
		e.vote.Count(quorum.Neither, "")
		e.replies[i] = noVote
	} else if !e.vote.Count(side, reply.Server) {
		e.replies[i] = noVote
	}
	e.decide()
}

// decide ends the extension as soon as nothing that is still open can change the outcome. With mu
// held.
func (e *extension) decide() {
	outcome := e.vote.Outcome()
	if outcome == quorum.No {
		e.lease.attempt.lose()
	}
	if e.decided {
		return
	}
	switch outcome {
	case quorum.Yes:
		if e.keeps {
			e.lease.attempt.kept = e.start
		}
		e.end(e.lease.prolong(e.start))
	case quorum.No:
		e.end(ErrLost)
	case quorum.Neither:
		e.end(ErrNoQuorum)
	case quorum.Open:
	}
}

// lose ends the attempt's present lease, which need not be the one that sent the extension: the
// lock may have been handed over since. With mu held.
func (a *attempt) lose() {
	if a.lost = true; a.lease != nil {
		a.lease.lose()
	}
}

// prolong moves the deadline, counted from start. It never revives a lease that has ended: the
// nodes that extended the lock release it. With mu held.
func (le *Lease) prolong(start clock.Moment) error {
	le.check()
	if le.cause != nil {
		return le.cause
	}
	if deadline := start.Add(validity(le.attempt.terms.ttl)); deadline.After(le.deadline) {
		le.deadline = deadline
		le.danger = false
		le.arm()
	}
	return nil
}

// end records the outcome. With mu held.
func (e *extension) end(verdict error) {
	le, a := e.lease, e.lease.attempt
	if e.decided {
		return
	}
	if le.cause != nil {
		verdict = le.cause
	}
	e.decided, e.verdict = true, verdict
	close(e.done)
	switch {
	case le.cause == nil:
		le.queueEvent(slog.LevelDebug, "redlock: lease extended", RenewedEvent{Name: a.target.name, Kind: a.target.kind().name(), Err: verdict, Left: max(le.left(), 0)})
	case errors.Is(le.cause, ErrLost):
		le.queueEvent(slog.LevelDebug, "redlock: lease extended", RenewedEvent{Name: a.target.name, Kind: a.target.kind().name(), Err: verdict})
	}
}

// expire ends the extension if it is still open. The given reply stands for each node that has not
// answered.
func (e *extension) expire(open wire.Reply) {
	e.lease.attempt.mu.Lock()
	defer e.lease.attempt.unlock()
	for i := range e.replies {
		if !e.decided && e.replies[i].Verdict == wire.Unanswered {
			e.replies[i] = open
		}
	}
	e.lease.check()
	e.end(ErrNoQuorum)
}

// result is what Extend returns.
func (e *extension) result(ctx context.Context) error {
	a := e.lease.attempt
	a.mu.Lock()
	defer a.unlock()
	if e.verdict == nil {
		return nil
	}
	err := &QuorumError{Op: "extend", Name: a.target.name, Needed: a.engine.quorum, Granted: e.vote.Ayes, Held: e.vote.Noes, verdict: e.verdict}
	if ctx.Err() != nil {
		err.cause = ended(ctx)
	}
	for i := range e.replies {
		if r := &e.replies[i]; r.Verdict != wire.OK {
			err.Nodes = append(err.Nodes, nodeError(a.engine.lines[i], r))
		}
		if e.replies[i].Verdict == wire.Unanswered {
			err.Pending++
		}
	}
	err.Failed = e.vote.Nodes - e.vote.Ayes - e.vote.Noes - err.Pending
	return err
}

// retryPause is how long after a failed renewal the next is sent: the nodes must have had time to
// answer, but several tries must fit before the deadline, however long the node timeout is.
func (le *Lease) retryPause() time.Duration {
	ttl := le.attempt.terms.ttl
	return min(max(le.attempt.timeout, ttl/retryDivisor), ttl/6)
}

// renewalSlack is how much sooner than due a renewal may be sent, to share round trips with others;
// for a short TTL it is the TTL divided by slackDivisor.
const (
	renewalSlack = 10 * time.Millisecond
	slackDivisor = 32
	// retryDivisor: a renewal that failed is tried again after this part of the TTL, or later.
	retryDivisor = 100
)

// hasRoom reports whether a renewal that is sent now is under way soon, to a majority of the nodes.
// Otherwise it is put off: where the nodes or this machine cannot keep up with all renewals, they
// would grow old in the lines, and be sent again, until none came in time. Put off, each comes
// later, in the order in which they are due, and none is missed as long as each can be made once in
// a TTL.
func (en *engine) hasRoom() bool {
	vote := quorum.NewVote(len(en.lines), en.quorum)
	for _, ln := range en.lines {
		side := quorum.No
		if ln.HasRoom() {
			side = quorum.Yes
		}
		vote.Count(side, "")
	}
	return vote.Outcome() == quorum.Yes
}

// startRenewal renews the lease until it ends: first after a third of the TTL, and if that fails
// again and again until the deadline. Renewals that are due at about the same time are sent
// together, so that the lines can batch them. Nothing waits for the answers.
func (le *Lease) startRenewal() {
	le.attempt.mu.Lock()
	at := le.renewal()
	le.attempt.unlock()
	le.attempt.engine.renewals.Add(&le.renewing, renewing{le}, at)
}

// renewing is the renewal of a lease as a task: a lease has no exported method for it.
type renewing struct{ lease *Lease }

// Run implements schedule.Task: it renews the lease if that is due, and returns when to run again;
// false if never.
func (r renewing) Run() (clock.Moment, bool) {
	le, a := r.lease, r.lease.attempt
	a.mu.Lock()
	defer a.unlock()
	le.check()
	now := a.now()
	if le.cause != nil || now.Mono.Sub(le.start.Mono) >= le.terms.maxHold {
		return clock.Moment{}, false
	}
	ttl := a.terms.ttl
	if due := le.renewal(); due.Until(now) > min(renewalSlack, ttl/slackDivisor) {
		return due, true
	}
	if left := le.left(); left < ttl/3 && !le.danger {
		le.danger = true
		le.queueEvent(slog.LevelWarn, "redlock: lease in danger: its renewals fail", DangerEvent{Name: a.target.name, Kind: a.target.kind().name(), Left: left})
	}
	le.extend(true)
	return now.Add(le.retryPause()), true
}

// renewal is when the lease is due for renewal: a third of the TTL after the start of the request
// that set its deadline, or sooner where the drift is most of a short TTL. With mu held.
func (le *Lease) renewal() clock.Moment {
	ttl := le.attempt.terms.ttl
	return le.deadline.Add(min(ttl/3, validity(ttl)/2) - validity(ttl))
}
