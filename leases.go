package redlock

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Leases are what [LockAll] and its variants return: one [Lease] for each mutex, to be used and
// unlocked together. Each may also be used, extended and unlocked alone.
//
// All methods may be called concurrently, and on a nil *Leases, which counts as released.
type Leases struct {
	leases []*Lease        // in the order of their lock keys
	parent context.Context //nolint:containedctx // the caller's, for its values
	once   sync.Once
	ctx    context.Context //nolint:containedctx // their own lifetime
	end    context.CancelCauseFunc
}

// Lease returns the lease of that name, which has the name's fencing token, or nil if there is
// none. A token is only for the resource of its own name; tokens of different names cannot be
// compared.
func (ls *Leases) Lease(name string) *Lease {
	for _, le := range ls.all() {
		if le.Name() == name {
			return le
		}
	}
	return nil
}

func (ls *Leases) all() []*Lease {
	if ls == nil {
		return nil
	}
	return ls.leases
}

// Err returns nil while all leases are valid, and afterwards the reason why the first of them
// ended, as [Lease.Err].
func (ls *Leases) Err() error {
	_, err := ls.first()
	return err
}

// Until returns when the first of the leases ends if nothing extends it, or when it has ended; see
// [Lease.Until].
func (ls *Leases) Until() time.Time {
	until, _ := ls.first()
	return until
}

// first returns when the first lease ends, and why if it has ended.
func (ls *Leases) first() (until time.Time, err error) {
	err = ErrReleased
	for i, le := range ls.all() {
		why := le.Err()
		at := le.Until()
		switch {
		case i == 0, why != nil && (err == nil || at.Before(until)), why == nil && err == nil && at.Before(until):
			until, err = at, why
		}
	}
	return until, err
}

// Context returns a context as [Lease.Context] does, which carries all leases and ends with the
// first of them.
func (ls *Leases) Context() context.Context {
	if len(ls.all()) == 0 {
		return releasedContext
	}
	ls.once.Do(func() { ls.ctx, ls.end, _ = ls.bind(context.WithoutCancel(ls.parent)) })
	if err := ls.Err(); err != nil {
		ls.end(err)
	}
	return ls.ctx
}

// Bind is [Lease.Bind] for all leases: the context carries all of them and ends with the first.
func (ls *Leases) Bind(ctx context.Context) (bound context.Context, cancel context.CancelFunc) {
	if len(ls.all()) == 0 {
		return (*Lease)(nil).Bind(ctx)
	}
	bound, end, stop := ls.bind(ctx)
	if err := ls.Err(); err != nil {
		end(err)
	}
	return bound, func() {
		stop()
		end(context.Canceled)
	}
}

// bind returns a context that carries all leases and ends with the first, until stop is called.
func (ls *Leases) bind(ctx context.Context) (_ context.Context, end context.CancelCauseFunc, stop func()) {
	ctx, end = context.WithCancelCause(ctx)
	stops := make([]func() bool, len(ls.leases))
	for i, le := range ls.leases {
		ctx = context.WithValue(ctx, le.key(), le) //nolint:fatcontext // one for each lease
		own := le.Context()
		stops[i] = context.AfterFunc(own, func() { end(context.Cause(own)) })
	}
	return ctx, end, func() {
		for _, s := range stops {
			s()
		}
	}
}

// Done returns a channel that is closed when the first lease ends.
func (ls *Leases) Done() <-chan struct{} { return ls.Context().Done() }

// Extend extends all leases at the same time, as [Lease.Extend] does one. The error joins those of
// the leases that could not be extended; the others are.
func (ls *Leases) Extend(ctx context.Context) error {
	if len(ls.all()) == 0 {
		return ErrReleased
	}
	errs := make([]error, len(ls.leases))
	extensions := make([]*extension, len(ls.leases))
	ls.together(func(i int, le *Lease) { extensions[i], errs[i] = le.startExtension(ctx) })
	for i, e := range extensions {
		if e != nil {
			errs[i] = e.wait(ctx)
		}
	}
	return errors.Join(errs...)
}

// Unlock unlocks all leases at the same time, as [Lease.Unlock] does one. It returns nil if each
// was deleted in time, ErrReleased if all were unlocked before, and otherwise the joined errors of
// the leases that were not deleted in time.
func (ls *Leases) Unlock(ctx context.Context) error {
	_ = ctx // bounds nothing, as for a lease
	if len(ls.all()) == 0 {
		return ErrReleased
	}
	errs := make([]error, len(ls.leases))
	sent := make([]bool, len(ls.leases))
	ls.together(func(i int, le *Lease) { _, sent[i], errs[i] = le.release() })
	again := 0
	for i, le := range ls.leases {
		switch {
		case sent[i]:
			errs[i] = le.released(nil)
		case errors.Is(errs[i], ErrReleased):
			errs[i] = nil
			again++
		}
	}
	if again == len(errs) {
		return ErrReleased
	}
	return errors.Join(errs...)
}

// together calls f for each lease. What it sends shares round trips.
func (ls *Leases) together(f func(int, *Lease)) {
	ls.leases[0].attempt.engine.dispatch.Together(func() {
		for i, le := range ls.leases {
			f(i, le)
		}
	})
}

// String returns the leases' names and states.
func (ls *Leases) String() string {
	texts := make([]string, len(ls.all()))
	for i, le := range ls.all() {
		texts[i] = le.String()
	}
	return "redlock.Leases(" + strings.Join(texts, ", ") + ")"
}

// GoString returns the same as String, so that %#v does not show the owner ids.
func (ls *Leases) GoString() string { return ls.String() }

// LogValue implements [slog.LogValuer].
func (ls *Leases) LogValue() slog.Value { return slog.StringValue(ls.String()) }

// names returns the leases' names, quoted.
func (ls *Leases) names() string {
	names := make([]string, len(ls.leases))
	for i, le := range ls.leases {
		names[i] = strconv.Quote(le.Name())
	}
	return strings.Join(names, ", ")
}

// run calls fn and unlocks the leases, however fn ends. It returns fn's error, and the leases'
// error at that time.
func (ls *Leases) run(ctx context.Context, fn func(context.Context, *Leases) error) (result, end error) {
	bound, cancel := ls.Bind(ctx)
	defer func() {
		end = ls.Err()
		cancel()
		_ = ls.Unlock(ctx) // the observer and the log get the errors
	}()
	return fn(bound, ls), nil
}
