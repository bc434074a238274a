package redlock

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/dispatch"
	"github.com/go-redlock/redlock/pool"
)

// phase is how far a claim has come.
type phase int

const (
	asking phase = iota // its nodes are being asked
	won                 // a majority has granted it in time: it stands
	over                // lost or released: what it has on the nodes, or gets there yet, is released
)

// A claim is one owner id on its way through the algorithm of "Distributed Locks with Redis": every node is asked at
// once, the claim is decided as soon as no further answer can change the outcome, and what is left of it is cleaned up
// in the background. Each attempt to take a lock is a claim of its own with an id of its own: a late message of one
// attempt can then never touch another's.
//
// With fencing a majority must not only grant the lock but also hold one and the same token in its register. Nodes
// whose clocks and histories agree do so at once; to the others the greatest value is written in a second round
// (Repair). See docs/safety.md for why such tokens are unique and rise.
type claim struct {
	locker  *Locker
	terms   *terms
	name    string
	start   clock.Moment // before the first request was sent
	end     time.Time    // when it gives way to others, unless zero: see insist
	acquire pool.Request
	random  [16]byte         // of the owner id
	queue   string           // key of the queue of waiters
	done    chan struct{}    // gets a value when the claim is decided, and one when its release is
	timer   clock.Timer      // the node timeout, and for a lease its deadline
	trip    *dispatch.Inline // to be made by the caller, where that is all there is to wait for

	mu      sync.Mutex
	timeout time.Duration // of a node, for the requests to come
	rings   time.Time     // when the timer does, or zero
	until   time.Time     // when nodes that have not answered have failed
	again   time.Time     // when the nodes that others have may be asked again, and how often they were: see insist
	rounds  int
	phase   phase
	verdict error  // why it was lost
	token   uint64 // the fencing token, once chosen
	chosen  bool
	top     uint64 // the greatest token reserved, of which those up to spent were used: see reserve
	spent   uint64
	repair  *pool.Request // the further requests, once needed
	extend  *pool.Request
	rejoin  *pool.Request
	repairs int // nodes that were sent one
	nodes   []standing
	lease   *Lease       // what came of it, once won; nil while the lock is handed over
	lost    bool         // a majority said so while it was
	debts   []debt       // the releases, once over
	freed   atomic.Int32 // nodes that have paid
	vote    releaseVote
	release *releaseVote // it, if Unlock waits for it
	news    []news       // to be told once mu is free
}

// A ballot is one node's say on a claim.
type ballot uint8

const (
	open     ballot = iota // not answered
	granted                // it holds the lock for us
	accepted               // and its register holds our token
	held                   // another owner has the lock there
	failed                 // it refused, did not answer, or has no vote
)

// A standing is what a claim has on one node.
type standing struct {
	token    uint64      // that it granted
	server   string      // that granted it
	refusal  *pool.Reply // the last answer, unless that was yes
	ballot   ballot
	settling bool // a Repair is under way: the node may yet accept
	flying   bool // a request that takes the lock is under way
	taken    bool // the lock is ours there, or may be
	unknown  bool // such a request went unanswered: it may be executed at any time
	refused  bool // the node refused such a request with an error: it hardly did any of it
	missing  bool // the node has lost the lock since: a renewal wins it back
	returned bool // such a renewal was sent: the node may not have had the lock all the time
	lapsed   bool // another server spoke for it since, or its own may have been without the lock: it vouches for no block
}

// A tally counts the ballots.
type tally struct{ open, granted, accepted, settling, held, failed int }

// unlock frees mu and then tells what happened meanwhile: nothing that belongs to a user runs under a lock.
func (c *claim) unlock() {
	told := c.news
	c.news = nil
	c.mu.Unlock()
	for _, n := range told {
		c.locker.tell(n.ctx, n.level, n.text, n.event)
	}
}

