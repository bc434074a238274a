package wire

import (
	"sync"
	"time"
)

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
	// It keeps F for another Retention, and raises it to Token at least.
	Extend
	// Rejoin is Extend, and takes L for Owner if L is free. It raises F to Token at least.
	Rejoin
	// Release deletes L if it is Owner's. If TTL is not zero it instead sets L's remaining life to
	// TTL, and its value to one that is nobody's: so a later request of the Owner finds the lock
	// gone. If a Queue is given and has waiters, L is reserved for the first, and the first two get
	// a Notice. Inbox is the releaser's own, which is skipped; a reservation for it is passed on
	// too, though the answer is Gone.
	Release
	// Leave removes Inbox from Queue, if its place there has that Ticket. If L is reserved for
	// Inbox, the reservation goes to the next waiter, as with Release, but only that waiter gets a
	// Notice. If readers have L and Inbox is not one for readers, it no longer keeps further
	// readers out; a Ticket of 0 then stands for any.
	Leave
	// Inspect reads L and F.
	Inspect
	// Bootstrap ends the quarantine of the node at once.
	Bootstrap
	// Check finds out whether the node would take locks, and takes none. It needs no Lock.
	Check
)

// A Request is sent to every node alike. It must not change once it was passed to [Node.Do].
type Request struct {
	Verb Verb
	// Quiet has a Release without a TTL tell the first waiter only.
	Quiet bool

	// Slots are the slots of a semaphore, if the request concerns any of them; Lock is empty then.
	// An Acquire takes the first slot from Begin on, round, that is free or reserved for Inbox, or
	// finds that Owner has one already. If none is free, its answer is that of an Acquire of the
	// slot at Begin, but for TTL, the least remaining life of any owner. A Release gives up all
	// that Owner has. A Leave passes on all that is reserved for Inbox.
	Slots *Slots

	Lock  string // L
	Fence string // F; empty: without fencing. With Slots: anything, as each has its own
	// Readers is the key of those who share L, if the request is that of one of them. They have L
	// together, each for a TTL of its own, and L lasts as long as the longest. A waiter for L that
	// is no reader keeps further readers out for a while, by an Acquire with a Queue. An Acquire
	// of a reader replies F as it is; a Release without a TTL passes L on if no reader is left.
	// Inspect reads the readers too. A Leave has no need of it.
	Readers string
	Owner   string // owner id: 32 hex digits, then ':' and the holder label if there is one

	// Queue is the key of the queue of waiters. With Queue and Inbox, an Acquire that is refused
	// queues the inbox, and a reservation for the inbox counts as free; Release and Leave pass the
	// lock on. An Acquire with a Queue and no Inbox is that of a waiter that polls.
	Queue string
	Inbox string
	// Ticket is when the wait began, by the waiter's clock in microseconds, and Age is how long ago
	// that was. The queue is in the order of the tickets; the node corrects a ticket that does not
	// fit its age.
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

	once    sync.Once
	encoded []any
}

// Encoded returns the result of encode for the request. It calls encode once, for all nodes.
func (r *Request) Encoded(encode func(*Request) []any) []any {
	r.once.Do(func() { r.encoded = encode(r) })
	return r.encoded
}
