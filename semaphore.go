package redlock

import (
	"cmp"
	"context"
	"fmt"
	"sync"

	"github.com/go-redlock/redlock/internal/wire"
)

// MaxPermits is the greatest number of permits of a [Semaphore].
const MaxPermits = wire.MaxSlots

// A Semaphore is a name with a number of permits, each of which has at most one owner, together
// with the options for acquiring one. A permit is a lease of one of the semaphore's slots, which
// are numbered from 0 (see [Lease.Slot]). It ends, is extended, renewed and released like the lease
// of a lock. A Semaphore has no state: any number of goroutines may use it, each for its own
// permit.
//
// The nodes do not store the number of permits: a program uses the slots below its own number. So
// at most as many permits are held at once as the greatest number that any program uses.
type Semaphore struct{ mutex Mutex }

// Semaphore returns the semaphore of that name with so many permits, from 1 to [MaxPermits]. The
// semaphore and the lock of the same name do not affect each other. In one process all calls for a
// name must use the same number of permits. If an argument is bad, each call of the semaphore
// returns the error.
func (l *Locker) Semaphore(name string, count int, opts ...MutexOption) *Semaphore {
	s := &Semaphore{Mutex{target: target{name: name}}}
	m := &s.mutex
	if m.err = l.made(); m.err != nil {
		return s
	}
	m.locker, m.terms = l, l.terms
	var slots []wire.KeySet
	if slots, m.err = slotKeys(l.prefix, name, count); m.err != nil {
		return s
	}
	m.permits = &permits{slots: slots}
	m.set(opts)
	return s
}

// slotKeys returns the keys of the slots of a semaphore with so many permits.
func slotKeys(prefix, name string, count int) ([]wire.KeySet, error) {
	if count < 1 || count > MaxPermits {
		return nil, &OptionError{"permits", count, fmt.Sprintf("a semaphore has 1 to %d permits", MaxPermits)}
	}
	slots, err := wire.SlotKeys(prefix, name, count)
	if err != nil {
		return nil, &OptionError{Option: "name", Value: name, Reason: err.Error()}
	}
	return slots, nil
}

// Name returns the semaphore's name.
func (s *Semaphore) Name() string { return s.mutex.name }

// Permits returns how many permits the semaphore has; 0 if an argument of it is bad.
func (s *Semaphore) Permits() int { return s.mutex.permits.count() }

// String returns the semaphore's name and permits, with what it is.
func (s *Semaphore) String() string {
	return fmt.Sprintf("redlock.Semaphore(%q, %d)", s.Name(), s.Permits())
}

// Acquire waits for a permit as [Locker.Lock] waits for a lock, in the same order among processes
// and with the same errors. On success the lease is valid. The caller must finally unlock it, which
// gives the permit back. ErrHeld says that all permits were held.
func (s *Semaphore) Acquire(ctx context.Context) (*Lease, error) {
	return s.mutex.Lock(ctx)
}

// TryAcquire takes a permit if one is free now, as [Locker.TryLock] takes a lock. It returns
// ErrHeld only if it found no permit free on a majority of the nodes. If simultaneous callers keep
// all permits from each other, it goes on for at most about six node timeouts, and then returns
// ErrNoQuorum.
func (s *Semaphore) TryAcquire(ctx context.Context) (*Lease, error) {
	return s.mutex.TryLock(ctx)
}

// Do runs fn while it holds a permit; see [Mutex.Do].
func (s *Semaphore) Do(ctx context.Context, fn func(context.Context, *Lease) error) error {
	return s.mutex.do(ctx, (*Mutex).await, fn)
}

// TryDo is Do without waiting; see [Mutex.TryDo].
func (s *Semaphore) TryDo(ctx context.Context, fn func(context.Context, *Lease) error) error {
	return s.mutex.do(ctx, (*Mutex).try, fn)
}

// InspectSemaphore asks all nodes who has the permits of the semaphore of that name, and changes
// nothing; see [Semaphore.Inspect].
func (l *Locker) InspectSemaphore(ctx context.Context, name string, count int) ([]Inspection, error) {
	return l.Semaphore(name, count).Inspect(ctx)
}

// Inspect asks all nodes who has each slot of the semaphore, as [Locker.Inspect] does for a lock.
// The Inspections are in the order of the slots. If fewer nodes than a quorum answered about a
// slot, the error is that of the first such slot. They are nil only if an argument is bad, the
// context had ended, or the Locker is closed.
func (s *Semaphore) Inspect(ctx context.Context) ([]Inspection, error) {
	m := &s.mutex
	if err := m.bad(); err != nil {
		return nil, err
	}
	slots := m.permits.slots
	all, errs := make([]*Inspection, len(slots)), make([]error, len(slots))
	var work sync.WaitGroup
	for i := range slots { // in shared round trips
		work.Go(func() { all[i], errs[i] = m.inspect(ctx, &slots[i]) })
	}
	work.Wait()
	var first error
	inspections := make([]Inspection, len(slots))
	for i, in := range all {
		if in == nil {
			return nil, errs[i]
		}
		inspections[i], first = *in, cmp.Or(first, errs[i])
	}
	return inspections, first
}

// FromContext returns the innermost permit of the semaphore that ctx carries, as
// [Locker.FromContext] does for a lock.
func (s *Semaphore) FromContext(ctx context.Context) (*Lease, bool) {
	m := &s.mutex
	if m.bad() != nil {
		return nil, false
	}
	le, ok := ctx.Value(leaseKey{&m.locker.engine, m.key().name}).(*Lease)
	return le, ok
}

// Slot returns the number of the lease's slot of its semaphore, from 0 to [Lease.Permits] - 1.
// Nobody else has that slot while the lease is valid. The fencing tokens of leases with the same
// slot are unique and rise; tokens of different slots cannot be compared. So a resource that checks
// tokens must keep the greatest of each slot. For a lock Slot returns 0.
func (le *Lease) Slot() int {
	if !le.held() {
		return 0
	}
	return le.attempt.state.Slot
}

// Permits returns how many permits the lease's semaphore has in this program; 0 for a lock.
func (le *Lease) Permits() int {
	if !le.held() {
		return 0
	}
	return le.queue.permits
}
