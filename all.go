package redlock

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// MaxAll is the greatest number of mutexes whose locks [LockAll] and its variants take.
const MaxAll = 64

// LockAll takes the locks of all mutexes. If they are free, it takes all of them at once, in one
// round trip to each node. If others hold some of them, it waits for those one after the other, as
// [Mutex.Lock] does. The order in which the mutexes are given does not matter. Calls never wait for
// one another in a circle, because a call that waits for a lock holds only locks whose keys come
// before it. Locks that it holds meanwhile are renewed; if one is nevertheless lost, LockAll begins
// again. A caller that already holds other locks when it calls LockAll can be part of a circle.
//
// There are from one to [MaxAll] mutexes, all of one [Locker] and with different names. Each lock
// is taken with the options of its own mutex; [WithRenewal] and [WithMinHold] count from the return
// of LockAll. The shortest [WithWait] bounds the wait for all.
//
// On success all leases are valid, and each has its own fencing token. On failure no lock is held.
// The error is an [*OptionError] for bad arguments, or the error of Lock for the mutex whose lock
// LockAll waited for last.
func LockAll(ctx context.Context, ms ...*Mutex) (*Leases, error) {
	return takeAll(ctx, ms, true, 0)
}

// TryLockAll takes the locks of all mutexes if they are free now. It does not wait for a holder. If
// several calls want the same free locks at the same time, one of them succeeds, whatever their
// sets are, unless messages take far longer than usual. For that, a call that was refused a lock
// after it had taken others asks for that lock once more, several round trips later. The error is
// that of [Mutex.TryLock] for the first mutex, in the order of the keys, whose lock could not be
// taken, or ErrTooLate for one that was lost before all were taken. Otherwise TryLockAll is like
// LockAll.
func TryLockAll(ctx context.Context, ms ...*Mutex) (*Leases, error) {
	return takeAll(ctx, ms, false, 0)
}

// DoAll waits for the locks of all mutexes as LockAll does, runs fn while it holds them, and
// unlocks them. If a mutex has no [WithRenewal], its lease is renewed until fn returns. The context
// that fn gets ends with ctx and with the first of the leases. Otherwise DoAll is like [Mutex.Do].
func DoAll(ctx context.Context, fn func(context.Context, *Leases) error, ms ...*Mutex) error {
	return doAll(ctx, fn, ms, true)
}

// TryDoAll is DoAll without waiting for a holder: it takes the locks as TryLockAll does.
func TryDoAll(ctx context.Context, fn func(context.Context, *Leases) error, ms ...*Mutex) error {
	return doAll(ctx, fn, ms, false)
}

func doAll(ctx context.Context, fn func(context.Context, *Leases) error, ms []*Mutex, waits bool) error {
	if fn == nil {
		return &OptionError{"fn", nil, "the function is nil"}
	}
	ls, err := takeAll(ctx, ms, waits, Forever)
	if err != nil {
		return err
	}
	result, end := ls.run(ctx, fn)
	return doError(ls.names(), result, end)
}

// takeAll takes the locks. Leases without [WithRenewal] are renewed for that long.
func takeAll(ctx context.Context, ms []*Mutex, waits bool, renewal time.Duration) (*Leases, error) {
	parts, err := partsOf(ms, renewal)
	if err != nil {
		return nil, err
	}
	l := parts[0].mutex.locker
	c := &collection{locker: l, parts: parts, waits: waits, began: l.clock.Now()}
	taken := false
	defer func() {
		if !taken { // or an Observer panicked
			c.drop(0)
		}
	}()
	ls, err := c.leases(ctx)
	if err == nil {
		taken = true
		return ls, nil
	}
	m := parts[c.at].mutex
	l.failed(ctx, m.name, m.kind(), err, c.began)
	return nil, err
}

// leases takes the locks within the shortest wait, and makes the leases.
func (c *collection) leases(ctx context.Context) (*Leases, error) {
	wait := Forever
	for i := range c.parts {
		wait = min(wait, c.parts[i].mutex.terms.wait)
	}
	bound := ctx
	if c.waits && wait != Forever {
		var stop func()
		bound, stop = c.locker.within(ctx, wait)
		defer stop()
	}
	if err := c.take(bound); err != nil {
		return nil, err
	}
	return c.finish(ctx), nil
}

// partsOf checks the mutexes, and sorts them by lock key.
func partsOf(ms []*Mutex, renewal time.Duration) ([]part, error) {
	if len(ms) == 0 || len(ms) > MaxAll {
		return nil, &OptionError{"ms", len(ms), fmt.Sprintf("from 1 to %d mutexes", MaxAll)}
	}
	parts := make([]part, len(ms))
	given := make(map[string]int, len(ms)) // by lock key
	for i, m := range ms {
		arg := fmt.Sprintf("ms[%d]", i)
		if m == nil {
			return nil, &OptionError{arg, nil, "the mutex is nil"}
		}
		if err := m.bad(); err != nil {
			return nil, err
		}
		if m.locker != ms[0].locker {
			return nil, &OptionError{arg, m.name, "it is a mutex of another Locker than ms[0]"}
		}
		if j, twice := given[m.keys[0].Lock]; twice {
			return nil, &OptionError{arg, m.name, fmt.Sprintf("its lock is that of ms[%d] too", j)}
		}
		given[m.keys[0].Lock] = i
		parts[i] = newPart(m, renewal)
	}
	slices.SortFunc(parts, func(p, q part) int { return cmp.Compare(p.mutex.keys[0].Lock, q.mutex.keys[0].Lock) })
	return parts, nil
}

func newPart(m *Mutex, renewal time.Duration) part {
	own := *m
	p := part{mutex: &own, terms: own.terms}
	if own.terms.maxHold == 0 && renewal > 0 {
		own.terms.maxHold = renewal
	}
	p.terms.wait, p.terms.maxHold, p.terms.minHold = Forever, Forever, 0
	return p
}
