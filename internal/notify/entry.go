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
	// majorityGrace is how long a waiter that was notified by one node waits for a majority of them
	// at least before it tries all the same. What the nodes tell was set off at one place: it comes
	// apart by a round trip to the farthest node at most.
	majorityGrace = 3 * time.Millisecond
	// maxGrowth is how many times the random part of the grace doubles.
	maxGrowth = 5

	// tryAtOnce is instead of a node to look at.
	tryAtOnce = -1
)

// An Entry is this process's place in the queue that the nodes keep for one lock, or for all slots
// of a semaphore. The goroutines of
// a process pass it on to one another, and it ends when one of them gets the lock or none is left.
type Entry struct {
	notifier *Notifier
	slots    []wire.KeySet // of a lock: one
	since    clock.Moment  // the wait began
	ticket   uint64        // when that was, in microseconds, by the nodes' clocks if they are known
	wake     chan struct{} // gets a value when it is time to try, or to look

	// The notifier's mu guards these.
	inbox    string        // that nodes may have in their queues; empty: none has
	notified quorum.Set    // nodes that have reserved the lock for us since the last attempt
	least    time.Duration // grace for a majority of notices
	misses   int           // attempts in a row for which no majority had notified us
	timer    clock.Timer   // the next reason to wake
	look     int           // the node to look at then, or tryAtOnce
	slot     int           // the slot to look at there
	told     []int         // by node that has notified us: the slot. For semaphores only
}

// Enter opens an entry for a lock with those keys, or for a semaphore with the keys of each of its
// slots: the nodes do not know of it yet.
func (n *Notifier) Enter(slots ...wire.KeySet) *Entry {
	since := clock.Present(n.clock)
	e := &Entry{
		notifier: n, slots: slots, since: since, ticket: n.ticket(since), wake: make(chan struct{}, 1),
		notified: quorum.NewSet(len(n.dispatcher.Lines()), n.needed), look: tryAtOnce,
		least: max(majorityGrace, n.distance()/dispatch.DueTrips),
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, semaphore := wire.SemaphoreOf(slots[0].Lock); semaphore {
		e.told = make([]int, len(n.dispatcher.Lines()))
	}
	n.entries[entryKey(slots[0].Lock)] = e
	if n.idle != nil {
		n.idle.Stop()
	}
	return e
}

// Leave ends the entry. If tell is set, and the nodes may know of it, they are told.
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
	delete(n.entries, entryKey(e.slots[0].Lock))
	if len(n.entries) == 0 && n.stop != nil {
		if n.idle == nil {
			n.idle = n.clock.AfterFunc(idleUnsubscribe, n.unsubscribeIfIdle)
		} else {
			n.idle.Reset(idleUnsubscribe)
		}
	}
	return Place{e.slots, e.inbox, e.ticket}
}

// Ready reports whether the next attempt may queue: a majority of the nodes can tell us.
func (e *Entry) Ready() bool {
	n := e.notifier
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.live.Majority()
}

// Stamp makes the attempt that begins now one that the nodes queue if they refuse it. What they
// tell from now on is about the next.
func (e *Entry) Stamp(r *wire.Request, now clock.Moment) {
	n := e.notifier
	n.mu.Lock()
	defer n.mu.Unlock()
	e.inbox = n.channel
	if e.misses++; e.majority() {
		e.misses = 0
	}
	e.notified.Clear()
	e.look = tryAtOnce
	e.stopTimer()
	select {
	case <-e.wake:
	default:
	}
	r.Queue, r.Inbox, r.Ticket = e.slots[0].Queue, e.inbox, e.ticket
	r.Age = max(now.Mono.Sub(e.since.Mono), 0)
}

// A shower is a node that tells what its clock shows.
type shower interface{ Time() (time.Time, bool) }

// ticket is that moment in microseconds, by the median of the nodes' clocks: a process whose own
// clock is behind would have a better place in all queues, as long as it is by less than a node
// puts up with. Where no majority of the nodes has told its time it goes by its own clock.
func (n *Notifier) ticket(at clock.Moment) uint64 {
	var told []time.Duration
	for _, ln := range n.dispatcher.Lines() {
		if node, ok := ln.Node().(shower); ok {
			if t, known := node.Time(); known {
				told = append(told, time.Duration(t.UnixNano()))
			}
		}
	}
	wall := at.Wall
	if len(told) >= n.needed {
		slices.Sort(told)
		wall = told[len(told)/2]
	}
	return uint64(max(wall.Microseconds(), 1))
}

// Wait waits until it is time for another attempt: when the lock was passed on to us, or after
// fallback at the latest, whatever the nodes tell. It returns false if ctx ended or the Notifier
// was closed first.
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

// toLookAt is the node to look at, or tryAtOnce, and the slot there.
func (e *Entry) toLookAt() (node, slot int) {
	e.notifier.mu.Lock()
	defer e.notifier.mu.Unlock()
	return e.look, e.slot
}

// heard counts a notice: that the lock is reserved for us there, or will be next in that time. It
// returns false if the entry has no use for it. With mu held.
func (e *Entry) heard(node int, notice wire.Notice) bool {
	slot := 0
	if e.told != nil {
		if slot = wire.SlotNumber(notice.Lock); slot >= len(e.slots) {
			e.wakeAfter(e.grace(), tryAtOnce) // the node has taken us out of its queue
			return false
		}
	}
	switch next := notice.Next; {
	case next > 0: // the one before us was notified; should it be dead its reservation ends then
		if e.notified.Len() == 0 {
			e.slot = slot
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

// grace is how long to wait for a majority after the first node has notified us. Two waiters that
// are notified by half of the nodes each would fail in step for ever, each passing its half on to
// the other: so the grace grows at random. With mu held.
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
