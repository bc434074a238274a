package redlock

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-redlock/redlock/internal/notify"
	"github.com/go-redlock/redlock/internal/wire"
)

// queues are the local queues of this process, by name and kind. Their mutex is locked after those
// of attempts, and before those of the packages below.
type queues struct {
	notifier *notify.Notifier
	prefix   string
	needed   int             // the quorum, for errors
	done     <-chan struct{} // closed with the Locker

	mu     sync.Mutex
	byName map[string]namesakes
	closed bool
}

// namesakes are the queue for the exclusive locks of a name, or for a semaphore's permits, and the
// queue for the shared locks of that name; nil: no call uses it.
type namesakes struct{ exclusive, shared *localQueue }

// of returns one of the two, and the other, whose locks exclude those of the first.
func (n namesakes) of(shared bool) (q, other *localQueue) {
	if shared {
		return n.shared, n.exclusive
	}
	return n.exclusive, n.shared
}

// find returns the queue of that key, or nil. With mu held.
func (s *queues) find(key queueKey) *localQueue {
	q, _ := s.byName[key.name].of(key.shared)
	return q
}

// put puts a queue, or nil, in the place of that key. With mu held.
func (s *queues) put(key queueKey, q *localQueue) {
	n := s.byName[key.name]
	if key.shared {
		n.shared = q
	} else {
		n.exclusive = q
	}
	if n == (namesakes{}) {
		delete(s.byName, key.name)
	} else {
		s.byName[key.name] = n
	}
}

// A localQueue orders the goroutines of this process that want one name. One of them at a time
// contends for the lock on the nodes, or holds it. The others wait in the order in which they came,
// and cost the nodes nothing. Holders of a semaphore's permits, or of a shared lock, do not keep
// another goroutine from contending.
type localQueue struct {
	queues *queues
	key    queueKey
	name   string
	kind
	plain     bool
	inherited bool // guarded as those below: see contender

	// The queues' mu guards these.
	refs    int // calls under way and leases in use: the last one removes the queue
	active  int // goroutines that hold the lock, or contend: while there is one, the others wait
	waiters waiters
	entry   *notify.Entry // in the queue that the nodes keep, of the goroutine that contends
	refusal *QuorumError  // its latest verdict
	holder  *attempt      // the attempt that was won by waiting, until its lock is released
	held    int           // leases of the lock in use, if one goroutine at a time may have it
	// Where several may hold it: such attempts, by lock key.
	holders map[string]*attempt
	// For a semaphore: the goroutine that contends, while it waits for notices; and (inherited)
	// whether that one has the place of a goroutine that was handed a permit.
	contender *waiter
	readers   readers // of a shared lock
}

// join brings a call for what that name and kind say into the queue of that key.
func (s *queues) join(key queueKey, name string, plain bool, k kind) (*localQueue, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, other := s.byName[key.name].of(key.shared)
	switch {
	case s.closed:
		return nil, closedError(k.op(), name)
	case q != nil && q.plain != plain || other != nil && other.plain != plain:
		return nil, &OptionError{"WithoutFencing", name, "locks of this name are in use both with and without fencing"}
	case q == nil:
		q = &localQueue{queues: s, key: key, name: name, plain: plain, kind: k}
		s.put(key, q)
	case q.permits != k.permits:
		return nil, &OptionError{"permits", k.permits, fmt.Sprintf("the semaphore is in use with %d permits in this process", q.permits)}
	}
	q.refs++
	return q, nil
}

// unused returns the keys of the lock with that lock key if no goroutine of this process holds it
// or wants it: alone or, if reader is set, shared.
func (s *queues) unused(lock string, reader bool) (wire.KeySet, bool) {
	s.mu.Lock()
	used := s.find(s.keyOf(lock, reader)) != nil
	s.mu.Unlock()
	if used {
		return wire.KeySet{}, false
	}
	keys, err := wire.Keys(s.prefix, strings.TrimPrefix(lock, s.prefix))
	return keys, err == nil
}

// keyOf returns the key of the queue for what has that lock key.
func (s *queues) keyOf(lock string, reader bool) queueKey {
	if semaphore, slot := wire.SemaphoreOf(lock); slot {
		return queueKey{semaphore, false}
	}
	return queueKey{strings.TrimPrefix(lock, s.prefix), reader}
}

// reserved is called when a node has reserved the lock with that lock key for this process, or its
// readers, which holds it already or wants it. A holder that the node refused asks the node for it.
// reserved reports whether there is such a holder.
func (s *queues) reserved(lock string, reader bool, node int) bool {
	s.mu.Lock()
	q := s.find(s.keyOf(lock, reader))
	var holder *attempt
	if q != nil {
		holder = q.holding(lock)
	}
	s.mu.Unlock()
	return holder != nil && holder.complete(node)
}

// close makes the queues take no more calls, and hand no lock over.
func (s *queues) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// leave takes a call that neither holds nor contends out of the queue.
func (q *localQueue) leave() {
	q.queues.mu.Lock()
	defer q.queues.mu.Unlock()
	q.unref()
}

// unref counts one user of the queue less. With mu held.
func (q *localQueue) unref() {
	if q.refs--; q.refs == 0 {
		q.queues.put(q.key, nil)
	}
}

// next takes a goroutine that had the turn out of the queue, and gives the turn to the next.
func (q *localQueue) next() {
	q.queues.mu.Lock()
	defer q.queues.mu.Unlock()
	q.passTurn(true)
	q.unref()
}

