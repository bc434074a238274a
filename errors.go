package redlock

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/go-multierror"

	"github.com/go-redlock/redlock/internal/dispatch"
	"github.com/go-redlock/redlock/internal/quorum"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// The verdicts of a call, for [errors.Is]. Details come with [QuorumError].
var (
	// ErrHeld: another owner has the lock, or no permit of the semaphore is free, or a writer waits
	// for the lock that was to be shared. Once the background work is done, the attempt has left
	// nothing behind.
	ErrHeld = errors.New("held by another owner")

	// ErrNoQuorum: too few nodes could be reached, or were willing to serve, to decide; or
	// simultaneous attempts have split the votes, so that no single owner was seen on a majority.
	ErrNoQuorum = errors.New("no quorum of nodes")

	// ErrTooLate: a majority granted the lock, but only after its validity was over; it was rolled
	// back. Or, of several locks that TryLockAll took, one was lost before it had all.
	ErrTooLate = errors.New("quorum came too late")

	// ErrLost: the lease has run out, or a majority of the nodes has lost the lock or given it to
	// another owner. Work done under the lease since then may have overlapped with another
	// holder's.
	ErrLost = errors.New("lease lost")

	// ErrReleased: the lease was unlocked.
	ErrReleased = errors.New("lease released")

	// ErrClosed: the Locker was closed.
	ErrClosed = errors.New("locker closed")
)

// errSplit is the verdict where no owner was seen on a majority, though enough nodes answered.
var errSplit = fmt.Errorf("%w: the votes are split between owners", ErrNoQuorum)

// A Verdict is the outcome of one request on one node.
type Verdict = pool.Verdict

// A QuorumError says how the nodes answered a call that did not succeed. [errors.Is] finds in it
// the verdict ([ErrHeld], [ErrNoQuorum], [ErrTooLate], [ErrLost]) if there was one, the context's
// error if that ended the wait, and each node's own cause; [errors.AsType] finds a [*NodeError].
type QuorumError struct {
	// "lock", "lock shared", "acquire" (a permit), "extend", "unlock", "inspect", "check" or
	// "bootstrap"
	Op      string
	Name    string // the lock's name; empty for "check" and "bootstrap"
	Needed  int    // the quorum
	Granted int    // nodes that said yes
	Held    int    // nodes where another owner has the lock, or where it is gone
	Failed  int    // nodes that refused, could not be reached, or did not answer in time
	// nodes that had not answered when the outcome was certain: it did not wait for them
	Pending int

	// RetryAfter is when the lock is free at the latest if nobody renews or takes it meanwhile: by
	// then the lives and quarantines that the nodes reported are over on a quorum of them. The
	// holder may release it sooner. Zero if unknown.
	RetryAfter time.Duration

	// Holder is the label (WithHolder) of the owner that has the lock, if a node reported one.
	Holder string

	// Nodes has an entry for each node that did not say yes, in the order given to New. A node that
	// counts as Pending has the verdict [pool.Unanswered]; Error and Unwrap leave it out.
	Nodes []NodeError

	verdict error  // one of the sentinels, or what ended the wait before there was a verdict
	owned   bool   // one other owner has the lock on a majority
	self    string // fingerprint of the attempt's own owner id
	owner   string // of the one that has the lock on the most nodes
	foreign bool   // another program has it, or may have the most of it
	vacant  bool   // of a semaphore: some nodes have granted a slot
	slot    int    // then: the one that is free on the most of them
	cause   error  // what ended the wait, if anything did

	undecided bool // there was no verdict
}

// Error implements error.
func (e *QuorumError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "redlock: %s: %v (%d granted, %d held, %d failed; %d needed",
		subject(e.Op, e.Name), e.verdict, e.Granted, e.Held, e.Failed, e.Needed)
	if e.RetryAfter > 0 {
		fmt.Fprintf(&b, "; retry after %v", e.RetryAfter.Round(time.Millisecond))
	}
	b.WriteByte(')')
	if e.cause != nil {
		fmt.Fprintf(&b, ": %v", e.cause)
	}
	if nodes := e.nodes(); nodes != nil {
		fmt.Fprintf(&b, ": %v", nodes)
	}
	return b.String()
}

// subject says what was done, and to which lock if to one.
func subject(op, name string) string {
	if name == "" {
		return op
	}
	return fmt.Sprintf("%s %q", op, name)
}

// Unwrap returns the verdict, what ended the wait, and the nodes' errors.
func (e *QuorumError) Unwrap() []error {
	all := []error{e.verdict}
	if e.cause != nil {
		all = append(all, e.cause)
	}
	if nodes := e.nodes(); nodes != nil {
		all = append(all, nodes)
	}
	return all
}

// nodes collects the errors of the nodes that were waited for, or returns nil if there are none.
func (e *QuorumError) nodes() error {
	var all *multierror.Error
	for i := range e.Nodes {
		if e.Nodes[i].Verdict != wire.Unanswered {
			all = multierror.Append(all, &e.Nodes[i])
		}
	}
	if all != nil {
		all.ErrorFormat = onOneLine
	}
	return all.ErrorOrNil()
}

