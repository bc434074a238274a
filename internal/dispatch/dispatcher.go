// Package dispatch carries requests to the nodes and hands out the answers. It knows which server
// answers on each line and how long that takes, and knows nothing about locks.
//
// It reports upward through a Receiver or through Hooks, with no lock held.
package dispatch

import (
	"time"

	"github.com/go-redlock/redlock/internal/wire"
)

// A Receiver gets the answers to the requests it sent.
type Receiver interface {
	// Wanted reports whether r is still worth sending. It may be called with the request queued,
	// never while it is under way.
	Wanted(r *wire.Request) bool
	// Answered is called exactly once for each request sent, with no lock held: from a goroutine of
	// the line's, or the sender's (see Inline).
	Answered(node int, r *wire.Request, reply wire.Reply)
}

// A Call is a request on its way to one node.
type Call struct {
	To      Receiver
	Request *wire.Request
	Until   time.Time     // when the call counts as unanswered
	Within  time.Duration // the node timeout, from which Until was computed
	Waits   bool          // the sender has nothing to do but wait for the answer: see Inline
	// Patient: the call is sent with another, or once Depart is called; and then the node may take
	// all of Within, however long the call has waited.
	Patient bool
}

// Hooks are the functions through which a Dispatcher reports on the nodes, or asks about them, by
// their index. They are called with no lock of the Dispatcher's held, and must be safe for
// concurrent use. Full is called by senders, which may hold locks of their own: it must take none.
type Hooks struct {
	// Full reports whether the node must not get new locks.
	Full func(node int) bool
	// Alive is called when a round trip has brought answers.
	Alive func(node int)
	// Heard is called for each reply, before its receiver is: with what was asked, the duration of
	// the round trip, and when it was over.
	Heard func(node int, v wire.Verb, r *wire.Reply, took time.Duration, back time.Time)
	// Duplicate is called when the node turns out to be the same server as another.
	Duplicate func(node, of int)
}

// A Dispatcher carries requests to nodes. All methods may be called concurrently.
type Dispatcher struct {
	Group
	hooks   Hooks
	lines   []*Line
	servers servers
}

// New returns a Dispatcher for the nodes.
func New(nodes []wire.Node, h Hooks) *Dispatcher {
	d := &Dispatcher{hooks: h}
	d.idle = make(chan struct{}, 1)
	d.servers = servers{of: make([]string, len(nodes)), voter: make(map[string]int)}
	for i, n := range nodes {
		d.lines = append(d.lines, newLine(d, n, i, len(nodes)))
	}
	return d
}

// Lines returns the lines to the nodes, in their order. The caller must not change the slice.
func (d *Dispatcher) Lines() []*Line { return d.lines }

// Together calls f, which sends several calls and does not wait for their answers: they leave in
// one round trip to each node, or in as few as can be.
func (d *Dispatcher) Together(f func()) {
	for _, ln := range d.lines {
		ln.gather()
	}
	defer func() { // also where f panics
		for _, ln := range d.lines {
			ln.gathered()
		}
	}()
	f()
}

// Depart sends the calls that wait for others to go with.
func (d *Dispatcher) Depart() {
	for _, ln := range d.lines {
		ln.depart()
	}
}

// Retire ends the goroutines that wait for requests. Requests are carried also after that.
func (d *Dispatcher) Retire() {
	for _, ln := range d.lines {
		ln.retire()
	}
}

// Takes reports whether the verb may put the lock key in place.
func Takes(v wire.Verb) bool { return v == wire.Acquire || v == wire.Rejoin }
