// Package notify receives the nodes' notices that a lock for which this process waits has been
// passed on to it. Notices are hints. They make a waiter try at the right moment. They grant
// nothing, and a waiter also tries from time to time without them.
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
	// idleUnsubscribe is how long the subscriptions last after the last entry has ended.
	idleUnsubscribe = 5 * time.Second
	// minResubscribe and maxResubscribe bound the pause before the next subscription to a node
	// after one has failed.
	minResubscribe, maxResubscribe = 50 * time.Millisecond, 5 * time.Second

	// A release reserves the lock for the first waiter for this part of the node timeout, but at
	// least for minReservation.
	reservationDivisor = 16
	minReservation     = 5 * time.Millisecond
)

// Hooks are the functions of the packages above that a Notifier calls. It calls them with none of
// its locks held. They must be safe for concurrent use.
type Hooks struct {
	// Timeout returns how long a node may take for a request.
	Timeout func() time.Duration
	// Unused returns the keys of the lock with that lock key if this process neither holds nor
	// wants it: alone or, if reader is set, shared. It is not called for slots of semaphores.
	Unused func(lock string, reader bool) (wire.KeySet, bool)
	// Reserved is called when a node has reserved the lock with that lock key for this process,
	// which no longer waits for it but holds or wants it; for a slot, the process uses the
	// semaphore. It returns true if the holder asks that node for the lock. reader says that the
	// lock is reserved for this process's readers.
	Reserved func(lock string, reader bool, node int) bool
	// Occupied asks one node whether an owner has the lock there.
	Occupied func(ctx context.Context, node int, keys wire.KeySet) bool
}

// A Notifier listens to the nodes over one subscription to each. The subscriptions last as long as
// there are waiters. All methods may be called concurrently.
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
	entries map[place]*Entry
	live    quorum.Set         // nodes with a confirmed subscription
	changed chan struct{}      // closed, and made anew, when live has changed
	missed  time.Time          // since when live has been no majority, if it is none
	channel string             // of the subscriptions
	stop    context.CancelFunc // ends the subscriptions; nil: there are none
	// how often the subscriptions were ended: reports about earlier ones do not count
	round      int
	idle       clock.Timer // ends them when there has been no waiter for a while
	complained bool        // the log says already that too few nodes take subscriptions
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
		entries: make(map[place]*Entry),
		live:    quorum.NewSet(len(d.Lines()), needed),
		changed: make(chan struct{}),
	}
}

// Channel returns the present channel for the nodes' notices, or the last one; if reader is set,
// that of this process's readers.
func (n *Notifier) Channel(reader bool) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.inbox(reader)
}

// inbox is Channel. With mu held.
func (n *Notifier) inbox(reader bool) string {
	if reader {
		return wire.ReadersInbox(n.channel)
	}
	return n.channel
}

// Subscribed reports whether there are subscriptions, or soon will be. Without them no node has
// this process in its queue, or a lock reserved for it.
func (n *Notifier) Subscribed() bool { return n.subscribed.Load() }

// Subscribe subscribes to the nodes, and waits until a majority has confirmed that, but no longer
// than until the timeout is over since there was none. It returns false if there is no such
// majority.
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
	failed := n.complained // an earlier call has waited for it in vain
	left := max(timeout-n.clock.Now().Sub(n.missed), 0)
	n.mu.Unlock()
	if failed {
		live, _ := n.state()
		return live
	}

	over, timer := clock.After(n.clock, left)
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
	n.channel = wire.InboxPrefix + n.id + suffix
	n.subscribed.Store(true)
	n.missed = n.clock.Now()
	round, channel := n.round, n.channel
	for i := range n.dispatcher.Lines() {
		n.dispatcher.Go(func() { n.listen(ctx, round, i, channel) })
	}
}

// suffix returns the end of the channel's name. It says for how long releases must reserve locks
// for this process, if they would otherwise reserve them for a shorter time.
func (n *Notifier) suffix() string {
	need := clock.CeilMillis(min(n.distance(), n.hooks.Timeout()))
	if need <= minReservation {
		return ""
	}
	return fmt.Sprintf(".%d", need.Milliseconds())
}

