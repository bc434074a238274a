package redlock

import (
	"context"
	"errors"
	"fmt"
)

// Do waits for the lock as Lock does, runs fn, and unlocks. Without [WithRenewal] the lease is
// renewed until fn returns. The context that fn gets is bound to ctx and to the lease: it ends when
// the lease is lost, with ErrLost as its cause, and fn should then return. Do always waits for fn
// before it releases the lock, also if fn panics, and the panic goes on.
//
// It returns fn's error as it is; if the lease ended before fn returned, joined with why. If fn
// returned nil while the lease was valid, Do returns nil even if the release failed, for finished
// work must not be done again: the Locker's observer and log tell of that. If the lock was not had,
// fn was not called and the errors are those of Lock.
func (m *Mutex) Do(ctx context.Context, fn func(context.Context, *Lease) error) error {
	return m.do(ctx, (*Mutex).await, fn)
}

// TryDo is Do without waiting for a holder, as TryLock is to Lock: if another has the lock the
// error is ErrHeld, at once.
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
	terms := m.terms
	if terms.maxHold == 0 {
		terms.maxHold = Forever
	}
	le, err := m.take(ctx, &terms, acquire)
	if err != nil {
		return err
	}
	result, end := le.run(ctx, fn)
	switch {
	case end == nil, errors.Is(end, ErrReleased), errors.Is(result, end):
		return result
	default:
		return errors.Join(result, fmt.Errorf("redlock: do %q: %w", m.name, end))
	}
}

// run calls fn and unlocks the lease, however fn ends. It returns fn's error and how the lease
// stood when fn ended.
func (le *Lease) run(ctx context.Context, fn func(context.Context, *Lease) error) (result, end error) {
	bound, cancel := le.Bind(ctx)
	defer func() {
		end = le.Err()
		cancel()
		_ = le.Unlock(ctx) // told to the observer and the log
	}()
	return fn(bound, le), nil
}
