// Package notify is where the nodes tell this process that a lock it waits for has been passed on
// to it. What they tell are hints. They make a waiter try at the right moment; they grant nothing,
// and a waiter tries from time to time without them.
package notify

import (
	"context"
	cryptorand "crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/dispatch"
	"github.com/go-redlock/redlock/internal/quorum"
	"github.com/go-redlock/redlock/internal/wire"
)

const (
	// channelPrefix begins the channels on which processes are told that a lock has been passed on
	// to them.
	channelPrefix = "redlock:inbox:"

	// idleUnsubscribe is how long the subscriptions last after the last of the entries.
	idleUnsubscribe = 5 * time.Second
	// minResubscribe and maxResubscribe bound the pause before a node is subscribed to again where
	// that failed.
	minResubscribe, maxResubscribe = 50 * time.Millisecond, 5 * time.Second

	// reservationDivisor and minReservation: a release reserves the lock for the first waiter for a
	// part of the node timeout.
	reservationDivisor = 16
	minReservation     = 5 * time.Millisecond
)

// Hooks are what a Notifier asks those above. They are called with no lock of its own held, and
// must be safe for concurrent use.
type Hooks struct {
	// Timeout is how long a node may take for a request.
	Timeout func() time.Duration
	// Unused returns the keys of the lock with that lock key if this process has nothing to do with
	// it.
	Unused func(lock string) (wire.KeySet, bool)
	// Occupied asks one node whether somebody has the lock there.
	Occupied func(ctx context.Context, node int, keys wire.KeySet) bool
}

// A Notifier listens to the nodes: over one subscription on each, which last while anybody waits.
// All methods may be called concurrently.
type Notifier struct {
	dispatcher *dispatch.Dispatcher
	needed     int // nodes for a majority
	clock      clock.Clock
	logger     *slog.Logger
	hooks      Hooks
	channel    string
	subscribed atomic.Bool // there are subscriptions
	closed     chan struct{}

	mu      sync.Mutex
	entries map[string]*Entry  // by lock key
	live    quorum.Set         // nodes with a confirmed subscription
	changed chan struct{}      // closed, and made anew, when live has changed
	stop    context.CancelFunc // ends the subscriptions; nil: there are none
	// how often the subscriptions were ended: what the nodes say of earlier ones does not count
	round      int
	idle       clock.Timer              // ends them once nobody has waited for a while
	complained bool                     // the log knows that subscriptions cannot be had
	leaving    map[string]int           // by lock key: requests to leave that are under way
	contended  map[string]time.Duration // by lock key: see Contended
}

// New returns a Notifier without subscriptions, for the dispatcher's nodes, of which needed are a
// majority.
func New(d *dispatch.Dispatcher, needed int, c clock.Clock, logger *slog.Logger, h Hooks) *Notifier {
	var random [8]byte
	cryptorand.Read(random[:]) //nolint:gosec // never fails
	return &Notifier{
		dispatcher: d, needed: needed, clock: c, logger: logger, hooks: h,
		channel:   channelPrefix + hex.EncodeToString(random[:]),
		closed:    make(chan struct{}),
		entries:   make(map[string]*Entry),
		live:      quorum.NewSet(len(d.Lines()), needed),
		changed:   make(chan struct{}),
		leaving:   make(map[string]int),
		contended: make(map[string]time.Duration),
	}
}

// Channel returns the channel on which the nodes tell this process.
func (n *Notifier) Channel() string { return n.channel }

// Subscribed reports whether there are subscriptions, or soon will be. Without, no node has this
// process in its queue, or a lock reserved for it.
func (n *Notifier) Subscribed() bool { return n.subscribed.Load() }

// Subscribe sees to it that a majority of the nodes has a subscription, and waits for that up to
// the timeout. It returns false if there is none.
func (n *Notifier) Subscribe(ctx context.Context, timeout time.Duration) bool {
	n.mu.Lock()
	select {
	case <-n.closed:
		n.mu.Unlock()
		return false
	default:
	}
	if n.stop == nil {
		n.startListening()
	}
	failed := n.complained // it was waited for once, in vain
	n.mu.Unlock()
	if failed {
		live, _ := n.state()
		return live
	}

	over, timer := clock.After(n.clock, timeout)
	defer timer.Stop()
	for {
		live, changed := n.state()
		if live {
			return true
		}
		select {
		case <-changed:
		case <-over:
			n.complain()
			return false
		case <-ctx.Done():
			return false
		case <-n.closed:
			return false
		}
	}
}

// startListening subscribes to the nodes. With mu held.
func (n *Notifier) startListening() {
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	n.subscribed.Store(true)
	round := n.round
	for i := range n.dispatcher.Lines() {
		n.dispatcher.Go(func() { n.listen(ctx, round, i) })
	}
}

