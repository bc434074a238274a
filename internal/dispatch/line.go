package dispatch

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/wire"
)

const (
	// maxTrips is how many round trips to one node may be under way at once. A request that finds
	// fewer goes out alone and at once; otherwise it joins those that wait for the next trip. So
	// batches grow with the load, and a lone caller never waits for one. With few nodes, each gets
	// more round trips at once, so that node and client both stay busy: with one node, 64 callers
	// and two processors, four trips give 5% more locks than two.
	maxTrips  = 2
	loneTrips = 4 // divided by the number of nodes, if that is more
	// inlineWindow bounds the time from a node's last answer to the end of an inline round trip.
	// See canInline.
	inlineWindow = time.Second
	// maxBatch is the greatest number of requests in a round trip.
	maxBatch = 256
	// maxQueue is how many requests may wait for one node. At this number the node counts as
	// unavailable.
	maxQueue = 32768
)

var (
	errBacklog = errors.New("too many requests wait for the node")
	errQueued  = errors.New("the node did not answer earlier requests in time")
)

// A Line carries requests to one node and hands out the answers. What happens on one node's line
// never affects another's.
type Line struct {
	dispatcher *Dispatcher
	node       wire.Node
	index      int
	most       int  // round trips that may be under way
	lone       bool // there is no other line

	duplicate atomic.Bool

	mu      sync.Mutex
	trips   int           // under way
	idle    int           // workers that wait for a round trip to make
	next    chan struct{} // wakes one of them
	gathers int           // calls of Together under way: no round trip begins
	retired bool          // no worker waits any more
	// the last trip brought no answer: one request at a time is sent, as a probe
	probing bool
	queue   []Call    // wait for a trip
	patient int       // how many of these are
	heard   time.Time // when the last answer came
	// since when requests have had no answer; zero: no answer is outstanding
	asked time.Time
	rtt   roundTrip // how long the node takes to answer

	// connecting is since when requests have found only connections that were still being made;
	// zero: they find a connection, or the node fails in another way.
	connecting time.Time

	inline Inline // used by one sender at a time
	server string // run id of the server, once known
}

func newLine(d *Dispatcher, n wire.Node, index, nodes int) *Line {
	most := max(maxTrips, loneTrips/nodes)
	ln := &Line{dispatcher: d, node: n, index: index, most: most, next: make(chan struct{}, most)}
	ln.lone = nodes == 1
	ln.inline.line, ln.inline.ctx.Context = ln, context.Background()
	return ln
}

// Node returns the node that the line leads to.
func (ln *Line) Node() wire.Node { return ln.node }

// Duplicate reports whether the node is known to be a server to which another line leads already:
// then it has no vote.
func (ln *Line) Duplicate() bool { return ln.duplicate.Load() }

// Send sends the call and does not block. It never calls the receiver itself, so the sender may
// hold a lock that the receiver takes; another goroutine may call it before Send returns. If Send
// returns an Inline, the sender must run it, with no lock held: nothing else carries the call.
func (ln *Line) Send(c Call) *Inline {
	ln.dispatcher.Begin()
	full := Takes(c.Request.Verb) && ln.dispatcher.hooks.Full(ln.index)
	ln.mu.Lock()
	defer ln.mu.Unlock()
	switch {
	case full, len(ln.queue) >= maxQueue:
		ln.dispatcher.Go(func() { ln.reject(c, errBacklog) })
	case ln.canInline(c):
		ln.trips++
		ln.asks()
		ln.inline.calls = append(ln.inline.calls, c)
		return &ln.inline
	default:
		ln.queue = append(ln.queue, c)
		if c.Patient {
			ln.patient++
		}
		if ln.gathers == 0 && !c.Patient && ln.trips < ln.limit() {
			ln.startWorker()
		}
	}
	return nil
}

// gather has the calls to come wait for one another.
func (ln *Line) gather() {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.gathers++
}

// gathered ends gather.
func (ln *Line) gathered() {
	ln.mu.Lock()
	ln.gathers--
	ln.mu.Unlock()
	ln.depart()
}

