package redlock

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/notify"
	"github.com/go-redlock/redlock/internal/wire"
)

// A Mutex is a name together with the options for locking it. It holds no state: any number of
// goroutines may use it, each for its own lease, and a lease does not change if its mutex is
// overwritten.
type Mutex struct {
	locker *Locker
	target
	terms terms
	err   error // of bad arguments, which each call returns
}

// Mutex returns the mutex of that name. If an argument is bad, such as a name that is empty or
// longer than 1,024 bytes, each call of the mutex returns the error.
func (l *Locker) Mutex(name string, opts ...MutexOption) *Mutex {
	if err := l.made(); err != nil {
		return &Mutex{target: target{name: name}, err: err}
	}
	m := &Mutex{locker: l, target: target{name: name}, terms: l.terms}
	m.keys[0], m.err = keysOf(l.prefix, name)
	m.set(opts)
	return m
}

// set sets the options of m, or its error.
func (m *Mutex) set(opts []MutexOption) {
	for i, o := range opts {
		switch {
		case m.err != nil:
			return
		case o == nil:
			m.err = &OptionError{fmt.Sprintf("opts[%d]", i), nil, "the option is nil"}
		default:
			m.err = o.applyMutex(&m.terms)
		}
	}
	if len(opts) > 0 && m.err == nil {
		m.err = m.terms.check(&m.locker.config)
	}
}

// bad returns the error for bad arguments, or for a zero Mutex.
func (m *Mutex) bad() error {
	if m.err == nil && m.locker == nil {
		return &OptionError{"Mutex", nil, "it was not made by Locker.Mutex"}
	}
	return m.err
}

// Name returns the mutex's name.
func (m *Mutex) Name() string { return m.name }

// TTL returns the TTL of the mutex's locks ([WithTTL]), or 0 if there is none, as in a zero Mutex.
func (m *Mutex) TTL() time.Duration { return m.terms.ttl }

// Holder returns the label of the mutex's locks ([WithHolder]), or "" if they have none.
func (m *Mutex) Holder() string { return m.terms.holder }

// String returns the mutex's name, with what it is.
func (m *Mutex) String() string {
	if m.shared {
		return fmt.Sprintf("redlock.Mutex(%q, shared)", m.name)
	}
	return fmt.Sprintf("redlock.Mutex(%q)", m.name)
}

// Lock is [Locker.Lock] for the mutex's name and options.
func (m *Mutex) Lock(ctx context.Context) (*Lease, error) {
	own := *m
	return own.take(ctx, &own.terms, (*Mutex).await)
}

// TryLock is [Locker.TryLock] for the mutex's name and options.
func (m *Mutex) TryLock(ctx context.Context) (*Lease, error) {
	own := *m
	return own.take(ctx, &own.terms, (*Mutex).try)
}

// An acquirer takes the lock, by one attempt or by several, for a call that began then.
type acquirer func(m *Mutex, ctx context.Context, q *localQueue, t *terms, began time.Time) (grant, error)

// take takes the lock by acquire, and makes a lease of it, which refers to m: the caller must own
// m, because users may overwrite theirs.
func (m *Mutex) take(ctx context.Context, t *terms, acquire acquirer) (*Lease, error) {
	if err := m.bad(); err != nil {
		return nil, err
	}
	l := m.locker
	began := l.clock.Now()
	le, err := m.obtain(ctx, t, acquire, began)
	if err != nil {
		l.failed(ctx, m.name, m.kind(), err, began)
		return nil, err
	}
	if t.maxHold > 0 {
		le.startRenewal()
	}
	return le, nil
}

// obtain takes the lock by acquire, for a call that began then. The lease is not renewed yet.
func (m *Mutex) obtain(ctx context.Context, t *terms, acquire acquirer, began time.Time) (*Lease, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("redlock: %s %q: %w", m.op(), m.name, ended(ctx))
	}
	q, err := m.locker.queues.join(m.key(), m.name, t.plain, m.kind())
	if err != nil {
		return nil, err
	}
	g, err := acquire(m, ctx, q, t, began) // which leaves the queue if it fails
	if err != nil {
		return nil, err
	}
	return m.hold(ctx, q, t, g, began)
}

// hold makes a lease of a grant.
func (m *Mutex) hold(ctx context.Context, q *localQueue, t *terms, g grant, began time.Time) (*Lease, error) {
	l := m.locker
	le, live := newLease(ctx, q, t, g)
	if !live {
		_ = le.Unlock(ctx) // whatever the nodes say, the lock is not handed out
		return nil, closedError(m.op(), m.name)
	}
	if len(l.observers) > 0 {
		now := clock.Present(l.clock)
		l.observe(le.Context(), AcquiredEvent{
			Name: m.name, Fence: le.Fence(), Wait: now.Mono.Sub(began), Validity: le.Until().Sub(now.Mono), Slot: le.Slot(), Permits: le.Permits(), Kind: m.kind().name(),
		})
	}
	return le, nil
}