func onOneLine(errs []error) string {
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

// A NodeError is one node's part in a [QuorumError].
type NodeError struct {
	Node    string  // its address
	Verdict Verdict // what became of the request there
	Holder  string  // label (WithHolder) of the owner there, if the node reported one
	// Held: the other owner's remaining life; Quarantined: how much longer; 0 if unknown
	Remain time.Duration
	Err    error // the cause, if the node or the network gave one
}

// Error implements error.
func (e *NodeError) Error() string {
	var b strings.Builder
	b.WriteString(e.Node)
	b.WriteString(": ")
	b.WriteString(e.Verdict.String())
	if e.Holder != "" {
		fmt.Fprintf(&b, " by %q", e.Holder)
	}
	if e.Remain > 0 {
		fmt.Fprintf(&b, " for another %v", e.Remain.Round(time.Millisecond))
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *NodeError) Unwrap() error { return e.Err }

// unanswered is the Reply of a node that has not answered yet.
var unanswered wire.Reply

// unheard is the Reply of a node that had not answered when the caller's context ended.
var unheard = wire.Reply{Verdict: wire.Unavailable, Err: errUnheard}

var (
	errAwaited = errors.New("the request that took the lock there is not answered yet")
	errUnheard = errors.New("no answer before the context ended")

	errTwin = errors.New("it is the same server as another node and has no vote of its own")
	// what counts of the answer of a node without a vote.
	noVote = wire.Reply{Verdict: wire.Refused, Err: errTwin}

	errElsewhere = errors.New("its address led to another server than the one that granted the lock")
	// what counts of that server's answer.
	elsewhere = wire.Reply{Verdict: wire.Unavailable, Err: errElsewhere}
)

// closedError is what calls return after Close.
func closedError(op, name string) error {
	return fmt.Errorf("redlock: %s: %w", subject(op, name), ErrClosed)
}

// errWaited is the cause of a context that [WithWait] ended.
var errWaited = fmt.Errorf("%w", context.DeadlineExceeded)

// ended returns an error that wraps both the Err and the Cause of ctx, which has ended. A wait that
// [WithWait] ended is a deadline like any other. It never returns the cause alone, which may be
// another lock's error.
func ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	switch {
	case errors.Is(cause, errWaited):
		return context.DeadlineExceeded
	case errors.Is(err, cause):
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// lockError reports how the nodes stand towards an attempt to take the lock.
func lockError(op, name string, verdict error, needed int, s quorum.Standing) *QuorumError {
	return &QuorumError{
		Op:         op,
		Name:       name,
		Needed:     needed,
		Granted:    s.Granted,
		Held:       s.Held,
		Failed:     s.Failed,
		Pending:    s.Open,
		RetryAfter: s.RetryAfter,
		Holder:     s.Holder,
		verdict:    verdict,
		owned:      s.Owned,
		owner:      s.Owner,
		foreign:    s.Foreign,
		vacant:     s.Vacant,
		slot:       s.Slot,
	}
}

// nodeError describes an answer that was not yes.
func nodeError(ln *dispatch.Line, r *wire.Reply) NodeError {
	e := NodeError{Node: ln.Node().Addr(), Verdict: r.Verdict, Holder: r.Holder, Err: r.Err}
	switch r.Verdict {
	case wire.Held, wire.Quarantined:
		e.Remain = max(r.TTL, 0)
	case wire.OK:
		e.Verdict, e.Err = noVote.Verdict, noVote.Err
	default: // there is no more to say
	}
	return e
}

// An OptionError reports a bad argument of [New], of another call or of an option.
type OptionError struct {
	Option string // the option or argument, as spelled in Go
	Value  any    // the value given to it
	Reason string // what is wrong with it
}

// Error implements error.
func (e *OptionError) Error() string {
	return fmt.Sprintf("redlock: %s: %s (got %v)", e.Option, e.Reason, e.Value)
}

// permanent reports whether waiting cannot help because a majority of the nodes refuses
// permanently.
func (e *QuorumError) permanent() bool {
	vote := quorum.NewVote(len(e.Nodes), e.Needed)
	for _, n := range e.Nodes {
		if n.Verdict == wire.Refused {
			vote.Count(quorum.No, "")
		} else {
			vote.Count(quorum.Neither, "")
		}
	}
	return vote.Outcome() == quorum.No
}

// verdictOf returns err if it is a verdict, or nil. A verdict that err only wraps is another
// lock's: the cause that ended a context.
func verdictOf(err error) *QuorumError {
	e, _ := err.(*QuorumError) //nolint:errorlint // see above
	if e != nil && e.undecided {
		return nil
	}
	return e
}

// refusedBy reports whether err is a verdict of that kind.
func refusedBy(err, kind error) bool {
	v := verdictOf(err)
	return v != nil && errors.Is(v.verdict, kind)
}
