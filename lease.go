package redlock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/schedule"
)

// A Lease is a lock that is held. It ends when it is unlocked, when the lock is lost, or when its
// [Locker] is closed, and once ended it is never revived. Its deadline counts from before the first
// request for the lock was sent, by the monotonic clock, so it ends in time even if no node
// answers.
//
// A Lease knows only what this process can know. A process that is paused between a look at its
// lease and the work that follows may continue after the lease has ended: protect resources from
// such a process with the fencing token (see [Lease.Fence]).
//
// All methods may be called concurrently, and on a zero or nil Lease, which counts as released.
type Lease struct {
	attempt *attempt
	queue   *localQueue
	terms   *terms
	fence   uint64
	start   clock.Moment
	parent  context.Context //nolint:containedctx // the caller's, for its values
	gone    atomic.Bool     // it has left its queue

	// The attempt's mu guards these.
	unlocked bool
	danger   bool                    // its renewals fail and little is left
	ctx      context.Context         //nolint:containedctx // the lease's own lifetime, not a caller's: nil until somebody asks
	cancel   context.CancelCauseFunc // ends it
	deadline clock.Moment
	cause    error     // why it ended
	ended    time.Time // when

	renewing schedule.Entry
}

// newLease makes a lease of a grant. It is one of the Locker's live leases until it ends; live is
// false if the Locker was closed meanwhile.
func newLease(ctx context.Context, q *localQueue, t *terms, g grant) (le *Lease, live bool) {
	a := g.attempt
	le = &Lease{
		attempt: a, queue: q, terms: t, fence: g.fence, start: g.start, deadline: g.deadline, parent: ctx,
	}
	a.mu.Lock()
	defer a.unlock()
	a.lease = le
	le.arm()
	live = a.engine.leases.add(le)
	if a.lost {
		le.lose()
	}
	return le, live
}

// arm sets the timer to the deadline, or sooner: a timer stands still while the machine is
// suspended, and its next call notices the suspension. With mu held.
func (le *Lease) arm() {
	now := le.attempt.now()
	le.attempt.setTimer(now.Mono.Add(min(le.deadline.Until(now), max(time.Second, le.attempt.terms.ttl/8))))
}

// A leaseKey is the context key of a lease.
type leaseKey struct {
	engine *engine
	key    string // the name in the key of its queue
}

// key is the context key of the lease: one for both modes of a lock.
func (le *Lease) key() leaseKey {
	return leaseKey{le.attempt.engine, le.queue.key.name}
}

// FromContext returns the innermost lease of that name, taken by this Locker, that ctx carries: ctx
// is, or derives from, a context that [Lease.Context] or [Lease.Bind] returned or that Do or TryDo
// gave to its function. The lease is exclusive or shared: [Lease.Shared] tells. It may have ended:
// see [Lease.Err]. FromContext does not find leases of other Lockers, which may lock the name on
// other nodes, nor permits: see [Semaphore.FromContext].
func (l *Locker) FromContext(ctx context.Context, name string) (*Lease, bool) {
	le, ok := ctx.Value(leaseKey{&l.engine, name}).(*Lease)
	return le, ok
}

// held reports whether le is a lease at all.
func (le *Lease) held() bool { return le != nil && le.attempt != nil }

// Name returns the lock's name, or "" for a zero Lease.
func (le *Lease) Name() string {
	if !le.held() {
		return ""
	}
	return le.attempt.target.name
}

// Fence returns the fencing token. It is unique among all leases of the name (of a permit: among
// those of its slot, see [Lease.Slot]), and greater than the token of every lease that Lock had
// returned before the attempt that took this lease began. A resource that keeps the greatest token
// it has seen and refuses smaller ones is safe from holders that were paused past their lease. It
// is 0 under [WithoutFencing] and for a zero Lease, and stays the same after the lease has ended.
//
// The token of a shared lease is for reading only: see [Mutex.Shared].
func (le *Lease) Fence() uint64 {
	if !le.held() {
		return 0
	}
	return le.fence
}

var releasedContext = func() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(ErrReleased)
	return ctx
}()

// Context returns a context with the values of the context that Lock was given, but without its
// cancellation. It ends with the lease; its [context.Cause] is then ErrLost, ErrReleased or
// ErrClosed. Like Err it looks at the clock, so it returns no live context after the deadline.
func (le *Lease) Context() context.Context {
	if !le.held() {
		return releasedContext
	}
	le.attempt.mu.Lock()
	defer le.attempt.unlock()
	le.check()
	return le.context()
}

// context returns the lease's context. It makes the context at the first call; most leases never
// need one. With mu held.
func (le *Lease) context() context.Context {
	if le.ctx == nil {
		values := context.WithValue(context.WithoutCancel(le.parent), le.key(), le)
		le.ctx, le.cancel = context.WithCancelCause(values)
		if le.cause != nil {
			le.cancel(le.cause)
		}
	}
	return le.ctx
}

// Bind returns a copy of ctx that ends with the lease too, with the same cause as [Lease.Context].
// Call cancel once the context is no longer needed; it ends the context, not the lease.
func (le *Lease) Bind(ctx context.Context) (bound context.Context, cancel context.CancelFunc) {
	bound, end := context.WithCancelCause(ctx)
	if !le.held() {
		end(ErrReleased)
		return bound, func() {}
	}
	bound = context.WithValue(bound, le.key(), le)
	if err := le.Err(); err != nil {
		end(err)
	}
	own := le.Context()
	stop := context.AfterFunc(own, func() { end(context.Cause(own)) })
	return bound, func() {
		stop()
		end(context.Canceled)
	}
}

