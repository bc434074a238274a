package redlock

import (
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/pool"
)

// A trip is a goroutine's round trips to a node, one after the other for as long as requests wait. It then stays for the next
// request, for it costs less to wake a goroutine than to start one. A trip that is lent makes one round trip at a time, in the sender's goroutine.
type trip struct {
	line  *line
	calls []call
	wire  []pool.Call
	used  int       // of them, since the trip was idle
	ctx   ioContext // of the round trip under way
	back  time.Time // when the latest was over
	took  time.Duration
}

func (t *trip) travel() error {
	for heard := nothingSent; ; {
		if len(t.calls) > 1 {
			runtime.Gosched() // under load: let those who are about to send join
		}
		if t.line.load(t, heard) {
			heard = t.carry()
			continue
		}
		t.forget()
		if _, ok := <-t.line.next; !ok {
			return nil
		}
		heard = nothingSent
	}
}

// run makes the round trip of a trip that was lent to its sender, and gives it back.
func (t *trip) run() {
	ln, heard := t.line, nothingSent
	t.ctx.start(t.calls[0].until)
	defer func() { // also where an Observer panics
		t.ctx.stop()
		t.forget()
		ln.mu.Lock()
		defer ln.mu.Unlock()
		ln.learn(t, heard)
		ln.trips--
		if len(ln.queue) > 0 && ln.trips < ln.limit() {
			ln.depart()
		}
	}()
	if heard = t.carry(); heard == answers {
		ln.debts.settle(&ln.debts.silent)
	}
}

// hearing is what a trip showed of its node.
type hearing int

const (
	nothingSent  hearing = iota
	unreached            // refused, or the like
	noConnection         // but one in the making
	silence
	answers
)

// hears is what a reply shows.
func hears(r *pool.Reply) hearing {
	switch {
	case r.Verdict != pool.Unavailable:
		return answers
	case !r.Unsent:
		return silence
	case errors.Is(r.Err, pool.ErrConnecting):
		return noConnection
	}
	return unreached
}

// carry makes one round trip with those of its calls that are still wanted, and hands out the answers.
func (t *trip) carry() hearing {
	ln, now := t.line, clock.IO()
	var until time.Time
	kept := t.calls[:0]
	t.wire = t.wire[:0]
	for _, c := range t.calls {
		switch {
		case !c.to.wanted(c.request) || !now.Before(c.until):
			ln.reject(c, errQueued)
		default:
			kept = append(kept, c)
			t.address(c.request)
			if c.until.After(until) {
				until = c.until
			}
		}
	}
	if len(kept) == 0 {
		return nothingSent
	}
	t.ctx.until = until
	t.used = max(t.used, len(t.wire))
	ln.node.Do(&t.ctx, t.wire)
	t.back = clock.IO()
	t.took = t.back.Sub(now)

	heard := nothingSent
	for i := range t.wire {
		r := &t.wire[i].Reply
		heard = max(heard, hears(r))
		ln.identify(r.Server)
	}
	for i, c := range kept {
		ln.deliver(c, &t.wire[i].Reply, t.took, t.back)
	}
	return heard
}

// deliver hands out an answer. Where an Observer panics, which may be in a caller's goroutine, its recipient gets it all the same.
func (ln *line) deliver(c call, reply *pool.Reply, took time.Duration, back time.Time) {
	defer ln.locker.work.end()
	defer func() { c.to.answered(ln.index, c.request, *reply) }()
	if reply.Verdict == pool.Unavailable && !reply.Unsent && !back.Before(c.until) && timedOut(reply.Err) {
		reply.Err = silent(c.within).Err
	}
	ln.watch(c.request.Verb, reply, back)
	ln.observe(c.request.Verb, reply, took)
}

// address adds a request to those of the round trip.
func (t *trip) address(r *pool.Request) {
	n := len(t.wire)
	t.wire = slices.Grow(t.wire, 1)[:n+1]
	t.wire[n].Request, t.wire[n].Reply = r, pool.Reply{} // all else is the node's own, and large
}

// forget drops what earlier round trips have left: it would keep their claims from the collector for as long as the trip is idle.
func (t *trip) forget() {
	clear(t.wire[:t.used])
	clear(t.calls[:cap(t.calls)])
	t.used, t.calls = 0, t.calls[:0]
}

// An ioContext is the context of one round trip after the other. All that looks at it in most of them is the network, which keeps to the deadline: so it
// needs no timer.
type ioContext struct {
	context.Context //nolint:containedctx // it is one
	until           time.Time
	done            chan struct{} // closed at that time, where the context is to end then
	timer           clock.Timer   // which does it
}

// Deadline implements context.Context.
func (c *ioContext) Deadline() (time.Time, bool) { return c.until, true }

// Done implements context.Context.
func (c *ioContext) Done() <-chan struct{} { return c.done }

// Err implements context.Context, with the network's error: a caller's context has not ended.
func (c *ioContext) Err() error {
	select {
	case <-c.done:
		return os.ErrDeadlineExceeded
	default:
		return nil
	}
}

// start has the context end at its deadline, until stop: go-redis waits that long for a connection, however long one takes to be made. Timer and
// channel of a context that has not ended are used again.
func (c *ioContext) start(until time.Time) {
	left := until.Sub(clock.IO())
	if c.timer != nil {
		c.timer.Reset(left)
		return
	}
	done := make(chan struct{})
	c.done, c.timer = done, clock.System{}.AfterFunc(left, func() { close(done) })
}

func (c *ioContext) stop() {
	if !c.timer.Stop() { // it ends, now or in a moment
		c.timer = nil
	}
}
