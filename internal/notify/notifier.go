// Package notify is where the nodes tell this process that a lock it waits for has been passed on
// to it. What they tell are hints. They make a waiter try at the right moment; they grant nothing,
// and a waiter tries from time to time without them.
package notify

import (
	"context"
	cryptorand "crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
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
	// it. It is not asked about slots of semaphores.
	Unused func(lock string) (wire.KeySet, bool)
	// Reserved is told that a node has reserved the lock with that lock key for this process, which
	// does not wait for it any more, and has it or wants it; or which has to do with the semaphore,
	// if it is a slot of one. It returns true if who has the lock already asks that node for it.
	Reserved func(lock string, node int) bool
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
	id         string      // of this process, for its channel
	subscribed atomic.Bool // there are subscriptions
	closed     chan struct{}

	mu      sync.Mutex
	entries map[string]*Entry  // by entryKey
	live    quorum.Set         // nodes with a confirmed subscription
	changed chan struct{}      // closed, and made anew, when live has changed
	channel string             // of the subscriptions
	stop    context.CancelFunc // ends the subscriptions; nil: there are none
	// how often the subscriptions were ended: what the nodes say of earlier ones does not count
	round      int
	idle       clock.Timer // ends them once nobody has waited for a while
	complained bool        // the log knows that subscriptions cannot be had
}

// New returns a Notifier without subscriptions, for the dispatcher's nodes, of which needed are a
// majority.
func New(d *dispatch.Dispatcher, needed int, c clock.Clock, logger *slog.Logger, h Hooks) *Notifier {
	var random [8]byte
	cryptorand.Read(random[:]) //nolint:gosec // never fails
	return &Notifier{
		dispatcher: d, needed: needed, clock: c, logger: logger, hooks: h,
		id:      hex.EncodeToString(random[:]),
		closed:  make(chan struct{}),
		entries: make(map[string]*Entry),
		live:    quorum.NewSet(len(d.Lines()), needed),
		changed: make(chan struct{}),
	}
}

// Channel returns the channel on which the nodes tell this process, or did last.
func (n *Notifier) Channel() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.channel
}

// Subscribed reports whether there are subscriptions, or soon will be. Without, no node has this
// process in its queue, or a lock reserved for it.
func (n *Notifier) Subscribed() bool { return n.subscribed.Load() }

// Subscribe sees to it that a majority of the nodes has a subscription, and waits for that up to
// the timeout. It returns false if there is none.
func (n *Notifier) Subscribe(ctx context.Context, timeout time.Duration) bool {
	suffix := n.suffix()
	n.mu.Lock()
	select {
	case <-n.closed:
		n.mu.Unlock()
		return false
	default:
	}
	if n.stop == nil {
		n.startListening(suffix)
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
func (n *Notifier) startListening(suffix string) {
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	n.channel = channelPrefix + n.id + suffix
	n.subscribed.Store(true)
	round, channel := n.round, n.channel
	for i := range n.dispatcher.Lines() {
		n.dispatcher.Go(func() { n.listen(ctx, round, i, channel) })
	}
}

// suffix is the end of the channel's name: for how long locks must be reserved for this process, if
// that is longer than any release reserves them.
func (n *Notifier) suffix() string {
	need := clock.CeilMillis(min(n.distance(), n.hooks.Timeout()))
	if need <= minReservation {
		return ""
	}
	return fmt.Sprintf(".%d", need.Milliseconds())
}

// distance is how long an answer of the farthest node may take: several of its round trips.
func (n *Notifier) distance() (far time.Duration) {
	for _, ln := range n.dispatcher.Lines() {
		far = max(far, ln.Due())
	}
	return far
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
func (n *Notifier) listen(ctx context.Context, round, i int, channel string) {
	node := n.dispatcher.Lines()[i].Node()
	pause := minResubscribe
	for {
		err := node.Listen(ctx, channel,
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
	_, slot := wire.SemaphoreOf(notice.Lock)
	if slot && notice.Next == 0 && n.hooks.Reserved(notice.Lock, node) {
		return
	}
	if n.heard(node, notice) || notice.Next != 0 {
		return
	}
	keys, unused := wire.KeysOfSlot(notice.Lock), slot
	if !slot {
		keys, unused = n.hooks.Unused(notice.Lock)
	}
	if !unused {
		n.hooks.Reserved(notice.Lock, node)
		return
	}
	// A reservation that nobody wants any more: the next in line need not wait until it ends.
	n.Leave(Place{[]wire.KeySet{keys}, n.Channel(), 0}, n.dispatcher.Lines()[node:node+1], n.hooks.Timeout())
}

// heard gives the notice to the entry it is for. It returns false if there is none.
func (n *Notifier) heard(node int, notice wire.Notice) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.entries[entryKey(notice.Lock)]
	return e != nil && e.heard(node, notice)
}

// entryKey tells entries apart: it is the lock key, or what those of a semaphore's slots have in
// common.
func entryKey(lock string) string {
	if semaphore, ok := wire.SemaphoreOf(lock); ok {
		return semaphore
	}
	return lock
}

// Freed has the entry for the lock try: a majority of the nodes has just given the lock up for this
// process.
func (n *Notifier) Freed(lock string) {
	if !n.Subscribed() {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if e := n.entries[entryKey(lock)]; e != nil {
		e.wakeAfter(0, tryAtOnce)
	}
}

// A Place is one in the queue that the nodes keep for a lock, or for these slots of a semaphore.
type Place struct {
	Slots  []wire.KeySet // of a lock: one
	Inbox  string
	Ticket uint64 // zero: the node has taken the inbox out, and reserved the lock for it
}

// Leave has nodes forget a place, and pass on what is reserved for its inbox. A place that the same
// inbox takes later has another ticket.
func (n *Notifier) Leave(p Place, lines []*dispatch.Line, timeout time.Duration) {
	r := &wire.Request{Verb: wire.Leave, Queue: p.Slots[0].Queue, Inbox: p.Inbox, Ticket: p.Ticket, Reserve: Reservation(timeout)}
	if len(p.Slots) == 1 {
		r.Lock = p.Slots[0].Lock
	} else {
		r.Slots = &wire.Slots{Keys: p.Slots}
	}
	until := clock.IO().Add(timeout)
	for _, ln := range lines {
		ln.Send(dispatch.Call{To: departure{}, Request: r, Until: until, Within: timeout})
	}
}

// A departure is the receiver of the answers to a request to leave: a node has forgotten our place,
// or will when that expires.
type departure struct{}

// Wanted implements dispatch.Receiver.
func (departure) Wanted(*wire.Request) bool { return true }

// Answered implements dispatch.Receiver.
func (departure) Answered(int, *wire.Request, wire.Reply) {}

// Reservation is for how long a release reserves the lock for the first waiter, where a node may
// take timeout for a request.
func Reservation(timeout time.Duration) time.Duration {
	return max(timeout/reservationDivisor, minReservation).Truncate(time.Millisecond)
}
