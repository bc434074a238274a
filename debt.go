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
// a node timeout after the node has answered; what slips through even then lasts for its TTL.
type debt struct {
	line    *line
	request *pool.Request
	unknown bool      // a request that takes the lock went unanswered
	refused bool      // or was refused with an error: hardly anything is owed
	until   time.Time // when the key has expired by itself, as far as we can tell
	again   time.Time // when to send it once more
	timeout time.Duration
	vote    *releaseVote // counts the first answer, if anybody waits for it

	// The vote's mu guards these.
	said Verdict // that answer
	why  error   // its cause
}

func (d *debt) wanted(*pool.Request) bool { return true }

// send takes the release on its way to the node.
func (d *debt) send(now time.Time) {
	d.line.send(call{to: d, request: d.request, until: now.Add(d.timeout)})
}

// answered implements recipient.
func (d *debt) answered(_ int, _ *pool.Request, reply pool.Reply) {
	if d.vote != nil {
		d.vote.count(d, &reply)
		d.vote = nil
	}
	switch {
	case reply.Verdict == pool.Gone && d.unknown:
		d.unknown = false
		d.line.debts.repeat(d)
	case reply.Verdict == pool.Unavailable:
		d.line.debts.owe(d)
	case reply.Verdict == pool.Refused && !d.refused:
		d.line.debts.drop(d)
	}
}

// A ledger holds the debts to a node that did not answer, until it does, and those that are to be paid twice.
type ledger struct {
	count   atomic.Int64 // of both
	dropped atomic.Uint64

	mu     sync.Mutex
	owed   []*debt
	alarm  Timer         // armed while anything is owed
	pause  time.Duration // before the node is asked again
	twice  []*debt       // in the order of when
	bell   Timer         // armed while there are any
	closed bool          // the Locker is: nothing is sent again any more
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
		return
	}
	d.line.locker.work.begin()
	d.again = ioNow().Add(d.timeout)
	g.twice = append(g.twice, d)
	g.count.Add(1)
	if len(g.twice) == 1 {
		g.bell = d.line.locker.clock.AfterFunc(d.timeout, g.ring)
	}
}

// ring sends what is to be sent once more by now.
func (g *ledger) ring() {
	now := ioNow()
	g.mu.Lock()
	n := 0
	for n < len(g.twice) && !now.Before(g.twice[n].again) {
		n++
	}
	due := g.take(&g.twice, n)
	if len(g.twice) > 0 {
		next := g.twice[0]
		g.bell = next.line.locker.clock.AfterFunc(next.again.Sub(now), g.ring)
	}
	g.mu.Unlock()
	for _, d := range due {
		d.send(now)
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

// take removes n debts, the oldest first, and returns them. With mu held.
func (g *ledger) take(from *[]*debt, n int) []*debt {
	taken := slices.Clone((*from)[:n])
	*from = slices.Delete(*from, 0, n)
	g.count.Add(int64(-n))
	return taken
}

// settle sends all that is owed, for the node has answered.
func (g *ledger) settle() {
	if g.count.Load() == 0 {
		return
	}
	g.mu.Lock()
	owed := g.take(&g.owed, len(g.owed))
	g.pause = 0
	g.mu.Unlock()
	now := ioNow()
	for _, d := range owed {
		d.send(now)
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
	due := g.take(&g.owed, min(expired+1, len(g.owed)))
	if len(g.owed) > 0 {
		g.arm(g.owed[0].line.locker.clock)
	}
	g.mu.Unlock()
	for i, d := range due {
		if i >= expired {
			d.send(now)
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
	if g.bell != nil {
		g.bell.Stop()
	}
	for range len(g.take(&g.owed, len(g.owed))) + len(g.take(&g.twice, len(g.twice))) {
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
