package pool

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/internal/seal"
)

// A Node is one independent master, spoken to in lock verbs. [Dial] and [New] make them; the
// interface is sealed, so that it can grow.
//
// All methods may be called concurrently.
type Node interface {
	// Addr names the node in errors, logs and events. It holds no credential.
	Addr() string

	// Do carries the calls to the node in one round trip and fills in the Reply of each; an empty
	// slice does nothing. It returns when all are answered, when the deadline of ctx has passed
	// (whatever is still being made or awaited, and also where ctx only tells the deadline, and
	// does not end), or when the node cannot be reached; a call without an answer by then has a
	// Reply with [Unavailable] (its request may still be executed, now or later, unless
	// Reply.Unsent is set). Each request is carried out at most once, in no certain order.
	Do(ctx context.Context, calls []Call)

	// Listen subscribes to an inbox until ctx ends. It calls ready once the node has confirmed the
	// subscription, and heard for each notice after that, both one at a time from the calling
	// goroutine or one of its own; they must not block. It returns when ctx ends, with ctx's error,
	// or when the subscription cannot be had or has broken, with the cause, and leaves no
	// connection or goroutine behind. It does not try again. [ErrNoListen] says that the node
	// cannot have subscriptions at all.
	Listen(ctx context.Context, inbox string, ready func(), heard func(Notice)) error

	// Open registers one more user of the node and returns the function that signs it off. The last
	// one to sign off closes what Dial made; a client given to New is never closed. A call after
	// that works on a connection of its own. The function is idempotent.
	Open() (closeNode func() error)

	// Sealed marks the nodes of this module.
	Sealed(seal.Seal)
}

// A Call is one request to one node and, once [Node.Do] has returned, the node's reply to it.
type Call struct {
	Request *Request
	Reply   Reply

	form form
	cmd  redis.StringCmd // the latest
	also *Call           // the next of the calls that share it
}

// A Verb says what a [Request] asks of a node.
type Verb uint8

// The verbs. L is the lock key, F the fencing register. Each is one atomic step on the node.
const (
	// Acquire takes L for Owner if it is free, or finds that Owner has it already. With fencing it
	// raises F above what it was, to at least Token (the hint), and replies the value.
	Acquire Verb = iota + 1
	// Repair raises F to Token if L is Owner's and F is not above Token already.
	Repair
	// Extend sets the remaining life of L to TTL if L is Owner's and has less. It never creates L.
	// It keeps F alive for another Retention, and at Token at least.
	Extend
	// Rejoin is Extend, and takes L for Owner if L is free. It raises F to Token at least.
	Rejoin
	// Release deletes L if it is Owner's; if TTL is not zero it sets its remaining life to TTL
	// instead, and its value to another, so that it is nobody's: a request of the Owner's that
	// comes after it finds the lock gone. If a Queue is given and somebody waits in it, L is
	// reserved for the first and the first two are told (see Notice). Inbox is the releaser's own,
	// which is passed over; a reservation for it is passed on too, though the answer is Gone.
	Release
	// Leave takes Inbox out of Queue. If L is reserved for it the reservation goes to the next, as
	// Release does it.
	Leave
	// Inspect reads L and F.
	Inspect
	// Bootstrap ends the quarantine of the node at once.
	Bootstrap
	// Check finds out whether the node would take locks, and takes none. It needs no Lock.
	Check
)

// A Request is what is asked of every node alike. It must not change once it was passed to
// [Node.Do].
type Request struct {
	Verb Verb

	Lock  string // L
	Fence string // F; empty: without fencing
	Owner string // owner id: 32 hex digits, then ':' and the holder label if there is one

	// Queue is the key of the queue of waiters. Given to Acquire, with an Inbox, a refusal queues
	// the inbox, and a reservation for the inbox counts as free. Given to Release and Leave they
	// pass the lock on.
	Queue string
	Inbox string
	// Ticket is when the wait began, by the waiter's clock in microseconds, and Age how long ago
	// that is. The queue is in the order of the tickets; the node corrects one that does not fit
	// its age.
	Ticket uint64
	Age    time.Duration
	// Reserve is for how long Release and Leave reserve L for the first waiter, in whole
	// milliseconds.
	Reserve time.Duration

	TTL       time.Duration // whole milliseconds
	Retention time.Duration // life of F, whole milliseconds
	Token     uint64        // Acquire: hint. Repair, Extend, Rejoin: the lease's fencing token

	// Guard is the longest TTL in use if the restart guard is on, else zero. A node that has
	// restarted then grants nothing for that long.
	Guard time.Duration

	once sync.Once
	wire []any // the usual command that asks for it, made once for all nodes
}

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

	// Server is the run id of the server that answered, empty if unknown. Two nodes with one run id
	// are one server.
	Server string
}

// A Notice tells an inbox about a lock that it waits for. It is a hint: it may be lost, late or
// wrong.
type Notice struct {
	Lock string // the lock key
	// Next is zero if the node has reserved the lock for the inbox, which should claim it.
	// Otherwise the inbox is the next in line: should the lock not have been claimed after Next, it
	// is worth a look.
	Next time.Duration
}
