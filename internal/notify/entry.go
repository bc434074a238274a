package notify

import (
	"context"
	"slices"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/dispatch"
	"github.com/go-redlock/redlock/internal/jitter"
	"github.com/go-redlock/redlock/internal/quorum"
	"github.com/go-redlock/redlock/internal/wire"
)

const (
	// majorityGrace is the least time that a waiter waits for a majority of notices after the first
	// one. Then it tries anyway. One release has caused all these notices, so they arrive within a
	// round trip to the farthest node.
	majorityGrace = 3 * time.Millisecond
	// maxGrowth is how many times the random part of the grace doubles.
	maxGrowth = 5

	// tryAtOnce stands in the place of a node's number: the waiter looks at no node first.
	tryAtOnce = -1
)

// An Entry is this process's place in the queue that the nodes keep for one lock, or for all slots
// of a semaphore. Its readers of a lock have a place of their own. The goroutines of a process pass
// it on to one another. It ends when one of them gets the lock, or when none is left.
type Entry struct {
	notifier *Notifier
	slots    []wire.KeySet // of a lock: one
	reader   bool          // it is a place for readers
	since    time.Time     // when the wait began
	ticket   uint64        // the same in microseconds, by the nodes' clocks if they are known
	wake     chan struct{} // gets a value when it is time to try, or to look at a node

	// The notifier's mu guards these.
	inbox    string        // the one that nodes may have in their queues; empty: none has one
	notified quorum.Set    // nodes that have reserved the lock for us since the last attempt
	least    time.Duration // grace for a majority of notices
	misses   int           // attempts in a row that began without a majority of notices
	timer    clock.Timer   // the next reason to wake
	look     int           // the node to look at then, or tryAtOnce
	slot     int           // the slot to look at there
	closing  bool          // it will try soon, to keep further readers out
	told     []int         // by node: the slot that it has reserved. For semaphores only
}

