package election

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/jitter"
)

// An Election is the name that candidates campaign for, together with the options of their leases.
// It holds no state: any number of goroutines may use it.
type Election struct{ mutex *redlock.Mutex }

// New returns the election of that name over the Locker's nodes. It is the lock of that name, so
// nothing else should lock it. The options are those of the leases. [redlock.WithHolder], by which
// observers know the leader, is host/pid if neither the options nor the Locker set a label. Two
// options bound terms: under [redlock.WithRenewal] a term is lost when its maximum is over; under
// [redlock.WithMinHold] the next one does not begin sooner, though the leader has resigned. If an
// argument is bad, each call of the election returns the error.
func New(locks *redlock.Locker, name string, opts ...redlock.MutexOption) *Election {
	m := locks.Mutex(name, opts...)
	if m.Holder() == "" {
		m = locks.Mutex(name, append(slices.Clone(opts), redlock.WithHolder(process()))...)
	}
	return &Election{m}
}

// process names this process.
func process() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}

// made returns an error for an Election that is zero or nil.
func (e *Election) made() error {
	if e == nil || e.mutex == nil {
		return &redlock.OptionError{Option: "Election", Reason: "it was not made by New"}
	}
	return nil
}

// String returns the election's name, with what it is.
func (e *Election) String() string {
	if e.made() != nil {
		return "election.Election(none)"
	}
	return fmt.Sprintf("election.Election(%q)", e.mutex.Name())
}

// Lead campaigns until this process is elected, and calls fn to lead. The lease is renewed while fn
// runs. The context that fn gets is bound to ctx and to the lease: it ends when the lead is lost,
// with [redlock.ErrLost] as its cause, and fn should then return. Lead campaigns again only when it
// has, and calls fn again with a greater token. A call of Lead never runs fn twice at once.
//
// fn resigns by returning while it leads, and Lead returns its error. If fn panics, it has resigned
// too, and the panic goes on. What fn returns after the lead was lost is dropped, for Lead
// campaigns again. After a lead that was lost at once Lead first pauses: from 100 ms, and twice as
// long each time, to 5 s.
//
// If ctx ends before or while fn runs, Lead returns the context's error, joined with fn's. fn is
// not called once ctx has ended. If the campaign fails otherwise, the error is that of
// [redlock.Mutex.Do]: an [*redlock.OptionError], ErrClosed, or a [*redlock.QuorumError] that comes
// at once where a majority of the nodes refuses permanently, or under [redlock.WithWait] when that
// is over. A missing quorum is no error: Lead goes on until there is one.
//
// Lead may be called concurrently: each call is a candidate of its own.
func (e *Election) Lead(ctx context.Context, fn func(context.Context, *redlock.Lease) error) error {
	if err := e.made(); err != nil {
		return err
	}
	if fn == nil {
		return &redlock.OptionError{Option: "fn", Reason: "the function is nil"}
	}
	for brief := 0; ; brief++ {
		t := &term{campaign: ctx}
		err := e.mutex.Do(ctx, func(ctx context.Context, lease *redlock.Lease) error { return t.serve(ctx, lease, fn) })
		switch {
		case t.stopped != nil:
			return e.stopped(t.stopped, err)
		case !errors.Is(t.end, redlock.ErrLost): // it resigned, or was not elected
			return err
		case t.lasted >= maxPause:
			brief = 0
		}
		pause(ctx, backoff(brief))
	}
}

// A term is one time of leading.
type term struct {
	campaign context.Context //nolint:containedctx // the caller's
	stopped  error           // of that context, when the term was over
	end      error           // the lease's error at that time
	lasted   time.Duration
}

// serve calls fn to lead for one term.
func (t *term) serve(ctx context.Context, lease *redlock.Lease, fn func(context.Context, *redlock.Lease) error) error {
	began := clock.System{}.Now()
	defer func() {
		t.lasted = clock.System{}.Now().Sub(began)
		t.stopped, t.end = t.campaign.Err(), lease.Err()
	}()
	if ctx.Err() != nil { // it was elected after ctx had ended
		return context.Cause(ctx)
	}
	return fn(ctx, lease)
}

// stopped returns the error of a candidate whose context has ended, joined with the error of its
// function.
func (e *Election) stopped(ended, result error) error {
	if errors.Is(result, ended) {
		return result
	}
	return errors.Join(result, fmt.Errorf("redlock: lead %q: %w", e.mutex.Name(), ended))
}

const minPause, maxPause = 100 * time.Millisecond, 5 * time.Second

// backoff returns how long to pause after that many brief terms and one more.
func backoff(brief int) time.Duration {
	d := min(minPause<<min(brief, 16), maxPause)
	return d/2 + jitter.N(d/2)
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	over, timer := clock.After(clock.System{}, d)
	defer timer.Stop()
	select {
	case <-over:
	case <-ctx.Done():
	}
}
