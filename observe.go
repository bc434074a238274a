package redlock

import (
	"context"
	"log/slog"
	"time"

	"github.com/go-redlock/redlock/pool"
)

// An Observer gets the events of a [Locker]. Observe is called from many goroutines, also from
// those that are taking or releasing a lock: it must be quick and safe for concurrent use, and must
// not call the Locker.
type Observer interface{ Observe(Event) }

// A ContextObserver gets a context with each event, so that a trace can continue the caller's. For
// an AttemptEvent and a FailedEvent that is the context of the call; for an event of a lease, the
// lease's context (see [Lease.Context]); for all others, the background context. If an Observer has
// this method, the Locker calls it instead of Observe.
type ContextObserver interface {
	Observer
	ObserveContext(context.Context, Event)
}

// An Event is one of the structs in this package whose names end in Event. Later versions may add
// events: ignore those that you do not know. No event holds an owner id.
type Event interface{ event() }

// A Kind is what a call takes under its name, for observers.
type Kind string

// The kinds.
const (
	KindLock   Kind = "lock"   // the lock, alone
	KindShared Kind = "shared" // the lock, together with other readers: see [Mutex.Shared]
	KindPermit Kind = "permit" // a permit of a [Semaphore]
)

// A NodeEvent reports one request to one node, and the answer or the failure.
type NodeEvent struct {
	Node    string
	Verb    pool.Verb
	Verdict Verdict
	Latency time.Duration // of the round trip, which requests may have shared
	Err     error
}

// An AttemptEvent reports how one attempt to take a lock ended. A Lock that waits makes several
// attempts.
type AttemptEvent struct {
	Name string
	// nil: the lock was taken; else ErrHeld, ErrNoQuorum or ErrTooLate; or the context's error with
	// each node's answer so far, which is [context.Canceled] where LockAll gave the attempt up
	// because another lock comes first
	Err     error
	Took    time.Duration // from before the first request to the decision
	Repairs int           // nodes that needed a second request for the fencing token
	Permits int           // of the semaphore; 0: it is a lock
	Kind    Kind
}

// An AcquiredEvent reports that a call returned a lease; or has one of those for several locks,
// which it returns once it has all.
type AcquiredEvent struct {
	Name     string
	Fence    uint64        // 0 without fencing
	Wait     time.Duration // from the call to the lease
	Validity time.Duration // what is left of the lease
	Slot     int           // of the semaphore that the lease has a permit of
	Permits  int           // of that semaphore; 0: it is a lock
	Kind     Kind
}

// A FailedEvent reports that Lock, TryLock, Do or TryDo ended without a lease, or Acquire or
// TryAcquire without a permit; or one of those for several locks, with the name of the one that
// could not be had.
type FailedEvent struct {
	Name string
	Kind Kind
	Err  error
	Wait time.Duration // from the call to the error
}

// A RenewedEvent reports how a renewal or an Extend ended.
type RenewedEvent struct {
	Name string
	Kind Kind
	Err  error         // nil: the deadline has moved
	Left time.Duration // what is left of the lease now
}

// A DangerEvent reports that the renewals of a lease fail: the lease has less than a third of its
// TTL left.
type DangerEvent struct {
	Name string
	Kind Kind
	Left time.Duration
}

// A LostEvent reports that a lease was lost before it was unlocked.
type LostEvent struct {
	Name string
	Kind Kind
	Held time.Duration // from the lease's beginning
}

// A ReleasedEvent reports how Unlock ended.
type ReleasedEvent struct {
	Name string
	Kind Kind
	Err  error
	Held time.Duration // from the lease's beginning to the call of Unlock
}

// A DroppedEvent reports that the Locker gave up the release of a key, so that the key lasts, or
// has lasted, until its TTL. Either the node did not answer and too many releases wait for it; or
// it refused the release repeatedly until the key had expired.
type DroppedEvent struct {
	Node string
	Err  error // why the node refused the release; nil: too many wait for the node
}

func (NodeEvent) event()     {}
func (AttemptEvent) event()  {}
func (AcquiredEvent) event() {}
func (FailedEvent) event()   {}
func (RenewedEvent) event()  {}
func (DangerEvent) event()   {}
func (LostEvent) event()     {}
func (ReleasedEvent) event() {}
func (DroppedEvent) event()  {}

// A pendingEvent is an event that is yet to be reported, with its log line.
type pendingEvent struct {
	lease interface{ Context() context.Context }
	level slog.Level
	text  string
	event Event
}
