package redlock

import (
	"context"
	"sync"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/dispatch"
	"github.com/go-redlock/redlock/internal/notify"
	"github.com/go-redlock/redlock/internal/quorum"
	"github.com/go-redlock/redlock/internal/release"
	"github.com/go-redlock/redlock/internal/wire"
)

// An attempt is one owner id on its way through the algorithm of "Distributed Locks with Redis":
//
//  1. it takes the time;
//  2. it asks every node for the lock, all at once and none for longer than the node timeout;
//  3. it has the lock if a majority has granted it, in less time than it is valid for;
//  4. the lock is then valid from 1 on, less the drift;
//  5. otherwise it releases the lock on all nodes.
//
// Package quorum decides what the answers amount to; this file keeps the time, sends and waits.
// Each attempt has its own id, so that a late message of one attempt can never affect another's
// lock. See docs/safety.md for why fencing tokens are unique and rise.
type attempt struct {
	engine  *engine
	terms   *terms
	target  *target
	start   clock.Moment // before the first request was sent
	end     time.Time    // when it gives way to others, unless zero: see insist
	acquire wire.Request
	done    chan struct{}    // gets a value when the attempt is decided, and when its release is
	timer   clock.Timer      // for what comes next in time: see onTimer
	trip    *dispatch.Inline // to be made by the caller, where that is all there is to wait for

	mu      sync.Mutex
	timeout time.Duration // of a node, for the requests to come
	timerAt time.Time     // when the timer does, or zero
	until   clock.Moment  // when nodes that have not answered count as failed
	// when the nodes that other owners have may be asked again, and (rounds) how often they were:
	// see insist
	again       time.Duration // after start
	verdict     error         // why it was lost
	state       quorum.Acquisition
	picked      *wire.Request // the further requests, made when first needed
	repair      *wire.Request
	extend      *wire.Request
	rejoin      *wire.Request
	every       *wire.Request // the release for a node that may have any slot when it is sent
	kept        clock.Moment  // when a majority last kept the register
	lease       wonLock       // once won; nil while the lock is handed over
	released    release.Attempt
	releases    []owedRelease // once over
	lost        bool          // a majority reported the loss: kept for a time when lease is nil
	leaves      bool          // the nodes that refused it are to forget its place in their queues
	wakesWaiter bool          // a waiter of this process tries once they are confirmed
	rounds      uint8
	vote        releaseVote
	events      []pendingEvent // to be reported once mu is free
}

// A wonLock is the [Lease] of an attempt that was won, as the attempt knows it.
type wonLock interface {
	onTimer() // the timer fired. With mu held.
	lose()    // a majority says that the lock is lost. With mu held.
	Context() context.Context
}

// unlock frees mu and then reports the events that happened meanwhile: user code never runs with mu
// held.
func (a *attempt) unlock() {
	events := a.events
	a.events = nil
	a.mu.Unlock()
	for _, n := range events {
		if a.engine.listens(n.level) {
			a.engine.emit(n.lease.Context(), n.level, n.text, n.event)
		}
	}
}

