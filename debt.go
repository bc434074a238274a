package redlock

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/dispatch"
	"github.com/go-redlock/redlock/internal/quorum"
	"github.com/go-redlock/redlock/pool"
)

const (
	// maxDebts is how many releases may be owed to one node. Beyond it the node gets no new locks, and further releases
	// are dropped: their keys last until their TTL.
	maxDebts = 32768

	minRepay, maxRepay = 20 * time.Millisecond, time.Second
)

// A debt is a release that is owed to a node: the owner has, or may have, the lock there, and shall not any more. It is
// sent until the node has confirmed it, in the background if need be, and until the key would have expired by itself.
//
// The node's first "gone" is not enough if a request that takes the lock went unanswered: it may still be on its way, or a
// node that was frozen may execute the release, which came on another connection, before it. So the release is sent once more,
// a node timeout after the node has answered; what slips through even then lasts for its TTL. Nor is "ok" enough where a renewal
// has won the node back meanwhile: that may be the lock which was released.
//
// A node that refuses the release is asked again too, for a refusal may pass: somebody changes the permissions back.
type debt struct {
	ledger  *ledger // of the node
	request *pool.Request
	trace   quorum.Trace
	denied  error      // why the node refused the release, when it last did
	probe   bool       // it is the one that shows whether the node still does
	hold    *time.Time // until when a minimum hold leaves the key in place; nil: it goes at once
	until   time.Time  // when the key has expired by itself, as far as we can tell
	timeout time.Duration
	vote    *releaseVote  // counts the first answer, if anybody waits for it
	freed   *atomic.Int32 // nodes that have given the lock up; nil: nobody here waits for that

	// The vote's mu guards these.
	said Verdict // that answer
	why  error   // its cause
}

func (d *debt) Wanted(*pool.Request) bool { return true }

// send takes the release on its way to the node. See dispatch.Inline for who waits for the answer.
func (d *debt) send(now time.Time, waits bool) *dispatch.Inline {
	return d.ledger.line.Send(dispatch.Call{To: d, Request: d.request, Until: now.Add(d.timeout), Within: d.timeout, Waits: waits})
}

// resend is send at a later time, when less is left of the minimum hold.
func (d *debt) resend(now time.Time) {
	if d.hold != nil {
		r := d.request
		d.request = &pool.Request{
			Verb: r.Verb, Lock: r.Lock, Owner: r.Owner, Queue: r.Queue, Inbox: r.Inbox, Reserve: r.Reserve,
			TTL: ceilMillis(max(d.hold.Sub(now), 0)),
		}
	}
	d.send(now, false)
}

// Answered implements dispatch.Receiver.
func (d *debt) Answered(_ int, _ *pool.Request, reply pool.Reply) {
	again := d.trace.Unconfirmed && (reply.Verdict == pool.Gone || reply.Verdict == pool.OK && d.trace.Rejoined)
	if !again && (reply.Verdict == pool.OK || reply.Verdict == pool.Gone) {
		d.paid() // before the vote: who contends once that is over hardly needs to be told
	}
	if d.vote != nil {
		d.vote.count(d, &reply)
		d.vote = nil
	}
	switch {
	case again:
		d.trace.Unconfirmed = false
		d.ledger.repeat(d)
	case reply.Verdict == pool.Unavailable:
		d.ledger.owe(&d.ledger.silent, d)
	case reply.Verdict == pool.Refused && !d.trace.Refused:
		d.denied, d.probe = reply.Err, false
		d.ledger.owe(&d.ledger.denied, d)
	case d.probe:
		d.ledger.settle(&d.ledger.denied)
	}
}

// paid has who waits here for the lock try, once a majority of the nodes has given it up. They tell other processes of that, for in most cases
// this one has had its turn. But what stood in the way of the waiter may have been this process's own: an attempt that was granted too
// late, a lease whose Unlock went unanswered, or one that a call had which did not wait.
func (d *debt) paid() {
	l := d.ledger.locker
	if d.freed != nil && !d.ledger.line.Duplicate() && int(d.freed.Add(1)) == l.quorum && d.request.TTL == 0 {
		l.inbox.freed(d.request.Lock)
	}
}

