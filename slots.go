package redlock

import (
	"context"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/notify"
	"github.com/go-redlock/redlock/internal/release"
	"github.com/go-redlock/redlock/internal/wire"
)

// aim starts the attempt's state for a lock or for a permit. With mu held.
func (a *attempt) aim(p *permits) {
	nodes, needed, slot := len(a.engine.lines), a.engine.quorum, p.first()
	if p != nil && (p.any || p.only) {
		a.acquire.Lock, a.acquire.Slots = "", &wire.Slots{Keys: a.target.slots(), Begin: slot, Only: p.only}
		a.acquire.Reserve = notify.Reservation(a.timeout)
	}
	if p != nil && p.any {
		a.state.StartAny(nodes, needed, slot)
	} else {
		a.state.Start(nodes, needed, slot)
	}
}

// keys returns the keys of the attempt's slot. With mu held, or once the attempt is won.
func (a *attempt) keys() *wire.KeySet { return &a.target.slots()[a.state.Slot] }

// stamp says in the first request how the caller waits, if it does: in the nodes' queues, by the
// entry; or, if queued is false, by asking again and again. In both cases nodes keep further
// readers out for a while.
func (a *attempt) stamp(entry *notify.Entry, queued bool) {
	switch {
	case entry == nil:
	case queued:
		entry.Stamp(&a.acquire, a.start)
	case a.target.kind().permits == 0:
		entry.Poll(&a.acquire, a.start)
	}
}

// one returns the request for the attempt's own slot, after the first request asked for any slot.
// With mu held.
func (a *attempt) one() *wire.Request {
	if a.acquire.Slots == nil {
		return &a.acquire
	}
	if a.picked == nil {
		a.picked = a.acquire.Only(a.state.Slot)
	}
	return a.picked
}

// everySlot returns the release r as one that names all slots, for a node whose slot is not known.
// With mu held.
func (a *attempt) everySlot(r *wire.Request) *wire.Request {
	every := a.request(wire.Release)
	every.Lock, every.Slots = "", &wire.Slots{Keys: a.target.slots()}
	every.TTL, every.Queue, every.Reserve, every.Quiet = r.TTL, r.Queue, r.Reserve, r.TTL == 0
	return every
}

// returnStrays releases the slots that nodes have granted besides the one that was won. With mu
// held.
func (a *attempt) returnStrays() {
	for i, slot, more := a.state.Stray(); more; i, slot, more = a.state.Stray() {
		r := a.request(wire.Release)
		r.Lock, r.TTL, r.Queue, r.Reserve = a.target.slots()[slot].Lock, 0, a.target.slots()[slot].Queue, notify.Reservation(a.timeout)
		now := clock.IO()
		p := &release.Pending{
			Attempt: &release.Attempt{Owner: stray{}, Until: now.Add(a.terms.ttl), Timeout: a.timeout},
			Backlog: a.engine.backlogs[i], Request: r,
		}
		p.Send(now, false)
	}
	a.sendNext()
}

// A stray owns the release of such a slot. Nothing waits for that release.
type stray struct{}

// Released implements release.Owner.
func (stray) Released(int, wire.Reply, bool) {}

// hold notes an attempt that was won by waiting, until its lock is released. With mu held.
func (q *localQueue) hold(a *attempt) {
	if !q.several() {
		q.holder = a
		q.held++
		return
	}
	if q.holders == nil {
		q.holders = make(map[string]*attempt)
	}
	q.holders[a.keys().Lock] = a
}

// holding returns the attempt that has the lock with that lock key, if it was won by waiting. With
// mu held.
func (q *localQueue) holding(lock string) *attempt {
	if !q.several() {
		return q.holder
	}
	return q.holders[lock]
}

// hear waits for notices, as [notify.Entry.Wait] does. Meanwhile another goroutine of this process
// may hand its permit to the one that contends, which has waited longest. The grant then has an
// attempt, and the next goroutine contends.
func (q *localQueue) hear(ctx context.Context, t *terms, entry *notify.Entry, rest time.Duration) (g grant, again bool) {
	g, again = q.listen(ctx, t, entry, rest)
	if g.attempt == nil || !g.ready(ctx) {
		return grant{}, again
	}
	q.queues.mu.Lock()
	defer q.queues.mu.Unlock()
	q.inherited = true
	q.passTurn(true)
	return g, true
}

// inherit returns the verdict for the call that contended before, if that call was handed a permit.
// Its place in the nodes' queues is then this call's, which need not ask the nodes to queue it.
// Otherwise inherit returns nil.
func (q *localQueue) inherit() *QuorumError {
	if q.permits == 0 {
		return nil
	}
	q.queues.mu.Lock()
	defer q.queues.mu.Unlock()
	inherited := q.inherited
	q.inherited = false
	if !inherited || q.entry == nil || !q.entry.Ready() || q.refusal == nil || !q.refusal.owned {
		return nil
	}
	return q.refusal
}

// listen waits for notices, or for a permit of this process.
func (q *localQueue) listen(ctx context.Context, t *terms, entry *notify.Entry, rest time.Duration) (g grant, again bool) {
	if q.permits == 0 {
		return grant{}, entry.Wait(ctx, rest)
	}
	w := &waiter{terms: t, turn: make(chan grant, 1)}
	q.queues.mu.Lock()
	q.contender = w
	q.queues.mu.Unlock()
	again = entry.Wait(ctx, rest)
	q.queues.mu.Lock()
	offered := q.contender != w
	q.contender = nil
	q.queues.mu.Unlock()
	if offered {
		g = <-w.turn
	}
	return g, again
}

// popContender takes out the goroutine that contends for a permit, if it waits for notices and a
// permit held under t can be handed to it. With mu held.
func (q *localQueue) popContender(t *terms) *waiter {
	w := q.contender
	if w == nil || q.queues.closed || !t.interchangeable(w.terms) {
		return nil
	}
	q.contender = nil
	q.queues.notifier.Freed(q.key.name)
	q.unref()
	return w
}

// left takes a goroutine that held the lock out of the queue. The holder of a permit or of a shared
// lock has passed the turn on already, when it got that.
func (q *localQueue) left(a *attempt) {
	q.queues.mu.Lock()
	defer q.queues.mu.Unlock()
	defer q.unref()
	if !q.several() {
		q.held--
		q.passTurn(true)
		return
	}
	q.goes()
	if lock := a.keys().Lock; q.holders[lock] == a {
		delete(q.holders, lock)
	}
}
