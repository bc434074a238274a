package redlock

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/dispatch"
	"github.com/go-redlock/redlock/internal/notify"
	"github.com/go-redlock/redlock/internal/quorum"
	"github.com/go-redlock/redlock/internal/release"
	"github.com/go-redlock/redlock/internal/wire"
)

// A claim is one owner id on its way through the algorithm of "Distributed Locks with Redis":
//
//  1. it takes the time;
//  2. it asks every node for the lock, all at once and none for longer than the node timeout;
//  3. it has the lock if a majority has granted it, in less time than it is valid for;
//  4. the lock is then valid from 1 on, less the drift;
//  5. otherwise it releases the lock on all nodes.
//
// Package quorum says what the answers come to; this file keeps the time, sends and waits. Each
// attempt is a claim of its own with an id of its own: a late message of one attempt can then never
// touch another's. See docs/safety.md for why fencing tokens are unique and rise.
type claim struct {
	locker  *Locker
	terms   *terms
	name    string
	start   clock.Moment // before the first request was sent
	end     time.Time    // when it gives way to others, unless zero: see insist
	acquire wire.Request
	random  [16]byte         // of the owner id
	queue   string           // key of the queue of waiters
	done    chan struct{}    // gets a value when the claim is decided, and one when its release is
	timer   clock.Timer      // the node timeout, and for a lease its deadline
	trip    *dispatch.Inline // to be made by the caller, where that is all there is to wait for

	mu      sync.Mutex
	timeout time.Duration // of a node, for the requests to come
	rings   time.Time     // when the timer does, or zero
	until   time.Time     // when nodes that have not answered have failed
	// when the nodes that others have may be asked again, and how often they were: see insist
	again     time.Time
	rounds    int
	verdict   error // why it was lost
	state     quorum.Acquisition
	repair    *wire.Request // the further requests, once needed
	extend    *wire.Request
	rejoin    *wire.Request
	lease     *Lease // what came of it, once won; nil while the lock is handed over
	lost      bool   // a majority said so while it was
	released  release.Attempt
	releases  []owedRelease // once over
	wakes     bool          // who waits here tries once they are confirmed
	confirmed atomic.Int32  // nodes that have given the lock up
	vote      releaseVote
	release   *releaseVote // it, if Unlock waits for it
	news      []news       // to be told once mu is free
}

// unlock frees mu and then tells what happened meanwhile: nothing that belongs to a user runs under
// a lock.
func (c *claim) unlock() {
	told := c.news
	c.news = nil
	c.mu.Unlock()
	for _, n := range told {
		if c.locker.listens(n.level) {
			c.locker.tell(n.lease.Context(), n.level, n.text, n.event)
		}
	}
}

// newOwner returns a fresh owner id.
func (c *claim) newOwner(holder string) string {
	rand.Read(c.random[:]) // never fails
	id := make([]byte, 0, 2*len(c.random)+1+maxHolderLen)
	id = hex.AppendEncode(id, c.random[:])
	if holder != "" {
		id = append(append(id, ':'), holder...)
	}
	return string(id)
}

// claim starts one attempt: it takes the time, and asks every node. Those that refuse queue it, if
// there is an entry. The caller goes on with wait.
func (m *Mutex) claim(ctx context.Context, t *terms, entry *notify.Entry, end time.Time) *claim {
	l := m.locker
	c := &claim{
		locker:  l,
		terms:   t,
		name:    m.name,
		queue:   m.keys.Queue,
		timeout: l.timeout(t),
		end:     end,
		done:    make(chan struct{}, 1),
		start:   clock.Present(l.clock),
	}
	c.acquire = wire.Request{
		Verb:  wire.Acquire,
		Lock:  m.keys.Lock,
		Owner: c.newOwner(t.holder),
		TTL:   t.ttl,
		Guard: l.guard,
	}
	if !t.plain {
		c.acquire.Fence = m.keys.Fence
		c.acquire.Retention = t.fenceRetention()
		c.acquire.Token = l.tokens.hint(m.keys.Lock, c.start)
	}
	if entry != nil {
		entry.Stamp(&c.acquire, c.start)
	}
	c.mu.Lock()
	defer c.unlock()
	patience := withGrace(c.timeout)
	c.until = c.start.Mono.Add(patience)
	c.timer, c.rings = l.clock.AfterFunc(patience, c.alarm), c.until
	until := clock.IO().Add(c.timeout)
	c.state.Start(len(l.lines), l.quorum)
	for i, _, more := c.state.Next(); more; i, _, more = c.state.Next() {
		ln := l.lines[i]
		until := until.Add(l.spare(t, ln))
		c.trip = ln.Send(dispatch.Call{ // one only, of a lone node
			To: c, Request: &c.acquire, Until: until, Within: c.timeout, Waits: lasts(ctx, until),
		})
	}
	return c
}