// A ledger holds the debts to a node that did not answer, until it does; those that it refused, until it refuses them no
// longer; and those that are to be paid twice.
type ledger struct {
	locker *Locker
	line   *dispatch.Line

	count   atomic.Int64 // of all
	dropped atomic.Uint64
	refused atomic.Uint64

	mu     sync.Mutex
	silent arrears
	denied arrears
	twice  map[*debt]clock.Timer // few: a node that does not answer is asked one thing at a time
	closed bool                  // the Locker is: nothing waits any more
}

// Arrears are debts that wait for a sign from their node. One is sent from time to time, to get it.
type arrears struct {
	owed  []*debt
	alarm clock.Timer   // armed while anything is owed
	pause time.Duration // before the node is asked again
}

// full reports whether too much is owed to the node for it to be given new locks.
func (g *ledger) full() bool { return g.count.Load() >= maxDebts }

// owe keeps d until its node gives a sign.
func (g *ledger) owe(a *arrears, d *debt) {
	switch {
	case !clock.IO().Before(d.until): // nothing is left to release
		g.expire(d)
		return
	case g.full():
		g.drop()
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	g.locker.dispatch.Begin()
	a.owed = append(a.owed, d)
	g.count.Add(1)
	g.arm(a)
}

// repeat sends d once more when a node timeout is over.
func (g *ledger) repeat(d *debt) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		d.resend(clock.IO())
		return
	}
	g.locker.dispatch.Begin()
	if g.twice == nil {
		g.twice = make(map[*debt]clock.Timer)
	}
	g.twice[d] = g.locker.clock.AfterFunc(d.timeout, func() { g.ring(d) })
	g.count.Add(1)
}

// ring sends d once more, unless the ledger was closed meanwhile.
func (g *ledger) ring(d *debt) {
	g.mu.Lock()
	_, waits := g.twice[d]
	if waits {
		delete(g.twice, d)
		g.count.Add(-1)
	}
	g.mu.Unlock()
	if waits {
		d.resend(clock.IO())
		g.locker.dispatch.End()
	}
}

// arm sets the alarm. With mu held.
func (g *ledger) arm(a *arrears) {
	if a.alarm == nil && len(a.owed) > 0 {
		a.pause = min(max(2*a.pause, minRepay), maxRepay)
		a.alarm = g.locker.clock.AfterFunc(a.pause, func() { g.probe(a) })
	}
}

// take removes n debts of those that are owed, the oldest first, and returns them. With mu held.
func (g *ledger) take(a *arrears, n int) []*debt {
	taken := slices.Clone(a.owed[:n])
	a.owed = slices.Delete(a.owed, 0, n)
	g.count.Add(int64(-n))
	return taken
}

// settle sends all that is owed, for the node has given the sign.
func (g *ledger) settle(a *arrears) {
	if g.count.Load() == 0 {
		return
	}
	g.mu.Lock()
	owed := g.take(a, len(a.owed))
	a.pause = 0
	g.mu.Unlock()
	now := clock.IO()
	for _, d := range owed {
		d.resend(now)
		g.locker.dispatch.End()
	}
}

// probe sends one of the debts to see whether the node gives the sign, and forgets those whose keys have expired.
func (g *ledger) probe(a *arrears) {
	now := clock.IO()
	g.mu.Lock()
	a.alarm = nil
	expired := 0
	for expired < len(a.owed) && !now.Before(a.owed[expired].until) {
		expired++
	}
	due := g.take(a, min(expired+1, len(a.owed)))
	if len(a.owed) > 0 {
		g.arm(a)
	}
	g.mu.Unlock()
	for i, d := range due {
		if i < expired {
			g.expire(d)
		} else {
			d.probe = d.denied != nil
			d.resend(now)
		}
		g.locker.dispatch.End()
	}
}

// close forgets what is owed, and is going to be: Close has waited long enough.
func (g *ledger) close(l *Locker) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for d, t := range g.twice {
		t.Stop()
		delete(g.twice, d)
		g.count.Add(-1)
		l.dispatch.End()
	}
	for _, a := range []*arrears{&g.silent, &g.denied} {
		if a.alarm != nil {
			a.alarm.Stop()
		}
		for range g.take(a, len(a.owed)) {
			l.dispatch.End()
		}
	}
}