// giveUp is next for a goroutine that contended in vain. If readers have the lock, it takes its
// place with it: the next one may have come after readers that wait behind that place.
func (q *localQueue) giveUp() {
	q.queues.mu.Lock()
	defer q.queues.mu.Unlock()
	if !q.shared && q.amongReaders() {
		q.closeEntry(true)
	}
	q.passTurn(true)
	q.unref()
}

// amongReaders reports whether the goroutine that contends is a reader, or readers have the lock.
// With mu held.
func (q *localQueue) amongReaders() bool {
	return q.shared || q.refusal != nil && q.refusal.owner == ofReaders
}

// passTurn gives the turn of a goroutine that held the lock, or contended for it, to the next. If
// there is none, the entry ends, and the nodes are told if tell is set. With mu held.
func (q *localQueue) passTurn(tell bool) {
	if q.active--; q.active != 0 {
		return
	}
	q.holder = nil
	if w := q.waiters.pop(); w != nil {
		q.active++
		w.turn <- grant{}
	} else {
		q.closeEntry(tell)
	}
}

// openEntry returns the entry in the queue that the nodes keep, which the goroutine that contended
// before may have left. If there is none and open is set, it opens one for a wait that begins now,
// so that processes take turns, however many goroutines each has. But where readers have the lock,
// or want it, the wait began at that time: each goroutine has a place of its own among them.
func (q *localQueue) openEntry(since time.Time, slots []wire.KeySet, open bool) *notify.Entry {
	q.queues.mu.Lock()
	defer q.queues.mu.Unlock()
	if q.entry == nil && open {
		if !q.amongReaders() {
			since = time.Time{}
		}
		q.entry = q.queues.notifier.Enter(q.shared, since, slots...)
	}
	return q.entry
}

// closeEntry gives up that entry, and tells the nodes if tell is set. With mu held.
func (q *localQueue) closeEntry(tell bool) {
	if q.entry != nil {
		q.entry.Leave(tell)
		q.entry = nil
	}
}

// acquired notes that the goroutine that contended holds the lock, by that attempt.
func (q *localQueue) acquired(a *attempt) {
	q.queues.mu.Lock()
	defer q.queues.mu.Unlock()
	q.refusal = nil
	q.closeEntry(false)
	q.hold(a)
	q.admit()
	if q.several() {
		q.passTurn(false)
	}
}

// overtake notes that a call that did not wait for its turn holds the lock.
func (q *localQueue) overtake() {
	q.queues.mu.Lock()
	defer q.queues.mu.Unlock()
	q.refusal = nil
	q.admit()
	if !q.several() {
		q.active++
		q.held++
	}
}

// claim takes the turn if it is free. Otherwise it returns false and changes nothing.
func (q *localQueue) claim() bool {
	q.queues.mu.Lock()
	defer q.queues.mu.Unlock()
	if q.active > 0 {
		return false
	}
	q.active++
	return true
}

// wait waits until it is this call's turn. The grant has an attempt if the lock was handed over.
// Without one the call must contend for the lock, or may ask for it beside others. On error the
// call has left the queue's order.
func (q *localQueue) wait(ctx context.Context, t *terms) (grant, error) {
	s := q.queues
	s.mu.Lock()
	if q.readers.open {
		s.mu.Unlock()
		return grant{beside: true}, nil
	}
	if q.active == 0 {
		q.active++
		s.mu.Unlock()
		return grant{}, nil
	}
	w := &waiter{terms: t, turn: make(chan grant, 1)}
	q.waiters.push(w)
	s.mu.Unlock()

	var err error
	select {
	case g := <-w.turn:
		return g, nil
	case <-s.done:
		err = closedError(q.op(), q.name)
	case <-ctx.Done():
		err = q.refused(ctx)
	}
	s.mu.Lock()
	queued := w.queued
	if queued {
		q.waiters.remove(w)
	}
	s.mu.Unlock()
	// its turn came at the same time; the goroutine that hands over may need mu first
	if !queued {
		return <-w.turn, nil
	}
	return grant{}, err
}

// refused returns the error of a call whose wait was over before its turn came: the last verdict
// for the call before it, or that this process holds the lock, or else the context's error alone.
func (q *localQueue) refused(ctx context.Context) error {
	q.queues.mu.Lock()
	defer q.queues.mu.Unlock()
	if q.refusal == nil && q.held == 0 {
		return fmt.Errorf("redlock: %s: %w", subject(q.op(), q.name), ended(ctx))
	}
	e := &QuorumError{Op: q.op(), Name: q.name, Needed: q.queues.needed, verdict: ErrHeld}
	if q.refusal != nil {
		*e = *q.refusal
	}
	e.cause = ended(ctx)
	return e
}

// noteRefusal notes the latest verdict for the goroutine that contends.
func (q *localQueue) noteRefusal(e *QuorumError) {
	q.queues.mu.Lock()
	defer q.queues.mu.Unlock()
	q.refusal = e
}

// popCompatible takes the first waiter out if a lock held under t can be handed to it. The
// goroutine that hands it over leaves the queue.
func (q *localQueue) popCompatible(t *terms) *waiter {
	q.queues.mu.Lock()
	defer q.queues.mu.Unlock()
	if w := q.popContender(t); w != nil {
		return w
	}
	w := q.waiters.first
	if q.queues.closed || q.shared || q.active > 1 && q.permits == 0 || w == nil || !t.interchangeable(w.terms) {
		return nil
	}
	q.unref()
	return q.waiters.pop()
}

// interchangeable reports whether a lock taken under t can be used as one taken under o.
func (t *terms) interchangeable(o *terms) bool {
	return t.ttl == o.ttl && t.plain == o.plain && t.holder == o.holder && t.retention == o.retention &&
		t.minHold == 0 && o.minHold == 0
}