// Done returns a channel that is closed when the lease ends.
func (le *Lease) Done() <-chan struct{} { return le.Context().Done() }

// Err returns nil while the lease is valid, and afterwards why it ended: ErrLost, ErrReleased or
// ErrClosed. It looks at the clock itself, so it never returns nil after the deadline. The lease
// may end between the return of Err and the use of its result.
func (le *Lease) Err() error {
	if !le.held() {
		return ErrReleased
	}
	le.attempt.mu.Lock()
	defer le.attempt.unlock()
	le.check()
	return le.cause
}

// Until returns when the lease ends if nothing extends it, by the local clock, or when it has
// ended. It is the zero time for a zero Lease.
func (le *Lease) Until() time.Time {
	if !le.held() {
		return time.Time{}
	}
	le.attempt.mu.Lock()
	defer le.attempt.unlock()
	le.check()
	if le.cause != nil {
		return le.ended
	}
	return le.deadline.Mono
}

// check ends the lease if its deadline has passed. It returns the time. With mu held.
func (le *Lease) check() clock.Moment {
	now := le.attempt.now()
	if le.cause == nil && le.deadline.Until(now) <= 0 {
		le.lose()
	}
	return now
}

// left is how long the lease still lasts by now. With mu held.
func (le *Lease) left() time.Duration { return le.deadline.Until(le.attempt.now()) }

// onTimer is called when the timer fires; the deadline may have moved meanwhile. With mu held.
func (le *Lease) onTimer() {
	if le.check(); le.cause == nil {
		le.arm()
	}
}

// lose ends the lease with ErrLost and releases the lock on the nodes that still have it. With mu
// held.
func (le *Lease) lose() {
	if le.cause != nil {
		return
	}
	a := le.attempt
	le.leaveQueue() // first: a caller that learns of the end must find the queue left
	le.end(ErrLost, a.engine.clock.Now())
	a.abandon(le.remainder(), false)
	le.queueEvent(slog.LevelWarn, "redlock: lease lost", LostEvent{Name: a.target.name, Kind: a.target.kind().name(), Held: le.ended.Sub(le.start.Mono)})
}

// drop ends a lease that its caller never saw, and gives its lock up, or to the next in the queue.
// Nothing waits for that.
func (le *Lease) drop() {
	defer le.leaveQueue() // also where an Observer panics
	a := le.attempt
	a.mu.Lock()
	switch now := a.now(); {
	case errors.Is(le.cause, ErrLost), errors.Is(le.cause, ErrReleased):
	case le.cause == nil && le.handOver(now):
	default: // also where Close has ended it
		le.end(ErrReleased, now.Mono)
		a.stopTimer()
		a.abandon(le.remainder(), false)
		le.queueEvent(slog.LevelDebug, "redlock: lease given up", ReleasedEvent{Name: a.target.name, Kind: a.target.kind().name(), Held: le.ended.Sub(le.start.Mono)})
	}
	a.unlock()
}

// adopt puts the lease, which is renewed if renews is set, under terms that begin now.
func (le *Lease) adopt(t *terms, renews bool) {
	a := le.attempt
	a.mu.Lock()
	le.terms, le.start = t, a.now()
	a.unlock()
	switch {
	case t.maxHold > 0 && !renews:
		le.startRenewal()
	case t.maxHold == 0 && renews:
		a.engine.renewals.Remove(&le.renewing)
	}
}

// end ends the lease, unless it has ended: its context, its timer, its renewal. With mu held.
func (le *Lease) end(cause error, now time.Time) bool {
	if le.cause != nil {
		return false
	}
	a := le.attempt
	le.cause = cause
	le.ended = now
	if now.After(le.deadline.Mono) {
		le.ended = le.deadline.Mono
	}
	if le.terms.maxHold > 0 {
		a.engine.renewals.Remove(&le.renewing)
	}
	a.engine.leases.remove(le)
	if le.cancel != nil {
		le.cancel(cause)
	}
	return true
}

// close ends the lease because its Locker is closed.
func (le *Lease) close() {
	a := le.attempt
	a.mu.Lock()
	if le.end(ErrClosed, a.engine.clock.Now()) {
		a.stopTimer()
	}
	a.unlock()
	le.leaveQueue()
}

// queueEvent queues an event of the lease, to be reported once mu is free. With mu held.
func (le *Lease) queueEvent(level slog.Level, text string, e Event) {
	if a := le.attempt; a.engine.hasListeners() {
		a.events = append(a.events, pendingEvent{le, level, text, e})
	}
}

// leaveQueue takes the lease out of its queue, if it is there.
func (le *Lease) leaveQueue() {
	if le.gone.CompareAndSwap(false, true) {
		le.queue.left(le.attempt)
	}
}

// String returns the lease's name and state.
func (le *Lease) String() string {
	if !le.held() {
		return "redlock.Lease(none)"
	}
	if err := le.Err(); err != nil {
		return fmt.Sprintf("redlock.Lease(%q, %v)", le.Name(), err)
	}
	if le.queue.shared {
		return fmt.Sprintf("redlock.Lease(%q, shared, fence %d)", le.Name(), le.Fence())
	}
	return fmt.Sprintf("redlock.Lease(%q, fence %d)", le.Name(), le.Fence())
}

// GoString returns the same as String, so that %#v does not show the owner id.
func (le *Lease) GoString() string { return le.String() }

// LogValue implements [slog.LogValuer].
func (le *Lease) LogValue() slog.Value { return slog.StringValue(le.String()) }