// request returns a further request of this claim's, under the same owner id.
func (c *claim) request(v wire.Verb) *wire.Request {
	a := &c.acquire
	return &wire.Request{
		Verb: v, Lock: a.Lock, Fence: a.Fence, Owner: a.Owner,
		TTL: a.TTL, Retention: a.Retention, Token: c.state.Top, Guard: a.Guard,
	}
}

// wait returns nil once a majority stands behind the claim, or why none does. It does not wait for
// nodes whose answer cannot change that. If ctx ends first the claim is given up.
func (c *claim) wait(ctx context.Context) error {
	if c.trip != nil {
		c.trip.Run() // which decides the claim
		if ctx.Err() != nil {
			c.giveUp(ended(ctx)) // ctx has not been listened to meanwhile
		}
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		c.giveUp(ended(ctx))
		<-c.done
	}
	return c.verdict
}

// giveUp ends the claim because of something else than the nodes' answers. If they have denied it
// already, that is why it was lost.
func (c *claim) giveUp(why error) {
	c.mu.Lock()
	defer c.unlock()
	switch c.state.Phase() {
	case quorum.Asking:
		c.conclude(quorum.Over, why)
	case quorum.Won:
		c.hush()
		c.verdict = why
		c.abandon(0, nil)
	case quorum.Over:
	}
}

// ring has the timer ring at that time, or sooner: alarm then has it ring again. So most leases,
// which are short, set it once. With mu held.
func (c *claim) ring(at time.Time) {
	if c.rings.IsZero() || at.Before(c.rings) {
		c.rings = at
		c.timer.Reset(max(at.Sub(c.locker.clock.Now()), 0))
	}
}

// hush stops the timer. With mu held.
func (c *claim) hush() {
	c.timer.Stop()
	c.rings = time.Time{}
}

// alarm is what the claim's timer calls: the node timeout is over, or the lease, or it is too soon
// to say.
func (c *claim) alarm() {
	c.mu.Lock()
	defer c.unlock()
	c.rings = time.Time{}
	switch c.state.Phase() {
	case quorum.Asking:
		now := c.locker.clock.Now()
		// meanwhile a connection may have told how far its node is
		c.timeout = c.locker.timeout(c.terms)
		if longer := c.start.Mono.Add(c.timeout); longer.After(c.until) {
			c.until = longer
		}
		if !now.Before(c.until) {
			c.fail()
		} else {
			c.ring(c.until)
		}
		c.decide()
	case quorum.Won:
		if c.lease != nil {
			c.lease.alarm()
		}
	case quorum.Over:
		switch {
		case c.release == nil:
		case c.release.until.Until(clock.Present(c.locker.clock)) <= 0:
			c.release.close()
		default:
			c.ring(c.release.until.Mono)
		}
	}
}

// fail gives up the nodes that have not answered: the node timeout is over. With mu held.
func (c *claim) fail() {
	for i, ln := range c.locker.lines {
		acquire, repair := c.state.Waits(i)
		connecting, _ := ln.Connects()
		switch {
		case acquire && connecting:
			c.state.GiveUp(i, wire.Reply{Verdict: wire.Unavailable, Err: wire.ErrConnecting})
		case acquire || repair:
			c.state.GiveUp(i, dispatch.Silent(c.timeout))
		}
	}
}

