package redlock

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/pool"
)

const (
	// maxTrips is how many round trips to one node may be under way at once. A request that finds fewer goes out alone and
	// at once; otherwise it joins those that wait for the next trip. So batches grow with the load, and a lone caller
	// never waits for one. A node that has few beside it gets more of them, so that node and client both find work: with one
	// node, 64 callers and two processors four trips make one lock in twenty more than two.
	maxTrips  = 2
	loneTrips = 4 // divided by the number of nodes, if that is more
	// vouched is for how long after its last answer a sender may have to wait for a node. See lends.
	vouched = time.Second
	// maxBatch is how many requests share a round trip at most.
	maxBatch = 256
	// maxQueue is how many requests may wait for one node. Beyond it the node counts as unavailable.
	maxQueue = 32768
)

var (
	errBacklog = errors.New("too many requests wait for the node")
	errQueued  = errors.New("the node did not answer earlier requests in time")
	errAwaited = errors.New("the request that took the lock there is not answered yet")
	errUnheard = errors.New("no answer before the context ended")
)

// A recipient gets the answers to the requests it sent.
type recipient interface {
	// wanted reports whether r is still worth sending. It may be called with the request queued, never while it is under way.
	wanted(r *pool.Request) bool
	// answered is called exactly once for each request sent, with no lock held: from a goroutine of the line's, or the sender's (see lends).
	answered(node int, r *pool.Request, reply pool.Reply)
}

// A call is a request on its way to one node.
type call struct {
	to      recipient
	request *pool.Request
	until   time.Time     // when it counts as unanswered
	within  time.Duration // the node timeout, which until comes from
	waits   bool          // the sender would only wait for the answer: see lends
}

// A line carries requests to one node and hands out the answers. What one node does, or fails to do, on its line is never
// felt on another's.
type line struct {
	locker *Locker
	node   pool.Node
	index  int
	most   int  // trips that may be under way
	lone   bool // there is no other line

	// twin is true while the node is known to be a server that another line leads to already: it has no vote.
	twin atomic.Bool

	mu      sync.Mutex
	trips   int           // under way
	idle    int           // goroutines that wait for a trip to make
	next    chan struct{} // wakes one of them
	retired bool          // the Locker is closed: nobody waits any more
	sick    bool          // the last trip brought no answer: one request at a time goes out, as a probe
	queue   []call        // wait for a trip
	heard   time.Time     // when the last answer came
	asked   time.Time     // since when nothing has been heard though requests were sent; zero: nothing is awaited
	rtt     roundTrip     // how long the node takes to answer

	// connecting is since when requests have found no connection but one in the making; zero: they find one, or the node has been
	// silent in another way.
	connecting time.Time

	own    trip   // lent to a sender, who makes one round trip
	server string // run id of the server, once known

	debts  ledger
	health health
}

func newLine(l *Locker, n pool.Node, index, nodes int) *line {
	most := max(maxTrips, loneTrips/nodes)
	ln := &line{locker: l, node: n, index: index, most: most, next: make(chan struct{}, most)}
	ln.lone = nodes == 1
	ln.own = trip{line: ln, ctx: ioContext{Context: context.Background()}}
	return ln
}

// send takes the call on its way and does not block. The recipient is never called before send returns. Where it returns a
// trip the sender must run that, with no lock held: nobody else carries the call.
func (ln *line) send(c call) *trip {
	ln.locker.work.begin()
	ln.mu.Lock()
	defer ln.mu.Unlock()
	switch {
	case takes(c.request.Verb) && ln.debts.full(), len(ln.queue) >= maxQueue:
		ln.locker.spawn(func() error {
			ln.reject(c, errBacklog)
			return nil
		})
	case ln.lends(c):
		ln.trips++
		ln.asks()
		ln.own.calls = append(ln.own.calls, c)
		return &ln.own
	default:
		ln.queue = append(ln.queue, c)
		if ln.trips < ln.limit() {
			ln.depart()
		}
	}
	return nil
}

// lends reports whether the sender may make the trip itself: to wake a goroutine for it, and to be woken by that in the end, can take
// longer than the node does. But who waits for the network hears no cancellation. So this is for a lone node, for which the sender has to
// wait anyway, that has nothing else under way and has answered a moment ago: the sender is back when the call counts as unanswered, and within
// vouched of that answer. With mu held.
func (ln *line) lends(c call) bool {
	return ln.lone && c.waits && ln.trips == 0 && !ln.sick && !ln.retired && c.until.Sub(ln.heard) < vouched && isPrompt(ln.node)
}

// isPrompt reports whether the node keeps to deadlines, whatever it has to do for a request.
func isPrompt(n pool.Node) bool {
	p, ok := n.(interface{ Prompt() bool })
	return !ok || p.Prompt()
}

// depart has one more trip made. With mu held.
func (ln *line) depart() {
	ln.trips++
	if ln.idle > 0 {
		ln.idle--
		ln.next <- struct{}{} // it has room for all who are idle
		return
	}
	t := &trip{line: ln, ctx: ioContext{Context: context.Background()}}
	ln.locker.spawn(t.travel)
}