// Enter opens an entry for a lock with those keys, or for a semaphore with the keys of each of its
// slots, and for a wait that began at that time, or begins now if that is zero; reader says that
// the lock is to be shared. The nodes do not know of it yet.
func (n *Notifier) Enter(reader bool, since time.Time, slots ...wire.KeySet) *Entry {
	now := clock.Present(n.clock)
	if since.IsZero() {
		since = now.Mono
	}
	e := &Entry{
		notifier: n, slots: slots, reader: reader, since: since, ticket: n.ticket(now, now.Mono.Sub(since)), wake: make(chan struct{}, 1),
		notified: quorum.NewSet(len(n.dispatcher.Lines()), n.needed), look: tryAtOnce,
		least: max(majorityGrace, n.distance()/dispatch.DueTrips),
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, semaphore := wire.SemaphoreOf(slots[0].Lock); semaphore {
		e.told = make([]int, len(n.dispatcher.Lines()))
	}
	n.entries[placeOf(slots[0].Lock, reader)] = e
	if n.idle != nil {
		n.idle.Stop()
	}
	return e
}

// Leave ends the entry. If tell is set, it tells the nodes that may know of it.
func (e *Entry) Leave(tell bool) {
	n := e.notifier
	if place := e.end(); tell && place.Inbox != "" {
		n.Leave(place, n.dispatcher.Lines(), n.hooks.Timeout())
	}
}

// end ends the entry, and returns the place that nodes may know of.
func (e *Entry) end() Place {
	n := e.notifier
	n.mu.Lock()
	defer n.mu.Unlock()
	e.stopTimer()
	delete(n.entries, placeOf(e.slots[0].Lock, e.reader))
	if len(n.entries) == 0 && n.stop != nil {
		if n.idle == nil {
			n.idle = n.clock.AfterFunc(idleUnsubscribe, n.unsubscribeIfIdle)
		} else {
			n.idle.Reset(idleUnsubscribe)
		}
	}
	return Place{e.slots, e.inbox, e.ticket}
}

// Ready reports whether the next attempt may queue: a majority of the nodes can notify this
// process.
func (e *Entry) Ready() bool {
	n := e.notifier
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.live.Majority()
}

// Poll prepares the attempt that begins now so that the nodes know since when it has waited. They
// have no inbox to queue.
func (e *Entry) Poll(r *wire.Request, now clock.Moment) {
	r.Queue, r.Ticket, r.Age = e.slots[0].Queue, e.ticket, e.age(now)
}

func (e *Entry) age(now clock.Moment) time.Duration { return max(now.Mono.Sub(e.since), 0) }

// Stamp prepares the attempt that begins now so that the nodes queue it if they refuse it. Notices
// that arrive from now on are about the attempt after it.
func (e *Entry) Stamp(r *wire.Request, now clock.Moment) {
	n := e.notifier
	n.mu.Lock()
	defer n.mu.Unlock()
	e.inbox = n.inbox(e.reader)
	if e.misses++; e.majority() {
		e.misses = 0
	}
	e.notified.Clear()
	e.look, e.closing = tryAtOnce, false
	e.stopTimer()
	select {
	case <-e.wake:
	default:
	}
	r.Queue, r.Inbox, r.Ticket, r.Age = e.slots[0].Queue, e.inbox, e.ticket, e.age(now)
}

// A shower is a node that reports the time of its clock.
type shower interface{ Time() (time.Time, bool) }

// ticket returns the moment in microseconds when a wait of that length began, by the median of the
// nodes' clocks. With its own clock, a process whose clock is a little behind would get a better
// place in all queues. The process's own clock counts only if no majority of the nodes has reported
// its time.
func (n *Notifier) ticket(now clock.Moment, waited time.Duration) uint64 {
	var told []time.Duration
	for _, ln := range n.dispatcher.Lines() {
		if node, ok := ln.Node().(shower); ok {
			if t, known := node.Time(); known {
				told = append(told, time.Duration(t.UnixNano()))
			}
		}
	}
	wall := now.Wall
	if len(told) >= n.needed {
		slices.Sort(told)
		wall = told[len(told)/2]
	}
	return uint64(max((wall - waited).Microseconds(), 1))
}

// Wait waits until it is time for another attempt: when the lock was passed on to this process, or
// after fallback at the latest, with or without notices. It returns false if ctx ended or the
// Notifier was closed first.
func (e *Entry) Wait(ctx context.Context, fallback time.Duration) bool {
	n := e.notifier
	over, timer := clock.After(n.clock, fallback)
	defer timer.Stop()
	for {
		select {
		case <-e.wake:
		case <-over:
			return true
		case <-n.closed:
			return false
		case <-ctx.Done():
			return false
		}
		if node, slot := e.toLookAt(); node == tryAtOnce || !n.hooks.Occupied(ctx, node, e.slots[slot]) {
			return true
		}
	}
}

// toLookAt returns the node to look at, or tryAtOnce, and the slot there.
func (e *Entry) toLookAt() (node, slot int) {
	e.notifier.mu.Lock()
	defer e.notifier.mu.Unlock()
	return e.look, e.slot
}

// heard counts a notice: the node has reserved the lock for this process, or will do so next, after
// that time. It returns false if the entry has no use for the notice. With mu held.
func (e *Entry) heard(node int, notice wire.Notice) bool {
	slot := 0
	if e.told != nil {
		if slot = wire.SlotNumber(notice.Lock); slot >= len(e.slots) {
			e.wakeAfter(e.grace(), tryAtOnce) // the node has removed this process from its queue
			return false
		}
	}
	switch next := notice.Next; {
	case notice.Shared: // all nodes may say so; and the readers before us should ask first
		if e.notified.Len() == 0 && !e.closing {
			e.closing = true
			e.wakeAfter(e.least, tryAtOnce)
		}
	case next > 0: // the waiter before us was notified; if it is dead, its reservation ends then
		if e.notified.Len() == 0 && !e.closing {
			if e.slot = slot; e.reader {
				node = tryAtOnce // the lock may be shared by now, which is no reason to wait
			}
			e.wakeAfter(next+e.least, node)
		}
	case e.hears(node, slot):
		if e.majority() {
			e.wakeAfter(0, tryAtOnce)
		} else if e.notified.Len() == 1 {
			e.wakeAfter(e.grace(), tryAtOnce)
		}
	}
	return true
}

// grace returns how long to wait for a majority after the first notice. If two waiters each get
// notices from half of the nodes, both fail, and each passes its half on to the other. So that they
// do not repeat this for ever, the grace has a random part that grows. With mu held.
func (e *Entry) grace() time.Duration {
	if e.misses == 0 {
		return e.least
	}
	return e.least + jitter.N(e.least<<min(e.misses, maxGrowth))
}

// wakeAfter wakes the entry after d, to look at a node or to try at once. With mu held.
func (e *Entry) wakeAfter(d time.Duration, look int) {
	e.look = look
	switch {
	case d <= 0:
		e.wakeUp()
	case e.timer == nil:
		e.timer = e.notifier.clock.AfterFunc(d, e.wakeUp)
	default:
		e.timer.Reset(d)
	}
}

// stopTimer stops the timer. With mu held.
func (e *Entry) stopTimer() {
	if e.timer != nil {
		e.timer.Stop()
	}
}

func (e *Entry) wakeUp() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}