// begin starts an attempt: it takes the time, and asks every node. The caller waits if there is an
// entry; nodes that refuse the attempt queue that if queued is true. It goes on with wait.
func (m *Mutex) begin(ctx context.Context, t *terms, entry *notify.Entry, queued bool, end time.Time) *attempt {
	l := m.locker
	keys := &m.slots()[m.permits.first()]
	a := &attempt{
		engine:  &l.engine,
		terms:   t,
		target:  &m.target,
		timeout: l.timeout(t),
		end:     end,
		done:    make(chan struct{}, 1),
		start:   clock.Present(l.clock),
	}
	a.acquire = wire.Request{
		Verb:  wire.Acquire,
		Lock:  keys.Lock,
		Owner: newOwner(t.holder),
		TTL:   t.ttl,
		Guard: l.guard,
	}
	if !t.plain {
		a.acquire.Fence = keys.Fence
		a.acquire.Retention = t.fenceRetention()
		a.kept = a.start
		a.acquire.Token = l.tokens.hint(keys.Lock, a.start)
	}
	if m.shared {
		a.acquire.Readers = wire.ReadersKey(keys.Lock)
	}
	a.stamp(entry, queued)
	a.mu.Lock()
	defer a.unlock()
	patience := withGrace(a.timeout)
	a.until = a.start.Add(patience)
	a.timer, a.timerAt = l.clock.AfterFunc(patience, a.onTimer), a.until.Mono
	until := clock.IO().Add(a.timeout)
	a.aim(m.permits)
	for i, _, more := a.state.Next(); more; i, _, more = a.state.Next() {
		ln := l.lines[i]
		until := until.Add(l.spare(t, ln))
		a.trip = ln.Send(dispatch.Call{ // only a lone node gives one
			To: a, Request: &a.acquire, Until: until, Within: a.timeout, Waits: lasts(ctx, until),
		})
	}
	return a
}

// request returns a further request of this attempt's, under the same owner id.
func (a *attempt) request(v wire.Verb) *wire.Request {
	first, keys := &a.acquire, a.keys()
	r := &wire.Request{
		Verb: v, Lock: keys.Lock, Owner: first.Owner,
		TTL: first.TTL, Retention: first.Retention, Token: a.state.Top, Guard: first.Guard, Readers: first.Readers,
	}
	if first.Fence != "" {
		r.Fence = keys.Fence
	}
	return r
}

// wait returns nil if a majority has accepted the attempt, else the reason. It does not wait for
// nodes whose answer cannot change that. If ctx ends first, it gives the attempt up.
func (a *attempt) wait(ctx context.Context) error {
	if a.trip != nil {
		a.trip.Run() // which decides the attempt
		if ctx.Err() != nil {
			a.giveUp(ended(ctx)) // ctx has not been listened to meanwhile
		}
	}
	select {
	case <-a.done:
	case <-ctx.Done():
		a.giveUp(ended(ctx))
		<-a.done
	}
	return a.verdict
}

// now is the present time, by both clocks.
func (a *attempt) now() clock.Moment { return clock.Present(a.engine.clock) }

// giveUp ends the attempt for a reason other than the nodes' answers. If the answers have already
// decided against it, that remains the verdict.
func (a *attempt) giveUp(why error) {
	a.mu.Lock()
	defer a.unlock()
	switch a.state.Phase() {
	case quorum.Asking:
		a.conclude(quorum.Over, a.undecided(why))
	case quorum.Won:
		a.stopTimer()
		a.verdict = a.undecided(why)
		a.abandon(0, false)
	case quorum.Over:
	}
}

// setTimer makes the timer fire at that time, or sooner: onTimer then sets it again. So most
// leases, which are short, set it only once. With mu held.
func (a *attempt) setTimer(at time.Time) {
	if a.timerAt.IsZero() || at.Before(a.timerAt) {
		a.timerAt = at
		a.timer.Reset(max(at.Sub(a.engine.clock.Now()), 0))
	}
}

// stopTimer stops the timer. With mu held.
func (a *attempt) stopTimer() {
	a.timer.Stop()
	a.timerAt = time.Time{}
}

// onTimer is called by the attempt's timer: the node timeout or the lease is over, or the timer
// fired too early.
func (a *attempt) onTimer() {
	a.mu.Lock()
	defer a.unlock()
	a.timerAt = time.Time{}
	switch a.state.Phase() {
	case quorum.Asking:
		now := a.engine.clock.Now()
		// a new connection may have shown meanwhile how far its node is
		a.timeout = a.engine.timeout(a.terms)
		if longer := a.start.Add(a.timeout); longer.Mono.After(a.until.Mono) {
			a.until = longer
		}
		if !now.Before(a.until.Mono) {
			a.fail()
		} else {
			a.setTimer(a.until.Mono)
		}
		a.decide()
	case quorum.Won:
		if a.lease != nil {
			a.lease.onTimer()
		}
	case quorum.Over:
		switch {
		case !a.vote.awaited:
		case a.until.Until(a.now()) <= 0:
			a.closeVote()
		default:
			a.setTimer(a.until.Mono)
		}
	}
}