// limit is how many trips may be under way. With mu held.
func (ln *line) limit() int {
	if ln.sick {
		return 1
	}
	return ln.most
}

// reject answers a call that was never sent.
func (ln *line) reject(c call, why error) {
	defer ln.locker.work.end()
	c.to.answered(ln.index, c.request, pool.Reply{Verdict: pool.Unavailable, Unsent: true, Err: why})
}

// takes reports whether the verb may put the lock key in place.
func takes(v pool.Verb) bool { return v == pool.Acquire || v == pool.Rejoin }

// retire sends the goroutines of the line home. Requests are carried after that all the same.
func (ln *line) retire() {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.retired, ln.idle = true, 0
	close(ln.next)
}

// load gives the trip its next calls, or ends it and returns false.
func (ln *line) load(t *trip, heard hearing) bool {
	if heard == answers {
		ln.debts.settle(&ln.debts.silent)
	}
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.learn(t, heard)
	size := maxBatch
	if ln.sick {
		size = 1
	}
	size = min(size, len(ln.queue))
	if size == 0 || ln.trips > ln.limit() {
		ln.trips--
		if !ln.retired {
			ln.idle++
		}
		return false
	}
	ln.asks()
	t.calls = append(t.calls[:0], ln.queue[:size]...)
	left := copy(ln.queue, ln.queue[size:])
	clear(ln.queue[left:])
	ln.queue = ln.queue[:left]
	return true
}

// asks notes that a request is about to be sent. With mu held.
func (ln *line) asks() {
	if ln.asked.IsZero() {
		ln.asked = clock.IO()
	}
}

// learn notes what the trip showed, which is still counted. With mu held.
func (ln *line) learn(t *trip, heard hearing) {
	switch heard {
	case answers:
		ln.sick, ln.heard, ln.asked, ln.connecting = false, t.back, time.Time{}, time.Time{}
		if ln.trips > 1 {
			ln.asked = t.back
		}
		ln.rtt.measured(t.took)
	case silence:
		ln.sick = true
		ln.rtt.risen(ln.node)
	case noConnection:
		if !ln.sick {
			ln.connecting = ln.asked
		}
		ln.sick = true
	case unreached:
		ln.sick, ln.asked, ln.connecting = true, time.Time{}, time.Time{}
	case nothingSent:
		if ln.trips == 1 && !ln.sick {
			ln.asked = time.Time{}
		}
	}
}

// identify notes which server answered on this line.
func (ln *line) identify(server string) {
	ln.mu.Lock()
	known := ln.server == server || server == ""
	if !known {
		ln.server = server
	}
	ln.mu.Unlock()
	if !known {
		ln.locker.servers.found(ln.locker.lines, ln.index, server)
	}
}

func (ln *line) observe(v pool.Verb, reply *pool.Reply, took time.Duration) {
	if len(ln.locker.observers) > 0 {
		ln.locker.observe(context.Background(), NodeEvent{Node: ln.node.Addr(), Verb: v, Verdict: reply.Verdict, Latency: took, Err: reply.Err})
	}
}

var (
	errTwin = errors.New("it is the same server as another node and has no vote of its own")
	noVote  = pool.Reply{Verdict: pool.Refused, Err: errTwin} // what counts of the answer of a node without a vote

	errElsewhere = errors.New("its address led to another server than the one that granted the lock")
	elsewhere    = pool.Reply{Verdict: pool.Unavailable, Err: errElsewhere} // what counts of that server's answer
)

// nodeError tells of an answer that was not yes.
func (ln *line) nodeError(r *pool.Reply) NodeError {
	e := NodeError{Node: ln.node.Addr(), Verdict: r.Verdict, Holder: r.Holder, Err: r.Err}
	switch r.Verdict {
	case pool.Held, pool.Quarantined:
		e.Remain = max(r.TTL, 0)
	case pool.OK:
		e.Verdict, e.Err = noVote.Verdict, noVote.Err
	default: // there is no more to say
	}
	return e
}

// servers knows which server each line leads to, so that a server behind two addresses has one vote.
type servers struct {
	mu    sync.Mutex
	of    []string       // run id of the server, by line; empty while unknown
	voter map[string]int // the line that votes for the server: the one that was seen first
}

// found notes that lines[i] leads to server now.
func (s *servers) found(lines []*line, i int, server string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of[i] = server
	for id, v := range s.voter {
		if s.of[v] != id {
			delete(s.voter, id)
		}
	}
	for j, id := range s.of {
		if _, taken := s.voter[id]; id != "" && !taken {
			s.voter[id] = j
		}
	}
	for j, id := range s.of {
		twin := id != "" && s.voter[id] != j
		if twin && !lines[j].twin.Swap(twin) {
			lines[j].locker.journal.note(slog.LevelWarn, "redlock: two nodes are one server; the second has no vote",
				"node", lines[j].node.Addr(), "same", lines[s.voter[id]].node.Addr())
		}
		lines[j].twin.Store(twin)
	}
}
