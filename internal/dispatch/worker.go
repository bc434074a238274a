package dispatch

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/wire"
)

// A worker makes round trips to a node, one after the other as long as requests wait. Then its
// goroutine waits for the next request, because waking a goroutine costs less than starting one.
type worker struct {
	line  *Line
	calls []Call
	wire  []wire.Call
	used  int       // elements of wire that were used since the worker was idle
	ctx   ioContext // of the round trip under way
	back  time.Time // when the latest round trip was over
	took  time.Duration
}

func (w *worker) loop() {
	for seen := none; ; {
		if len(w.calls) > 1 {
			runtime.Gosched() // under load: let goroutines that are about to send join
		}
		if w.line.nextBatch(w, seen) {
			seen = w.roundTrip()
			continue
		}
		w.forget()
		if _, ok := <-w.line.next; !ok {
			return
		}
		seen = none
	}
}

// An Inline is a round trip that the sender's goroutine makes.
type Inline struct{ worker }

// Run makes the round trip, and calls the receiver.
func (w *Inline) Run() {
	ln, seen := w.line, none
	w.ctx.start(w.calls[0].Until)
	defer func() { // also where a hook panics
		w.ctx.stop()
		w.forget()
		ln.mu.Lock()
		defer ln.mu.Unlock()
		ln.learn(&w.worker, seen)
		ln.trips--
		if len(ln.queue) > 0 && ln.trips < ln.limit() {
			ln.startWorker()
		}
	}()
	if seen = w.roundTrip(); seen == alive {
		ln.dispatcher.hooks.Alive(ln.index)
	}
}

// contact is what a round trip showed of its node.
type contact int

const (
	none        contact = iota // nothing was sent
	unreached                  // the connection was refused, or the like
	unconnected                // the connection was still being made
	silent                     // no answer
	alive                      // an answer
)

// contactOf is what a reply shows.
func contactOf(r *wire.Reply) contact {
	switch {
	case r.Verdict != wire.Unavailable:
		return alive
	case !r.Unsent:
		return silent
	case errors.Is(r.Err, wire.ErrConnecting):
		return unconnected
	}
	return unreached
}

// roundTrip makes one round trip with the worker's calls that are still wanted, and hands out the
// answers.
func (w *worker) roundTrip() contact {
	ln, now := w.line, clock.IO()
	var until time.Time
	kept := w.calls[:0]
	w.wire = w.wire[:0]
	for _, c := range w.calls {
		switch {
		case !c.To.Wanted(c.Request) || !now.Before(c.Until):
			ln.reject(c, errQueued)
		default:
			kept = append(kept, c)
			w.add(c.Request)
			if end := c.end(now); end.After(until) {
				until = end
			}
		}
	}
	if len(kept) == 0 {
		return none
	}
	w.ctx.until = until
	w.used = max(w.used, len(w.wire))
	ln.node.Do(&w.ctx, w.wire)
	w.back = clock.IO()
	w.took = w.back.Sub(now)

	seen, server := none, ""
	for i := range w.wire {
		r := &w.wire[i].Reply
		seen = max(seen, contactOf(r))
		if r.Server != server { // usually one server has answered all
			server = r.Server
			ln.identify(server)
		}
	}
	for i, c := range kept {
		ln.deliver(c, &w.wire[i].Reply, w.took, w.back)
	}
	return seen
}

// end is when the call counts as unanswered if it is sent now.
func (c *Call) end(now time.Time) time.Time {
	if c.Patient {
		return now.Add(c.Within)
	}
	return c.Until
}

// deliver hands out an answer. The receiver gets it even if a hook panics, which may happen in a
// caller's goroutine.
func (ln *Line) deliver(c Call, reply *wire.Reply, took time.Duration, back time.Time) {
	defer ln.dispatcher.End()
	defer func() { c.To.Answered(ln.index, c.Request, *reply) }()
	if reply.Verdict == wire.Unavailable && !reply.Unsent && !back.Before(c.end(back.Add(-took))) && timedOut(reply.Err) {
		reply.Err = Silent(c.Within).Err
	}
	ln.dispatcher.hooks.Heard(ln.index, c.Request.Verb, reply, took, back)
}

// add adds a request to those of the round trip.
func (w *worker) add(r *wire.Request) {
	n := len(w.wire)
	w.wire = slices.Grow(w.wire, 1)[:n+1]
	w.wire[n].Request, w.wire[n].Reply = r, wire.Reply{}
}

// forget clears what earlier round trips have left: otherwise an idle worker would keep their
// receivers from the garbage collector.
func (w *worker) forget() {
	clear(w.wire[:w.used])
	clear(w.calls[:cap(w.calls)])
	w.used, w.calls = 0, w.calls[:0]
}

// Silent is the reply of a node that did not answer within the node timeout.
func Silent(timeout time.Duration) wire.Reply {
	why := fmt.Errorf("no answer within %v (WithNodeTimeout)", timeout)
	return wire.Reply{Verdict: wire.Unavailable, Err: noAnswerError{why}}
}

// A noAnswerError is the cause where a node did not answer in time.
type noAnswerError struct{ error }

// Unwrap returns the error that package net uses for that.
func (noAnswerError) Unwrap() error { return os.ErrDeadlineExceeded }

// timedOut reports whether the network gave up because the time was over. An error from the server
// is no timeout.
func timedOut(err error) bool {
	var e interface{ Timeout() bool }
	return errors.As(err, &e) && e.Timeout()
}
