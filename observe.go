package redlock

import (
	"context"
	"log/slog"
	"time"

	"github.com/go-redlock/redlock/pool"
)

// An Observer is told what a [Locker] does. Observe is called from many goroutines, some of them on
// the way of a lock: it must be safe for concurrent use, quick, and must not call the Locker.
type Observer interface{ Observe(Event) }

// A ContextObserver is told the context as well, so that a trace can go on from its caller's: that
// of the call for an AttemptEvent and a FailedEvent, that of the lease (see [Lease.Context]) for
// what tells of one, else the background. An Observer that has this method gets it called instead
// of Observe.
type ContextObserver interface {
	Observer
	ObserveContext(context.Context, Event)
}

// An Event is one of the structs of this package whose names end in Event. There may be more of
// them in a later version: ignore those that you do not know. None holds an owner id.
type Event interface{ event() }

// A NodeEvent tells of one request that one node answered, or failed to.
type NodeEvent struct {
	Node    string
	Verb    pool.Verb
	Verdict Verdict
	Latency time.Duration // of the round trip, which requests may have shared
	Err     error
}

// An AttemptEvent tells how one attempt to take a lock ended. A Lock that waits makes several.
type AttemptEvent struct {
	Name string
	// nil: taken; else ErrHeld, ErrNoQuorum, ErrTooLate or the context's error
	Err     error
	Took    time.Duration // from before the first request to the decision
	Repairs int           // nodes that needed a second request for the fencing token
}

// An AcquiredEvent tells that a lease was handed to its caller.
type AcquiredEvent struct {
	Name     string
	Fence    uint64        // 0 without fencing
	Wait     time.Duration // from the call to the lease
	Validity time.Duration // what is left of the lease
}

// A FailedEvent tells that Lock, TryLock, Do or TryDo gave up without a lease.
type FailedEvent struct {
	Name string
	Err  error
	Wait time.Duration // from the call to the error
}

// A RenewedEvent tells how a renewal or an Extend ended.
type RenewedEvent struct {
	Name string
	Err  error         // nil: the deadline has moved
	Left time.Duration // what is left of the lease now
}

// A DangerEvent tells that a lease which renews itself has less than a third of its TTL left: its
// renewals fail.
type DangerEvent struct {
	Name string
	Left time.Duration
}

// A LostEvent tells that a lease ended before it was unlocked.
type LostEvent struct {
	Name string
	Held time.Duration // from the lease's beginning
}

// A ReleasedEvent tells how Unlock ended.
type ReleasedEvent struct {
	Name string
	Err  error
	Held time.Duration // from the lease's beginning to the call of Unlock
}

// A DroppedEvent tells that the release of a key was given up: the key lasts, or has lasted, until
// its TTL. Either the node did not answer, and too many releases are owed to it; or it refused the
// release, again and again, until the key had expired.
type DroppedEvent struct {
	Node string
	Err  error // why the node refused the release; nil: too many are owed to it
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

// A pendingEvent is an event with its line for the log.
type pendingEvent struct {
	lease interface{ Context() context.Context }
	level slog.Level
	text  string
	event Event
}