// Wanted implements dispatch.Receiver.
func (c *claim) Wanted(*wire.Request) bool {
	c.mu.Lock()
	defer c.unlock()
	return c.state.Phase() != quorum.Over
}

// Answered implements dispatch.Receiver: it counts the answer.
func (c *claim) Answered(i int, r *wire.Request, reply wire.Reply) {
	c.mu.Lock()
	defer c.unlock()
	vote := !c.locker.lines[i].Duplicate()
	switch r.Verb {
	case wire.Acquire:
		c.state.Acquired(i, reply, vote)
		if c.state.Phase() == quorum.Over {
			c.free(i, clock.IO(), false)
		}
	case wire.Repair:
		c.state.Repaired(i, reply, vote, elsewhere)
	default: // a claim sends nothing else
	}
	c.decide()
}

// decide sends what the answers ask for, and concludes the claim as soon as nothing that is still
// open can change the outcome. With mu held.
func (c *claim) decide() {
	outcome := c.state.Decide()
	c.sendNext()
	if outcome == quorum.Doubtful && !c.awaited() {
		outcome = c.state.WithoutOpen()
	}
	switch outcome {
	case quorum.Accepted:
		if c.deadline().Until(clock.Present(c.locker.clock)) > 0 {
			c.conclude(quorum.Won, nil)
		} else {
			c.conclude(quorum.Over, c.error(ErrTooLate))
		}
	case quorum.NoQuorum:
		c.conclude(quorum.Over, c.error(ErrNoQuorum))
	case quorum.Contested:
		if !c.insist() {
			c.yield()
		}
	case quorum.Outvoted:
		c.yield()
	default: // not yet
	}
}

// sendNext sends what the state of the claim asks for. With mu held.
func (c *claim) sendNext() {
	for i, v, more := c.state.Next(); more; i, v, more = c.state.Next() {
		r := &c.acquire
		if v == wire.Repair {
			if c.repair == nil {
				c.repair = c.request(wire.Repair)
			}
			r = c.repair
		}
		until := clock.IO().Add(c.timeout)
		c.locker.lines[i].Send(dispatch.Call{To: c, Request: r, Until: until, Within: c.timeout})
	}
}

// repairs is how many nodes needed a second request for the token.
func (c *claim) repairCount() int {
	c.mu.Lock()
	defer c.unlock()
	return c.state.Repairs
}

// A grant is a claim that was won, and the lease that may be made of it.
type grant struct {
	claim    *claim
	fence    uint64       // 0 with a fenced claim: none is left, a block must be reserved first
	start    clock.Moment // when the lease begins
	deadline clock.Moment
}

// grant is what a claim that was won gives.
func (c *claim) grant() grant {
	return grant{claim: c, fence: c.state.Token, start: c.start, deadline: c.deadline()}
}

// deadline is when the lock must be taken for expired if nothing extends it.
func (c *claim) deadline() clock.Moment { return c.start.Add(validity(c.terms.ttl)) }

// conclude ends the asking. With mu held.
func (c *claim) conclude(p quorum.Phase, verdict error) {
	if c.state.Phase() != quorum.Asking {
		return
	}
	c.verdict = verdict
	if p == quorum.Won {
		c.state.Conclude(quorum.Won)
	} else {
		c.hush()
		c.abandon(0, nil)
	}
	c.done <- struct{}{}
}

// error tells how the nodes have answered. With mu held.
func (c *claim) error(verdict error) *QuorumError {
	e := lockError(c.name, verdict, c.locker.quorum, c.state.Standing())
	if !errors.Is(verdict, ErrTooLate) {
		e.self = c.fingerprint()
	}
	for i, ln := range c.locker.lines {
		if r, denied := c.state.Denied(i); denied {
			e.Nodes = append(e.Nodes, nodeError(ln, cmp.Or(r, &unanswered)))
		}
	}
	return e
}