// drop gives a release up because too much is owed to the node: its key lasts until its TTL.
func (g *ledger) drop() {
	g.dropped.Add(1)
	l, node := g.locker, g.line.Node().Addr()
	l.logger.Warn("redlock: gave up the release of a key, which lasts until its TTL: too many are owed to its node", "node", node)
	l.observe(context.Background(), DroppedEvent{Node: node})
}

// expire gives d up because its key must have expired. That the node did not let it go sooner is told.
func (g *ledger) expire(d *debt) {
	if d.denied == nil {
		return
	}
	g.refused.Add(1)
	l, node := g.locker, g.line.Node().Addr()
	l.logger.Warn("redlock: a node refused the release of a key until its TTL was over", "node", node, "error", d.denied)
	l.observe(context.Background(), DroppedEvent{Node: node, Err: d.denied})
}

// abandon releases all that the claim has on the nodes, and sees to it that what it gets there yet is released too. No
// context of a caller bounds that. If remainder is not zero the keys are left to live for that long. Who waits for a vote has to
// run the trip, if one is returned. With mu held.
func (c *claim) abandon(remainder time.Duration, vote *releaseVote) (own *dispatch.Inline) {
	c.state.Conclude(quorum.Over)
	c.release = vote
	c.debts = make([]debt, len(c.locker.lines))
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
	d := &c.debts[i]
	owed, trace := c.state.Release(i)
	switch {
	case owed == quorum.Due:
		d.trace = trace
		if d.vote != nil && d.ledger.line.Duplicate() {
			d.vote.postpone(d)
		} else {
			return d.send(now, waits)
		}
	case owed == quorum.Nothing && d.vote != nil:
		d.vote.count(d, &pool.Reply{Verdict: pool.Gone})
	}
	return nil
}

// A releaseVote counts what the nodes say to a release, for the caller of Unlock.
type releaseVote struct {
	until clock.Moment // the node timeout
	done  chan<- struct{}

	mu           sync.Mutex
	nodes        quorum.Vote // yes: it has deleted the lock; no: that was gone
	closed, late bool        // late: by the node timeout
	verdict      error       // nil, ErrLost or ErrNoQuorum
	twins        []*debt     // to be released once it is over
}

// openVote opens the vote on the claim's release, of which there is one at most. With mu held.
func (c *claim) openVote() *releaseVote {
	l, v := c.locker, &c.vote
	c.timeout = l.timeout(c.terms)
	v.until, v.done = clock.Present(l.clock).Add(withGrace(c.timeout)), c.done
	v.nodes = quorum.NewVote(len(l.lines), l.quorum)
	return v
}

// count counts the answer to d.
func (v *releaseVote) count(d *debt, reply *pool.Reply) {
	v.mu.Lock()
	defer v.mu.Unlock()
	side := quorum.Neither
	switch reply.Verdict {
	case pool.OK:
		side = quorum.Yes
	case pool.Gone:
		side = quorum.No
	default:
	}
	if twin := d.ledger.line.Duplicate(); twin {
		v.nodes.Count(quorum.Neither, "")
		reply = &noVote
	} else if !v.nodes.Count(side, reply.Server) {
		reply = &noVote
	}
	d.said, d.why = reply.Verdict, reply.Err
	v.decide()
}

// postpone has the release to a twin wait until the vote is over: should it come first, the line that votes for the
// server would find the lock gone.
func (v *releaseVote) postpone(d *debt) {
	v.mu.Lock()
	defer v.mu.Unlock()
	d.vote = nil
	d.said, d.why = noVote.Verdict, noVote.Err
	v.nodes.Count(quorum.Neither, "")
	v.twins = append(v.twins, d)
	v.decide()
}

// decide ends the vote as soon as nothing that is still open can change it. With mu held.
func (v *releaseVote) decide() {
	switch v.nodes.Outcome() {
	case quorum.Yes:
		v.end(nil)
	case quorum.No:
		v.end(ErrLost)
	case quorum.Neither:
		v.end(ErrNoQuorum)
	case quorum.Open:
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
