package wire

import (
	"errors"
	"time"
)

var (
	// ErrConnecting is the cause of Unavailable where a request has waited in vain for a connection
	// that is still being made. Nothing was sent.
	ErrConnecting = errors.New("the connection is still being made")
	// ErrBadFence is the cause of Refused where the fencing register's key holds what is no fencing
	// register.
	ErrBadFence = errors.New("the fencing register holds a foreign value")
)

// A Verdict is what became of one request on one node.
type Verdict uint8

// The verdicts.
const (
	// Unanswered: no reply yet. The request may have been executed or may still be.
	Unanswered Verdict = iota
	// OK: done. For Acquire and Rejoin: the owner has the lock on this node.
	OK
	// Held: refused, for another owner has the lock key. Holder, Fingerprint and TTL tell of it.
	Held
	// Gone: refused, for the lock key is not this owner's: expired, deleted or taken over.
	Gone
	// Raised: refused to a Repair, for the fencing register is above the token already, or was lost
	// since the grant and may have been.
	Raised
	// Quarantined: refused, for the node has restarted lately (restart guard). TTL says how much
	// longer.
	Quarantined
	// Refused: the node answered with one of the errors that trying again does not mend: no
	// permission, no such command, wrong type, a foreign value in the fencing register, too old a
	// server, a certificate that is not accepted.
	Refused
	// Unavailable: the node could not be reached, did not answer in time, or answered with any
	// other error, which may pass.
	Unavailable
)

// A Reply is a node's answer to one request.
type Reply struct {
	Verdict Verdict

	// Err is the cause of Refused and Unavailable, else nil. It holds neither owner ids nor
	// secrets.
	Err error

	// Unsent is true with Unavailable if the request certainly never left: there is nothing to
	// undo.
	Unsent bool

	// Acquire: the value of F that belongs to this owner. Inspect: F, 0 if there is none
	Token uint64
	// Held, Inspect: remaining life of L (0: about to end, -1: has none). Quarantined: what is left
	TTL time.Duration

	// Fingerprint tells owners apart without giving them away: 16 hex digits of the SHA-1 of the
	// value of L. Held and Inspect only; empty if L is free.
	Fingerprint string
	// Holder is the label of the owner (WithHolder), empty if it has none or is not one of ours.
	Holder string
	// Foreign is true with Held, to an Acquire, if nobody will tell the inbox when the owner is
	// done: it is another program's, or the inbox could not be queued.
	Foreign bool

	// Again is true with OK, to an Acquire, if the owner had the lock already: the server has
	// carried out a request of the same attempt before, perhaps over another address and under
	// another run id, for it may have restarted since. That is no second vote.
	Again bool

	// Server is the run id of the server that answered, empty if unknown. Two nodes with one run id
	// are one server.
	Server string
}
