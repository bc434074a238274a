package wire

import (
	"errors"
	"time"
)

var (
	// ErrConnecting is the cause of Unavailable if the time of a request was over while its
	// connection was still being made. Nothing was sent.
	ErrConnecting = errors.New("the connection is still being made")
	// ErrBadFence is the cause of Refused if the key of the fencing register holds something else.
	ErrBadFence = errors.New("the fencing register holds a foreign value")
)

// A Verdict is the outcome of one request on one node.
type Verdict uint8

// The verdicts.
const (
	// Unanswered: no reply yet. The request may have been executed or may still be.
	Unanswered Verdict = iota
	// OK: done. For Acquire and Rejoin: the owner has the lock on this node.
	OK
	// Held: refused, because another owner has the lock key. Holder, Fingerprint and TTL describe
	// that owner.
	Held
	// Gone: refused, because the lock key is not this owner's: it expired, was deleted or was taken
	// over.
	Gone
	// Raised: a Repair was refused, because the fencing register is already above the token, or
	// because it was lost since the grant and may have been above it.
	Raised
	// Quarantined: refused, because the node has restarted recently (restart guard). TTL says how
	// much longer.
	Quarantined
	// Refused: the node answered with a permanent error, which a further try does not change: no
	// permission, no such command, wrong type, a foreign value in the fencing register, too old a
	// server, a certificate that is not accepted.
	Refused
	// Unavailable: the node could not be reached, did not answer in time, or answered with an error
	// that may be temporary.
	Unavailable
)

// A Reply is a node's answer to one request.
type Reply struct {
	Verdict Verdict

	// Unsent is true with Unavailable if the request was certainly never sent: there is nothing to
	// undo.
	Unsent bool

	// Foreign is true with Held, to an Acquire, if nobody will notify the inbox of the owner's
	// release: the owner is another program, or the inbox could not be queued.
	Foreign bool

	// Again is true with OK, to an Acquire, if the owner had the lock already: the server has
	// carried out a request of the same attempt before. That may have been over another address,
	// and under another run id if it has restarted since. Such an answer is no second vote.
	Again bool

	// Slot is the slot that an Acquire of any of several has taken, or found to be the owner's.
	Slot uint8
	// Free has a digit for each slot, with OK to such an Acquire: '1' if it was free, or reserved
	// for the inbox, or the owner's; else '0'.
	Free string

	// Err is the cause of Refused and Unavailable, else nil. It contains neither owner ids nor
	// secrets.
	Err error

	// Acquire: the value of F that belongs to this owner. Inspect: F, 0 if there is none
	Token uint64
	// Held, Inspect: remaining life of L (0: about to end, -1: has none). Quarantined: what is left
	TTL time.Duration

	// Fingerprint tells owners apart without revealing the owner id: 16 hex digits of the SHA-1 of
	// the value of L. Held and Inspect only; empty if L is free. All readers together have one.
	Fingerprint string
	// Holder is the label of the owner (WithHolder), empty if it has none or is not one of ours. Of
	// several readers it is that of the one whose share lasts longest.
	Holder string
	// Readers are those who share L, with OK to an Inspect that asks for them.
	Readers []Reader

	// Server is the run id of the server that answered, empty if unknown. Two nodes with one run id
	// are one server.
	Server string
}

// A Reader is one of those who share a lock.
type Reader struct {
	Fingerprint string        // 16 hex digits of the SHA-1 of its owner id
	Holder      string        // its label, empty if it has none
	TTL         time.Duration // remaining life of its share
}