// distance returns how long an answer of the farthest node may take: several of its round trips.
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

// unsubscribeIfIdle ends the subscriptions if there is no waiter.
func (n *Notifier) unsubscribeIfIdle() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.entries) == 0 {
		n.unsubscribe()
	}
}

// Close ends the subscriptions, and wakes all waiters. It is called once.
func (n *Notifier) Close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.closed)
	n.unsubscribe()
	if n.idle != nil {
		n.idle.Stop()
	}
}

// state reports whether a majority of the nodes can notify this process. It also returns a channel
// that is closed when this may have changed.
func (n *Notifier) state() (live bool, changed <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.live.Majority(), n.changed
}

// complain logs, once, that waiters have to ask again and again.
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

// confirm notes whether the node can notify this process.
func (n *Notifier) confirm(round, node int, live bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if round != n.round {
		return
	}
	enough := n.live.Majority()
	if live && n.live.Add(node) || !live && n.live.Remove(node) {
		if enough && !n.live.Majority() {
			n.missed = n.clock.Now()
		}
		close(n.changed)
		n.changed = make(chan struct{})
	}
}

// notice passes a node's notice to its entry, or to the holder of the lock.
func (n *Notifier) notice(node int, notice wire.Notice) {
	_, slot := wire.SemaphoreOf(notice.Lock)
	if slot && notice.Next == 0 && n.hooks.Reserved(notice.Lock, false, node) {
		return
	}
	if n.heard(node, notice) || notice.Next != 0 {
		return
	}
	keys, unused := wire.KeysOfSlot(notice.Lock), slot
	if !slot {
		keys, unused = n.hooks.Unused(notice.Lock, notice.Reader)
	}
	if !unused {
		if !notice.Shared {
			n.hooks.Reserved(notice.Lock, notice.Reader, node)
		}
		return
	}
	// This process no longer wants the reservation, or its turn: the next waiter need not wait
	// until it ends.
	n.Leave(Place{[]wire.KeySet{keys}, n.Channel(notice.Reader), 0}, n.dispatcher.Lines()[node:node+1], n.hooks.Timeout())
}

// heard passes the notice to its entry. It returns false if there is none.
func (n *Notifier) heard(node int, notice wire.Notice) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.entries[placeOf(notice.Lock, notice.Reader)]
	return e != nil && e.heard(node, notice)
}

// A place tells entries apart: by the lock key, or what those of a semaphore's slots have in
// common, and by whether it is for readers.
type place struct {
	key    string
	reader bool
}

func placeOf(lock string, reader bool) place {
	if semaphore, ok := wire.SemaphoreOf(lock); ok {
		return place{semaphore, false}
	}
	return place{lock, reader}
}

// Freed makes the entry for the lock try at once: a majority of the nodes has just confirmed that
// this process has released the lock, which it had alone.
func (n *Notifier) Freed(lock string) {
	if !n.Subscribed() {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if e := n.entries[placeOf(lock, false)]; e != nil {
		e.wakeAfter(0, tryAtOnce)
	}
}

// A Place is a place in the queue that the nodes keep for a lock, or for these slots of a
// semaphore.
type Place struct {
	Slots []wire.KeySet // of a lock: one
	Inbox string
	// zero: the node has removed the inbox, and reserved the lock for it; or it has told the inbox
	// that readers have the lock
	Ticket uint64
}

// Leave tells nodes to forget a place, and to pass on the lock if it is reserved for its inbox. A
// place that the same inbox takes later has another ticket.
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

// A departure receives the answers to a request to leave. It ignores them: the node has forgotten
// the place, or will do so when that expires.
type departure struct{}

// Wanted implements dispatch.Receiver.
func (departure) Wanted(*wire.Request) bool { return true }

// Answered implements dispatch.Receiver.
func (departure) Answered(int, *wire.Request, wire.Reply) {}

// Reservation returns for how long a release reserves the lock for the first waiter, if timeout is
// the node timeout.
func Reservation(timeout time.Duration) time.Duration {
	return max(timeout/reservationDivisor, minReservation).Truncate(time.Millisecond)
}