// runAttempt runs the algorithm once. If there is an entry the caller waits; if queued is true,
// nodes that refuse the attempt queue it under the entry. Where the votes are split it gives way at
// end (unless that is zero) or sooner.
func (m *Mutex) runAttempt(ctx context.Context, t *terms, entry *notify.Entry, queued bool, end time.Time) (got *attempt, _ error) {
	a := m.begin(ctx, t, entry, queued, end)
	defer func() {
		// then nothing may be left behind, even if an Observer panicked
		if got == nil {
			a.giveUp(context.Canceled)
		}
	}()
	if err := m.decided(ctx, a); err != nil {
		return nil, err
	}
	return a, nil
}

// decided waits until an attempt is decided, and returns nil if it was won.
func (m *Mutex) decided(ctx context.Context, a *attempt) error {
	l := m.locker
	err := a.wait(ctx)
	if len(l.observers) > 0 {
		l.observe(ctx, AttemptEvent{Name: m.name, Err: err, Took: l.clock.Now().Sub(a.start.Mono), Repairs: a.repairCount(), Permits: m.permits.count(), Kind: a.target.kind().name()})
	}
	if l.outage.told.Load() && (err == nil || refusedBy(err, ErrHeld)) {
		l.outage.over(&l.journal, l.clock.Now())
	}
	if err == nil && a.state.Token != 0 {
		l.tokens.observe(a.keys().Lock, a.state.Token)
	}
	return err
}

// Do waits for the lock as Lock does, runs fn, and unlocks. Without [WithRenewal] it renews the
// lease until fn returns. The context that fn gets is bound to ctx and to the lease: it ends when
// the lease is lost, with ErrLost as its cause, and fn should then return. Do always waits for fn
// before it releases the lock. If fn panics, Do releases the lock and the panic goes on.
//
// It returns fn's error unchanged; if the lease ended before fn returned, joined with the reason.
// If fn returned nil while the lease was valid, Do returns nil even if the release failed, because
// finished work must not be done again; the Locker reports the failure to its observers and its
// log. If the lock could not be taken, Do does not call fn and returns the same errors as Lock.
func (m *Mutex) Do(ctx context.Context, fn func(context.Context, *Lease) error) error {
	return m.do(ctx, (*Mutex).await, fn)
}

// TryDo is like Do but does not wait for a holder, as TryLock does not: if another owner has the
// lock, it returns ErrHeld at once.
func (m *Mutex) TryDo(ctx context.Context, fn func(context.Context, *Lease) error) error {
	return m.do(ctx, (*Mutex).try, fn)
}

func (m *Mutex) do(ctx context.Context, acquire acquirer, fn func(context.Context, *Lease) error) error {
	if fn == nil {
		return &OptionError{"fn", nil, "the function is nil"}
	}
	if err := m.bad(); err != nil {
		return err
	}
	own := *m
	if own.terms.maxHold == 0 {
		own.terms.maxHold = Forever
	}
	le, err := own.take(ctx, &own.terms, acquire)
	if err != nil {
		return err
	}
	result, end := le.run(ctx, fn)
	return doError(strconv.Quote(own.name), result, end)
}

// doError is what a call returns whose function ended with that result, and its lease so.
func doError(of string, result, end error) error {
	switch {
	case end == nil, errors.Is(end, ErrReleased), errors.Is(result, end):
		return result
	default:
		return errors.Join(result, fmt.Errorf("redlock: do %s: %w", of, end))
	}
}

// run calls fn and unlocks the lease, however fn ends. It returns fn's error and how the lease
// stood when fn ended.
func (le *Lease) run(ctx context.Context, fn func(context.Context, *Lease) error) (result, end error) {
	bound, cancel := le.Bind(ctx)
	defer func() {
		end = le.Err()
		cancel()
		_ = le.Unlock(ctx) // the observer and the log get the error
	}()
	return fn(bound, le), nil
}

// keysOf returns the keys of the lock of that name.
func keysOf(prefix, name string) (wire.KeySet, error) {
	keys, err := wire.Keys(prefix, name)
	if err != nil {
		return wire.KeySet{}, &OptionError{Option: "name", Value: name, Reason: err.Error()}
	}
	return keys, nil
}
