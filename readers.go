package redlock

import (
	"context"
	"time"
)

// Shared locks: several owners, the readers, may have one at the same time. Each has a lease of its
// own, and nothing is handed over between them. The readers of a process have a queue apart from
// that of its exclusive locks. The first of them contends for the lock. When it has it, all others
// ask for it at once, each by an attempt of its own, in shared round trips; and so does each that
// comes later, as long as the process has the lock and the nodes let new readers in.

// readers are the goroutines of a process that have a shared lock. The queues' mu guards them.
type readers struct {
	count int  // leases
	open  bool // another one may ask at once: so the latest answer says
}

// admit lets all goroutines that wait for a shared lock ask for it at once: another one has it now.
// With mu held.
func (q *localQueue) admit() {
	if !q.shared {
		return
	}
	q.readers.count++
	q.readers.open = true
	for w := q.waiters.pop(); w != nil; w = q.waiters.pop() {
		w.turn <- grant{beside: true}
	}
}

// shut makes goroutines wait for their turn again: a reader was refused, with that verdict.
func (q *localQueue) shut(e *QuorumError) {
	q.queues.mu.Lock()
	defer q.queues.mu.Unlock()
	q.readers.open = false
	q.refusal = e
}

// goes counts a goroutine less that has a shared lock. With mu held.
func (q *localQueue) goes() {
	if q.readers.count--; q.readers.count == 0 {
		q.readers.open = false
	}
}

// beside asks once for a lock that others of this process share. A grant without an attempt says
// that the nodes let no further reader in: the call must wait for its turn.
func (m *Mutex) beside(ctx context.Context, q *localQueue, t *terms) (grant, error) {
	if ctx.Err() != nil {
		return grant{}, q.refused(ctx)
	}
	a, err := m.runAttempt(ctx, t, nil, false, time.Time{})
	if err == nil {
		q.overtake()
		return grantOf(a), nil
	}
	switch last := verdictOf(err); {
	case last == nil:
		return grant{}, err
	case last.permanent():
		return grant{}, last
	default:
		q.shut(last)
		return grant{}, nil
	}
}

// party is the fingerprint by which others that have nodes in a split vote know the attempt: that
// of all readers, for they have their nodes together.
func (a *attempt) party() string {
	if a.target.kind().shared {
		return ofReaders
	}
	return a.fingerprint()
}