// depart sends the calls that wait, unless others are still being gathered.
func (ln *Line) depart() {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	if ln.gathers == 0 && len(ln.queue) > 0 && ln.trips < ln.limit() {
		ln.startWorker()
	}
}

// canInline reports whether the sender may make the round trip itself: waking a goroutine for it,
// and being woken by that afterwards, can take longer than the node's work. But a sender that waits
// for the network does not notice a cancellation. So the node must be the only one, which the
// sender waits for anyway; it must have nothing else under way, and must have answered a moment
// ago. Then the sender is back when the call counts as unanswered, and within inlineWindow of that
// answer. With mu held.
func (ln *Line) canInline(c Call) bool {
	return ln.lone && c.Waits && ln.trips == 0 && ln.gathers == 0 && !ln.probing && !ln.retired &&
		c.Until.Sub(ln.heard) < inlineWindow && isPrompt(ln.node)
}

// isPrompt reports whether the node always keeps deadlines, whatever a request needs.
func isPrompt(n wire.Node) bool {
	p, ok := n.(interface{ Prompt() bool })
	return !ok || p.Prompt()
}

// startWorker begins one more round trip. With mu held.
func (ln *Line) startWorker() {
	ln.trips++
	if ln.idle > 0 {
		ln.idle--
		ln.next <- struct{}{} // its buffer holds a value for each idle worker
		return
	}
	w := &worker{line: ln, ctx: ioContext{Context: context.Background()}}
	ln.dispatcher.Go(w.loop)
}

// limit is how many round trips may be under way. With mu held.
func (ln *Line) limit() int {
	if ln.probing {
		return 1
	}
	return ln.most
}

// reject answers a call that was never sent.
func (ln *Line) reject(c Call, why error) {
	defer ln.dispatcher.End()
	c.To.Answered(ln.index, c.Request, wire.Reply{Verdict: wire.Unavailable, Unsent: true, Err: why})
}

// retire ends the line's idle workers. Requests are carried also after that.
func (ln *Line) retire() {
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.retired, ln.idle = true, 0
	close(ln.next)
}

// nextBatch gives a worker its next calls, or ends its round trips and returns false.
func (ln *Line) nextBatch(w *worker, seen contact) bool {
	if seen == alive {
		ln.dispatcher.hooks.Alive(ln.index)
	}
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.learn(w, seen)
	size := maxBatch
	if ln.probing {
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
	w.calls = append(w.calls[:0], ln.queue[:size]...)
	for i := 0; ln.patient > 0 && i < size; i++ {
		if w.calls[i].Patient {
			ln.patient--
		}
	}
	left := copy(ln.queue, ln.queue[size:])
	clear(ln.queue[left:])
	ln.queue = ln.queue[:left]
	return true
}

// asks notes that a request is about to be sent. With mu held.
func (ln *Line) asks() {
	if ln.asked.IsZero() {
		ln.asked = clock.IO()
	}
}

// learn notes what a round trip showed. trips still counts the round trip. With mu held.
func (ln *Line) learn(w *worker, seen contact) {
	switch seen {
	case alive:
		ln.probing, ln.heard, ln.asked, ln.connecting = false, w.back, time.Time{}, time.Time{}
		if ln.trips > 1 {
			ln.asked = w.back
		}
		ln.rtt.measured(w.took)
	case silent:
		ln.probing = true
		ln.rtt.risen(ln.node)
	case unconnected:
		if !ln.probing {
			ln.connecting = ln.asked
		}
		ln.probing = true
	case unreached:
		ln.probing, ln.asked, ln.connecting = true, time.Time{}, time.Time{}
	case none:
		if ln.trips == 1 && !ln.probing {
			ln.asked = time.Time{}
		}
	}
}

// identify notes which server answered on this line.
func (ln *Line) identify(server string) {
	ln.mu.Lock()
	known := ln.server == server || server == ""
	if !known {
		ln.server = server
	}
	ln.mu.Unlock()
	if !known {
		ln.dispatcher.identify(ln.index, server)
	}
}