// fail gives up the nodes that have not answered: the node timeout is over. With mu held.
func (a *attempt) fail() {
	for i, ln := range a.engine.lines {
		acquire, repair := a.state.Waits(i)
		connecting, _ := ln.Connects()
		switch {
		case acquire && connecting:
			a.state.GiveUp(i, wire.Reply{Verdict: wire.Unavailable, Err: wire.ErrConnecting})
		case acquire || repair:
			a.state.GiveUp(i, dispatch.Silent(a.timeout))
		}
	}
}

// Wanted implements dispatch.Receiver.
func (a *attempt) Wanted(*wire.Request) bool {
	a.mu.Lock()
	defer a.unlock()
	return a.state.Phase() != quorum.Over
}

// Answered implements dispatch.Receiver: it counts the answer. If the attempt is over, it releases
// what the answer shows the node to have, or to queue.
func (a *attempt) Answered(i int, r *wire.Request, reply wire.Reply) {
	a.mu.Lock()
	defer a.unlock()
	vote := !a.engine.lines[i].Duplicate()
	switch r.Verb {
	case wire.Acquire:
		a.state.Acquired(i, reply, vote)
		if a.state.Phase() == quorum.Over {
			a.free(i, clock.IO(), false)
			if reply.Verdict == wire.Held { // which free does not know: it came too late
				a.leaveQueue(i)
			}
		}
	case wire.Repair:
		a.state.Repaired(i, reply, vote, elsewhere)
	default: // an attempt sends nothing else
	}
	a.decide()
}

// decide sends the requests that the answers make necessary, and concludes the attempt as soon as
// no open answer can change the outcome. With mu held.
func (a *attempt) decide() {
	outcome := a.state.Decide()
	a.sendNext()
	if a.state.Phase() == quorum.Won { // what came late
		a.returnStrays()
	}
	if outcome == quorum.Doubtful && !a.awaited() {
		outcome = a.state.WithoutOpen()
	}
	switch outcome {
	case quorum.Accepted:
		if a.deadline().Until(a.now()) > 0 {
			a.conclude(quorum.Won, nil)
		} else {
			a.conclude(quorum.Over, a.error(ErrTooLate))
		}
	case quorum.NoQuorum:
		a.conclude(quorum.Over, a.error(ErrNoQuorum))
	case quorum.Contested:
		if !a.insist() {
			a.yield()
		}
	case quorum.Outvoted:
		a.yield()
	default: // not yet
	}
}

// sendNext sends the requests that the attempt's state has ready. With mu held.
func (a *attempt) sendNext() {
	for i, v, more := a.state.Next(); more; i, v, more = a.state.Next() {
		r := a.one()
		if v == wire.Repair {
			if a.repair == nil {
				a.repair = a.request(wire.Repair)
			}
			r = a.repair
		}
		until := clock.IO().Add(a.timeout)
		a.engine.lines[i].Send(dispatch.Call{To: a, Request: r, Until: until, Within: a.timeout})
	}
}

// repairCount is how many nodes needed a second request for the token.
func (a *attempt) repairCount() int {
	a.mu.Lock()
	defer a.unlock()
	return a.state.Repairs
}

// deadline is when the lock counts as expired if nothing extends it.
func (a *attempt) deadline() clock.Moment { return a.start.Add(validity(a.terms.ttl)) }

// conclude ends the asking. With mu held.
func (a *attempt) conclude(p quorum.Phase, verdict error) {
	if a.state.Phase() != quorum.Asking {
		return
	}
	a.verdict = verdict
	if p == quorum.Won {
		a.state.Conclude(quorum.Won)
		a.returnStrays()
	} else {
		a.stopTimer()
		a.abandon(0, false)
	}
	a.done <- struct{}{}
}
