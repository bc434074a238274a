package redlock

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

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
type debt struct {
	line    *line
	request *pool.Request
	unknown bool      // a request that takes the lock went unanswered
	refused bool      // or was refused with an error: hardly anything is owed
	rejoin  bool      // one that was to win the node back was sent too
	until   time.Time // when the key has expired by itself, as far as we can tell
	timeout time.Duration
	vote    *releaseVote  // counts the first answer, if anybody waits for it
	freed   *atomic.Int32 // nodes that have given the lock up; nil: nobody here waits for that

	// The vote's mu guards these.
	said   Verdict // that answer
	why    error   // its cause
	server string  // whose it was
}

func (d *debt) wanted(*pool.Request) bool { return true }

// send takes the release on its way to the node. See line.send for who waits for the answer.
func (d *debt) send(now time.Time, waits bool) *trip {
	return d.line.send(call{to: d, request: d.request, until: now.Add(d.timeout), waits: waits})
}

// answered implements recipient.
func (d *debt) answered(_ int, _ *pool.Request, reply pool.Reply) {
	again := d.unknown && (reply.Verdict == pool.Gone || reply.Verdict == pool.OK && d.rejoin)
	if !again && (reply.Verdict == pool.OK || reply.Verdict == pool.Gone) {
		d.paid() // before the vote: who contends once that is over hardly needs to be told
	}
	if d.vote != nil {
		d.vote.count(d, &reply)
		d.vote = nil
	}
	switch {
	case again:
		d.unknown = false
		d.line.debts.repeat(d)
	case reply.Verdict == pool.Unavailable:
		d.line.debts.owe(d)
	case reply.Verdict == pool.Refused && !d.refused:
		d.line.debts.drop(d)
	}
}

// paid has who waits here for the lock try, once a majority of the nodes has given it up. They tell other processes of that, for in most cases
// this one has had its turn. But what stood in the way of the waiter may have been this process's own: an attempt that was granted too
// late, a lease whose Unlock went unanswered, or one that a call had which did not wait.
func (d *debt) paid() {
	l := d.line.locker
	if d.freed != nil && !d.line.twin.Load() && int(d.freed.Add(1)) == l.quorum && d.request.TTL == 0 {
		l.inbox.freed(d.request.Lock)
	}
}

// A ledger holds the debts to a node that did not answer, until it does, and those that are to be paid twice.
type ledger struct {
	count   atomic.Int64 // of both
	dropped atomic.Uint64

	mu     sync.Mutex
	owed   []*debt
	alarm  Timer           // armed while anything is owed
	pause  time.Duration   // before the node is asked again
	twice  map[*debt]Timer // few: a node that does not answer is asked one thing at a time
	closed bool            // the Locker is: nothing waits any more
}

// full reports whether too much is owed to the node for it to be given new locks.
func (g *ledger) full() bool { return g.count.Load() >= maxDebts }

// owe keeps d until its node answers.
func (g *ledger) owe(d *debt) {
	switch {
	case !ioNow().Before(d.until): // nothing is left to release
		return
	case g.full():
		g.drop(d)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	d.line.locker.work.begin()
	g.owed = append(g.owed, d)
	g.count.Add(1)
	g.arm(d.line.locker.clock)
}

// repeat sends d once more when a node timeout is over.
func (g *ledger) repeat(d *debt) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		d.send(ioNow(), false)
		return
	}
	d.line.locker.work.begin()
	if g.twice == nil {
		g.twice = make(map[*debt]Timer)
	}
	g.twice[d] = d.line.locker.clock.AfterFunc(d.timeout, func() { g.ring(d) })
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
		d.send(ioNow(), false)
		d.line.locker.work.end()
	}
}

// arm sets the alarm. With mu held.
func (g *ledger) arm(clock Clock) {
	if g.alarm == nil && len(g.owed) > 0 {
		g.pause = min(max(2*g.pause, minRepay), maxRepay)
		g.alarm = clock.AfterFunc(g.pause, g.probe)
	}
}

// take removes n debts of those that are owed, the oldest first, and returns them. With mu held.
func (g *ledger) take(n int) []*debt {
	taken := slices.Clone(g.owed[:n])
	g.owed = slices.Delete(g.owed, 0, n)
	g.count.Add(int64(-n))
	return taken
}

// settle sends all that is owed, for the node has answered.
func (g *ledger) settle() {
	if g.count.Load() == 0 {
		return
	}
	g.mu.Lock()
	owed := g.take(len(g.owed))
	g.pause = 0
	g.mu.Unlock()
	now := ioNow()
	for _, d := range owed {
		d.send(now, false)
		d.line.locker.work.end()
	}
}

// probe sends one of the debts to see whether the node answers again, and forgets those whose keys have expired.
func (g *ledger) probe() {
	now := ioNow()
	g.mu.Lock()
	g.alarm = nil
	expired := 0
	for expired < len(g.owed) && !now.Before(g.owed[expired].until) {
		expired++
	}
	due := g.take(min(expired+1, len(g.owed)))
	if len(g.owed) > 0 {
		g.arm(g.owed[0].line.locker.clock)
	}
	g.mu.Unlock()
	for i, d := range due {
		if i >= expired {
			d.send(now, false)
		}
		d.line.locker.work.end()
	}
}

// close forgets what is owed, and is going to be: Close has waited long enough.
func (g *ledger) close(l *Locker) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	if g.alarm != nil {
		g.alarm.Stop()
	}
	for d, t := range g.twice {
		t.Stop()
		delete(g.twice, d)
		g.count.Add(-1)
		l.work.end()
	}
	for range g.take(len(g.owed)) {
		l.work.end()
	}
}

// drop gives d up: its key lasts until its TTL.
func (g *ledger) drop(d *debt) {
	g.dropped.Add(1)
	l, node := d.line.locker, d.line.node.Addr()
	l.logger.Warn("redlock: gave up the release of a key, which lasts until its TTL", "node", node)
	l.observe(context.Background(), DroppedEvent{Node: node})
}