// news is an event with its line for the log.
type news struct {
	ctx   context.Context //nolint:containedctx // to be passed on
	level slog.Level
	text  string
	event Event
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

// claim starts one attempt: it takes the time, and asks every node. Those that refuse queue it, if there is a place. The caller goes on with wait.
func (m *Mutex) claim(ctx context.Context, t *terms, p *place, end time.Time) *claim {
	l := m.locker
	c := &claim{
		locker:  l,
		terms:   t,
		name:    m.name,
		queue:   m.keys.Queue,
		timeout: l.timeout(t),
		end:     end,
		done:    make(chan struct{}, 1),
		nodes:   make([]standing, len(l.lines)),
		start:   clock.Present(l.clock),
	}
	c.acquire = pool.Request{
		Verb:  pool.Acquire,
		Lock:  m.keys.Lock,
		Owner: c.newOwner(t.holder),
		TTL:   t.ttl,
		Guard: l.guard,
	}
	if !t.plain {
		c.acquire.Fence = m.keys.Fence
		c.acquire.Retention = t.fenceRetention()
		c.acquire.Token = l.hint(m.keys.Lock, c.start)
	}
	if p != nil {
		p.enqueue(&c.acquire, c.queue, c.start)
	}
	c.mu.Lock()
	defer c.unlock()
	patience := withGrace(c.timeout)
	c.until = c.start.Mono.Add(patience)
	c.timer, c.rings = l.clock.AfterFunc(patience, c.alarm), c.until
	until := clock.IO().Add(c.timeout)
	for i, ln := range l.lines {
		c.nodes[i].flying = true
		until := until.Add(l.spare(t, ln))
		c.trip = ln.Send(dispatch.Call{To: c, Request: &c.acquire, Until: until, Within: c.timeout, Waits: lasts(ctx, until)}) // one only, of a lone node
	}
	return c
}

// request returns a further request of this claim's, under the same owner id.
func (c *claim) request(v pool.Verb) *pool.Request {
	a := &c.acquire
	return &pool.Request{
		Verb: v, Lock: a.Lock, Fence: a.Fence, Owner: a.Owner,
		TTL: a.TTL, Retention: a.Retention, Token: c.top, Guard: a.Guard,
	}
}

// wait returns nil once a majority stands behind the claim, or why none does. It does not wait for nodes whose answer
// cannot change that. If ctx ends first the claim is given up.
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

// giveUp ends the claim because of something else than the nodes' answers. If they have denied it already, that is why it was lost.
func (c *claim) giveUp(why error) {
	c.mu.Lock()
	defer c.unlock()
	switch c.phase {
	case asking:
		c.conclude(over, why)
	case won:
		c.hush()
		c.verdict = why
		c.abandon(0, nil)
	case over:
	}
}

// ring has the timer ring at that time, or sooner: alarm then has it ring again. So most leases, which are short, set it once. With mu held.
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

// alarm is what the claim's timer calls: the node timeout is over, or the lease, or it is too soon to say.
func (c *claim) alarm() {
	c.mu.Lock()
	defer c.unlock()
	c.rings = time.Time{}
	switch c.phase {
	case asking:
		now := c.locker.clock.Now()
		c.timeout = c.locker.timeout(c.terms) // meanwhile a connection may have told how far its node is
		if longer := c.start.Mono.Add(c.timeout); longer.After(c.until) {
			c.until = longer
		}
		if !now.Before(c.until) {
			c.fail()
		} else {
			c.ring(c.until)
		}
		c.decide()
	case won:
		if c.lease != nil {
			c.lease.alarm()
		}
	case over:
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
	for i := range c.nodes {
		n := &c.nodes[i]
		switch connecting, _ := c.locker.lines[i].Connects(); {
		case n.ballot == open && connecting:
			n.refuse(failed, pool.Reply{Verdict: pool.Unavailable, Err: pool.ErrConnecting})
		case n.settling || n.ballot == open: // what it answered before is not the last word
			n.refuse(failed, dispatch.Silent(c.timeout))
		}
		n.settling = false
	}
}

// Wanted implements dispatch.Receiver.
func (c *claim) Wanted(*pool.Request) bool {
	c.mu.Lock()
	defer c.unlock()
	return c.phase != over
}

// Answered implements dispatch.Receiver: it counts the answer.
func (c *claim) Answered(i int, r *pool.Request, reply pool.Reply) {
	c.mu.Lock()
	defer c.unlock()
	switch r.Verb {
	case pool.Acquire:
		c.acquired(i, reply)
	case pool.Repair:
		c.repaired(i, reply)
	default: // a claim sends nothing else
	}
}

// acquired counts the answer to Acquire. With mu held.
func (c *claim) acquired(i int, reply pool.Reply) {
	n := &c.nodes[i]
	c.landed(i, &reply)
	switch {
	case c.phase == over:
		return
	case reply.Verdict == pool.OK && c.voted(reply.Server):
		c.lapse(reply.Server)
		n.refuse(failed, reply)
	case c.locker.lines[i].Duplicate():
		n.refuse(failed, reply)
	case reply.Verdict == pool.OK:
		n.ballot, n.token, n.server = granted, reply.Token, reply.Server
		if c.chosen {
			c.settle(i)
		}
	case reply.Verdict == pool.Held:
		n.refuse(held, reply)
	default:
		n.refuse(failed, reply)
	}
	c.decide()
}

// refuse notes an answer that does not count for the claim.
func (n *standing) refuse(b ballot, reply pool.Reply) { n.ballot, n.refusal = b, &reply }

// voted reports whether that server has granted the lock over another line: an address may have led to it for a while. With mu held.
func (c *claim) voted(server string) bool {
	return server != "" && slices.ContainsFunc(c.nodes, func(n standing) bool {
		return (n.ballot == granted || n.ballot == accepted) && n.server == server
	})
}

// lapse notes that the server gave us the lock once more: it may have been another's meanwhile,
// with tokens of its own. With mu held.
func (c *claim) lapse(server string) {
	for i := range c.nodes {
		if n := &c.nodes[i]; server != "" && n.server == server {
			n.lapsed = true
		}
	}
}

// landed notes what a request that takes the lock has left on its node. With mu held.
func (c *claim) landed(i int, reply *pool.Reply) {
	n := &c.nodes[i]
	n.flying = false
	switch {
	case reply.Verdict == pool.OK:
		n.taken, n.refused = true, false
	case reply.Verdict == pool.Unavailable && !reply.Unsent:
		n.taken, n.unknown, n.refused = true, true, false
	case reply.Verdict == pool.Refused && !reply.Unsent && !errors.Is(reply.Err, pool.ErrBadFence):
		n.taken, n.refused = true, true // a script that fails half way leaves what it has done
	}
	if c.phase == over {
		c.free(i, clock.IO(), false)
	}
}

// choose makes the greatest token granted the claim's, and has the nodes that granted a lower one raise theirs to it.
// With mu held.
func (c *claim) choose() {
	c.chosen = true
	for i := range c.nodes {
		if c.nodes[i].ballot == granted {
			c.token = max(c.token, c.nodes[i].token)
		}
	}
	c.top, c.spent = c.token, c.token
	for i := range c.nodes {
		if c.nodes[i].ballot == granted {
			c.settle(i)
		}
	}
}

// settle compares a grant with the chosen token. A token that is higher came too late to be chosen: that node keeps
// others out, but does not accept. With mu held.
func (c *claim) settle(i int) {
	n := &c.nodes[i]
	switch token := n.token; {
	case token == c.token:
		n.ballot = accepted
	case token < c.token:
		if c.repair == nil {
			c.repair = c.request(pool.Repair)
		}
		n.settling = true
		c.repairs++
		c.locker.lines[i].Send(dispatch.Call{To: c, Request: c.repair, Until: clock.IO().Add(c.timeout), Within: c.timeout})
	}
}

// repaired counts the answer to Repair. It speaks of a register: that of the server that granted
// the lock is meant. With mu held.
func (c *claim) repaired(i int, reply pool.Reply) {
	n := &c.nodes[i]
	n.settling = false
	switch {
	case reply.Verdict == pool.Unavailable:
		n.refuse(failed, reply)
	case !c.speaks(i, &reply):
		n.refuse(failed, elsewhere)
	case reply.Verdict == pool.OK:
		n.ballot = accepted
	case reply.Verdict == pool.Gone, reply.Verdict == pool.Raised:
		n.refuse(held, reply)
		n.missing = reply.Verdict == pool.Gone
	default:
		n.refuse(failed, reply)
	}
	c.decide()
}

// speaks reports whether an answer about a register is that of the server that granted the lock on
// this line. The address may lead to another node's server by now, where the lock is ours too: what
// that has in its register is not what this one has. With mu held.
func (c *claim) speaks(i int, reply *pool.Reply) bool {
	return reply.Server == c.nodes[i].server && !c.locker.lines[i].Duplicate()
}

// count counts the ballots. With mu held.
func (c *claim) count() (t tally) {
	for i := range c.nodes {
		n := &c.nodes[i]
		switch n.ballot {
		case open:
			t.open++
		case accepted:
			t.accepted++
			t.granted++
		case granted:
			t.granted++
			if n.settling {
				t.settling++
			}
		case held:
			t.held++
		case failed:
			t.failed++
		}
	}
	return t
}

// decide concludes the claim as soon as nothing that is still open can change the outcome. With mu held.
func (c *claim) decide() {
	if c.phase != asking {
		return
	}
	q := c.locker.quorum
	t := c.count()
	if t.granted >= q && !c.chosen {
		c.choose()
		t = c.count()
	}
	switch {
	case t.accepted >= q:
		if c.deadline().Until(clock.Present(c.locker.clock)) > 0 {
			c.conclude(won, nil)
		} else {
			c.conclude(over, c.error(ErrTooLate))
		}
	case t.granted+t.held+t.open < q:
		c.conclude(over, c.error(ErrNoQuorum))
	case c.chosen && t.accepted+t.settling+t.open < q:
		c.yield()
	case t.granted+t.open < q, t.granted < q && t.held > 0 && t.granted+t.held >= q && !c.awaited():
		c.outvoted(t)
	}
}

// outvoted concludes a claim that others keep from a majority, if it has to give way to them or knows who has the lock. With mu
// held.
func (c *claim) outvoted(t tally) {
	switch {
	case c.most() >= c.locker.quorum:
		c.yield()
	case t.granted > 0:
		if !c.insist() {
			c.yield()
		}
	case !c.awaited():
		c.yield()
	}
}

// yield concludes a claim that others keep from a majority. With mu held.
func (c *claim) yield() {
	e := c.error(ErrHeld)
	if !e.owned {
		e.verdict = errSplit
	}
	c.conclude(over, e)
}

// awaited reports whether a node that has not answered may yet do so soon. A claim that others may have outvoted does not wait for
// silent ones until the node timeout: meanwhile what it holds would keep the others from a majority. With mu held.
func (c *claim) awaited() bool {
	now := clock.IO()
	for i, ln := range c.locker.lines {
		if c.nodes[i].ballot != open {
			continue
		}
		switch left, known := ln.Silence(now); {
		case !known:
			return true
		case left > 0:
			c.ring(c.locker.clock.Now().Add(left))
			return true
		}
	}
	return false
}

// most is how many of the nodes the owner has that has the most, with those that are reserved for the next owner. With mu held.
func (c *claim) most() (most int) {
	passing := 0
	for i := range c.nodes {
		r, same := c.nodes[i].other(), 0
		if r != nil && r.TTL == 0 {
			passing++
			continue
		}
		for j := range c.nodes {
			if o := c.nodes[j].other(); r != nil && o != nil && o.TTL != 0 && o.Fingerprint == r.Fingerprint {
				same++
			}
		}
		most = max(most, same)
	}
	return most + passing
}

// other is what the node told of another owner that has the lock there, or will next; nil if it did not. What a node without a
// vote tells does not count.
func (n *standing) other() *pool.Reply {
	if n.ballot != held || n.refusal.Verdict != pool.Held {
		return nil
	}
	return n.refusal
}

// repairs is how many nodes needed a second request for the token.
func (c *claim) repairCount() int {
	c.mu.Lock()
	defer c.unlock()
	return c.repairs
}

// grant is what a claim that was won gives.
func (c *claim) grant() grant {
	return grant{claim: c, fence: c.token, start: c.start, deadline: c.deadline()}
}

// deadline is when the lock must be taken for expired if nothing extends it.
func (c *claim) deadline() clock.Moment { return c.start.Add(validity(c.terms.ttl)) }

// conclude ends the asking. With mu held.
func (c *claim) conclude(p phase, verdict error) {
	if c.phase != asking {
		return
	}
	c.verdict = verdict
	if p == won {
		c.phase = won
	} else {
		c.hush()
		c.abandon(0, nil)
	}
	c.done <- struct{}{}
}

// abandon releases all that the claim has on the nodes, and sees to it that what it gets there yet is released too. No
// context of a caller bounds that. If remainder is not zero the keys are left to live for that long. Who waits for a vote has to
// run the trip, if one is returned. With mu held.
func (c *claim) abandon(remainder time.Duration, vote *releaseVote) (own *dispatch.Inline) {
	c.phase = over
	c.release = vote
	c.debts = make([]debt, len(c.nodes))
	if vote != nil {
		vote.debts = c.debts
	}
	request := c.request(pool.Release)
	request.TTL = remainder
	request.Queue, request.Reserve = c.queue, reserve(c.timeout)
	if inbox := c.locker.inbox; inbox.busy.Load() { // else no node has our inbox in its queue, or the lock reserved for it
		request.Inbox = inbox.channel
	}
	now := clock.IO()
	until := now.Add(max(c.terms.ttl, remainder))
	var hold *time.Time
	if remainder > 0 {
		hold = new(now.Add(remainder))
	}
	freed := &c.freed
	if errors.Is(c.verdict, ErrHeld) || errors.Is(c.verdict, errSplit) { // lost in time, to somebody else: to try at once would be to lose at once
		freed = nil
	}
	for i := range c.debts {
		c.debts[i] = debt{ledger: &c.locker.debts[i], request: request, timeout: c.timeout, hold: hold, until: until, vote: vote, freed: freed}
	}
	for i := range c.debts { // an answer to one looks at the others
		own = c.free(i, now, vote != nil) // one only, of a lone node
	}
	return own
}

// free releases the lock on one node, unless a request is under way there that takes it: on a pool of connections a
// release could overtake it, so it waits until that has landed. Who calls, and waits for the answer, has to run the trip, if one is
// returned. With mu held.
func (c *claim) free(i int, now time.Time, waits bool) *dispatch.Inline {
	n, d := &c.nodes[i], &c.debts[i]
	switch {
	case n.flying:
	case n.taken:
		n.taken = false
		d.unknown, d.refused, d.rejoin = n.unknown, n.refused, n.returned
		if d.vote != nil && d.ledger.line.Duplicate() {
			d.vote.postpone(d)
		} else {
			return d.send(now, waits)
		}
	case d.vote != nil:
		d.vote.count(d, &pool.Reply{Verdict: pool.Gone})
	}
	return nil
}

// error tells how the nodes have answered. With mu held.
func (c *claim) error(verdict error) *QuorumError {
	t := c.count()
	e := &QuorumError{
		Op:      "lock",
		Name:    c.name,
		Needed:  c.locker.quorum,
		Granted: t.granted,
		Held:    t.held,
		Failed:  t.failed,
		Pending: t.open,
		verdict: verdict,
	}
	if !errors.Is(verdict, ErrTooLate) {
		e.self = c.fingerprint()
	}
	owners, most, passing, foreign := make(map[string]int), 0, 0, false
	waits := make([]time.Duration, 0, len(c.nodes))
	for i := range c.nodes {
		n := &c.nodes[i]
		r := cmp.Or(n.refusal, &unanswered)
		switch {
		case n.ballot == granted || n.ballot == accepted:
			waits = append(waits, 0)
			continue
		case r.Verdict == pool.Held && r.TTL >= 0, r.Verdict == pool.Quarantined:
			waits = append(waits, r.TTL)
		}
		switch {
		case n.other() == nil:
		case r.TTL == 0:
			passing++ // it is reserved for the next owner
		default:
			owners[r.Fingerprint]++
			e.Holder = cmp.Or(e.Holder, r.Holder)
			if owners[r.Fingerprint] > most {
				most, e.owner, e.foreign = owners[r.Fingerprint], r.Fingerprint, r.Foreign
			}
			foreign = foreign || r.Foreign
		}
		e.Nodes = append(e.Nodes, nodeError(c.locker.lines[i], r))
	}
	e.owned = most+passing >= e.Needed
	e.foreign = e.foreign || foreign && !e.owned
	if slices.Sort(waits); len(waits) >= e.Needed {
		e.RetryAfter = waits[e.Needed-1]
	}
	return e
}

// A releaseVote counts what the nodes say to a release, for the caller of Unlock.
type releaseVote struct {
	quorum int
	until  clock.Moment // the node timeout
	done   chan<- struct{}

	mu                          sync.Mutex
	open, deleted, gone, failed int
	closed, late                bool    // late: by the node timeout
	verdict                     error   // nil, ErrLost or ErrNoQuorum
	twins                       []*debt // to be released once it is over
	debts                       []debt  // all of them
}

// openVote opens the vote on the claim's release, of which there is one at most. With mu held.
func (c *claim) openVote() *releaseVote {
	l, v := c.locker, &c.vote
	c.timeout = l.timeout(c.terms)
	v.quorum, v.until, v.open, v.done = l.quorum, clock.Present(l.clock).Add(withGrace(c.timeout)), len(l.lines), c.done
	return v
}

// count counts the answer to d.
func (v *releaseVote) count(d *debt, reply *pool.Reply) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if d.ledger.line.Duplicate() || v.voted(reply.Server) {
		reply = &noVote
	}
	v.open--
	d.server = reply.Server
	switch reply.Verdict {
	case pool.OK:
		v.deleted++
	case pool.Gone:
		v.gone++
	default:
		v.failed++
	}
	d.said, d.why = reply.Verdict, reply.Err
	v.decide()
}

// voted reports whether that server has voted over another line. With mu held.
func (v *releaseVote) voted(server string) bool {
	for i := range v.debts { // of which nothing else is the vote's to read
		if server != "" && v.debts[i].server == server {
			return true
		}
	}
	return false
}

// postpone has the release to a twin wait until the vote is over: should it come first, the line that votes for the
// server would find the lock gone.
func (v *releaseVote) postpone(d *debt) {
	v.mu.Lock()
	defer v.mu.Unlock()
	d.vote = nil
	d.said, d.why = noVote.Verdict, noVote.Err
	v.open--
	v.failed++
	v.twins = append(v.twins, d)
	v.decide()
}

// decide ends the vote as soon as nothing that is still open can change it. With mu held.
func (v *releaseVote) decide() {
	switch {
	case v.deleted >= v.quorum:
		v.end(nil)
	case v.gone >= v.quorum:
		v.end(ErrLost)
	case v.deleted+v.open < v.quorum && v.gone+v.open < v.quorum:
		v.end(ErrNoQuorum)
	}
}

// close ends the vote if it is still open: the node timeout is over.
func (v *releaseVote) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.late = !v.closed
	v.end(ErrNoQuorum)
}

// end ends the vote. With mu held.
func (v *releaseVote) end(verdict error) {
	if !v.closed {
		v.closed, v.verdict = true, verdict
		v.done <- struct{}{} // there is room: the decision was taken out
	}
	for _, d := range v.twins {
		d.send(clock.IO(), false)
	}
	v.twins = nil
}
