package pool

import "github.com/go-redlock/redlock/internal/wire"

// A Node is one independent master. [Dial] and [New] make nodes, for redlock.New; the interface is
// sealed, so that it can grow. redlock.New refuses a type that embeds a Node.
type Node interface {
	// Addr names the node in errors, logs and events. It holds no credential.
	Addr() string

	sealed
}

type sealed = wire.Sealed

// A Verb says what a request asks of a node. String returns its name.
type Verb = wire.Verb

// The verbs. Each is one atomic step on the node.
const (
	// Acquire takes a lock that is free.
	Acquire Verb = wire.Acquire
	// Repair raises the fencing register to the token of a lock that was taken.
	Repair Verb = wire.Repair
	// Extend prolongs a lock.
	Extend Verb = wire.Extend
	// Rejoin prolongs a lock, and takes it again on a node that has lost it.
	Rejoin Verb = wire.Rejoin
	// Release gives a lock up, and passes it on to the next waiter.
	Release Verb = wire.Release
	// Leave gives up a place in the queue of a lock's waiters.
	Leave Verb = wire.Leave
	// Inspect reads the state of a lock.
	Inspect Verb = wire.Inspect
	// Bootstrap ends the quarantine of the node at once.
	Bootstrap Verb = wire.Bootstrap
	// Check finds out whether the node would take locks, and takes none.
	Check Verb = wire.Check
)

// A Verdict is the outcome of one request on one node. String returns a word or two for errors and
// logs.
type Verdict = wire.Verdict

// The verdicts.
const (
	// Unanswered: no reply yet. The request may have been executed or may still be.
	Unanswered Verdict = wire.Unanswered
	// OK: done.
	OK Verdict = wire.OK
	// Held: refused, because another owner has the lock.
	Held Verdict = wire.Held
	// Gone: refused, because the lock is not this owner's: it expired, was deleted or was taken
	// over.
	Gone Verdict = wire.Gone
	// Raised: a Repair was refused, because the fencing register is already above the token, or
	// because it was lost since the grant and may have been above it.
	Raised Verdict = wire.Raised
	// Quarantined: refused, because the node has restarted recently (redlock.WithRestartGuard).
	Quarantined Verdict = wire.Quarantined
	// Refused: the node answered with a permanent error, which a further try does not change: no
	// permission, no such command, wrong type, a foreign value in the fencing register, too old a
	// server, a certificate that is not accepted.
	Refused Verdict = wire.Refused
	// Unavailable: the node could not be reached, did not answer in time, or answered with an error
	// that may be temporary.
	Unavailable Verdict = wire.Unavailable
)