// unsubscribe ends the subscriptions. With mu held.
func (n *Notifier) unsubscribe() {
	if n.stop == nil {
		return
	}
	n.stop()
	n.stop = nil
	n.subscribed.Store(false)
	n.round++
	n.live.Clear()
	clear(n.contended)
}

// unsubscribeIfIdle ends the subscriptions if nobody waits.
func (n *Notifier) unsubscribeIfIdle() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.entries) == 0 {
		n.unsubscribe()
	}
}

// Close ends the subscriptions, and wakes those that wait. It is called once.
func (n *Notifier) Close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.closed)
	n.unsubscribe()
	if n.idle != nil {
		n.idle.Stop()
	}
}

// state reports whether a majority of the nodes can tell us, and returns what is closed when that
// may have changed.
func (n *Notifier) state() (live bool, changed <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.live.Majority(), n.changed
}

// complain tells the log, once, that waiters have to ask again and again.
func (n *Notifier) complain() {
	n.mu.Lock()
	first := !n.complained
	n.complained = true
	n.mu.Unlock()
	if first {
		n.logger.Warn("redlock: too few nodes take subscriptions; waiters poll instead")
	}
}

// listen keeps the subscription on one node until ctx ends.
func (n *Notifier) listen(ctx context.Context, round, i int) {
	node := n.dispatcher.Lines()[i].Node()
	pause := minResubscribe
	for {
		err := node.Listen(ctx, n.channel,
			func() { n.confirm(round, i, true); pause = minResubscribe },
			func(notice wire.Notice) { n.notice(i, notice) })
		n.confirm(round, i, false)
		if ctx.Err() != nil || errors.Is(err, wire.ErrNoListen) {
			return
		}
		n.logger.Debug("redlock: no subscription", "node", node.Addr(), "error", err)
		if !n.sleep(ctx, pause) {
			return
		}
		pause = min(2*pause, maxResubscribe)
	}
}

// sleep waits for d. It returns false if ctx ended first.
func (n *Notifier) sleep(ctx context.Context, d time.Duration) bool {
	over, timer := clock.After(n.clock, d)
	defer timer.Stop()
	select {
	case <-over:
		return true
	case <-ctx.Done():
		return false
	}
}

// confirm notes whether the node can tell us.
func (n *Notifier) confirm(round, node int, live bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if round != n.round {
		return
	}
	if live && n.live.Add(node) || !live && n.live.Remove(node) {
		close(n.changed)
		n.changed = make(chan struct{})
	}
}

// notice takes what a node tells to the entry it is for.
func (n *Notifier) notice(node int, notice wire.Notice) {
	if n.heard(node, notice) || notice.Next != 0 {
		return
	}
	keys, unused := n.hooks.Unused(notice.Lock)
	if !unused {
		return
	}
	// A reservation that nobody wants any more: the next in line need not wait until it ends.
	timeout := n.hooks.Timeout()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.leave(keys, n.dispatcher.Lines()[node:node+1], timeout)
}

// heard gives the notice to the entry it is for. It returns false if there is none.
func (n *Notifier) heard(node int, notice wire.Notice) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.entries[notice.Lock]
	if e != nil {
		e.heard(node, notice.Next)
	}
	return e != nil
}

// Freed has the entry for the lock try: a majority of the nodes has just given the lock up for this
// process.
func (n *Notifier) Freed(lock string) {
	if !n.Subscribed() {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if e := n.entries[lock]; e != nil {
		e.wakeAfter(0, tryAtOnce)
	}
}

// leave has nodes forget our place in their queues for the lock. With mu held.
func (n *Notifier) leave(keys wire.KeySet, lines []*dispatch.Line, timeout time.Duration) {
	r := &wire.Request{Verb: wire.Leave, Lock: keys.Lock, Queue: keys.Queue, Inbox: n.channel, Reserve: Reservation(timeout)}
	until := clock.IO().Add(timeout)
	n.leaving[keys.Lock] += len(lines)
	for _, ln := range lines {
		ln.Send(dispatch.Call{To: (*departures)(n), Request: r, Until: until, Within: timeout})
	}
}

// departures are a Notifier as the receiver of the answers to its requests to leave.
type departures Notifier

// Wanted implements dispatch.Receiver.
func (d *departures) Wanted(*wire.Request) bool { return true }

// Answered implements dispatch.Receiver: a node has forgotten our place, or will when that expires.
func (d *departures) Answered(_ int, r *wire.Request, _ wire.Reply) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.leaving[r.Lock]--; d.leaving[r.Lock] == 0 {
		delete(d.leaving, r.Lock)
	}
}

// Reservation is for how long a release reserves the lock for the first waiter, where a node may
// take timeout for a request.
func Reservation(timeout time.Duration) time.Duration {
	return max(timeout/reservationDivisor, minReservation).Truncate(time.Millisecond)
}
