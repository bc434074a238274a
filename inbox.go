package redlock

import (
	"context"
	cryptorand "crypto/rand"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/dispatch"
	"github.com/go-redlock/redlock/internal/jitter"
	"github.com/go-redlock/redlock/pool"
)

const (
	// inboxPrefix begins the channels on which Lockers are told that a lock has been passed on to
	// them.
	inboxPrefix = "redlock:inbox:"

	// linger is how long a Locker stays subscribed after the last of its waiters.
	linger = 5 * time.Second
	// minRelisten and maxRelisten bound how long a Locker waits before it subscribes again where
	// that failed.
	minRelisten, maxRelisten = 50 * time.Millisecond, 5 * time.Second

	// maxCourtesy bounds how long the next attempt at a lock waits that others had been waiting
	// for.
	maxCourtesy = 3 * time.Millisecond
	// maxCrowds is of how many such locks an inbox knows.
	maxCrowds = 1024

	// gather is how long a waiter that was told by one node waits for a majority of them before it
	// tries all the same.
	gather = 3 * time.Millisecond
	// reserveDivisor and minReserve: a release reserves the lock for the first waiter for a part of
	// the node timeout.
	reserveDivisor = 16
	minReserve     = 5 * time.Millisecond
)

// An inbox is where the nodes tell a Locker that a lock it waits for has been passed on to it: one
// subscription on each node, which lasts while anybody waits. What it is told are hints. They make
// a waiter try at the right moment; they grant nothing, and a waiter tries from time to time
// without them.
type inbox struct {
	locker  *Locker
	channel string
	busy    atomic.Bool // there are subscriptions

	mu      sync.Mutex
	places  map[string]*place // by lock key
	live    []bool            // by node: the subscription is confirmed
	count   int               // of live
	changed chan struct{}     // closed, and made anew, when count has changed
	stop    context.CancelFunc
	// how often the subscriptions were ended: what earlier ones still say does not count
	round   int
	idle    clock.Timer    // ends the subscriptions once nobody has waited for a while
	told    bool           // the log knows that subscriptions cannot be had
	leaving map[string]int // by lock key: requests to leave that are under way

	// crowds are the locks that had to be waited for lately, by their keys, and how long an attempt
	// at each takes.
	crowds map[string]time.Duration
}

// A place is this process's place in the queue that the nodes keep for one lock. The goroutines of
// a process pass it on to one another, and it ends when one of them gets the lock or none is left.
type place struct {
	inbox *inbox
	keys  pool.KeySet
	since clock.Moment  // the wait began
	wake  chan struct{} // gets a value when it is time to try, or to look

	// The inbox's mu guards these.
	queued bool        // on some node, perhaps
	told   []bool      // by node: the lock is reserved there, since the last attempt
	count  int         // of told
	vain   int         // attempts in a row for which no majority had told us
	alarm  clock.Timer // the next reason to wake
	look   int         // the node to look at when it rings, or -1: try at once
}

func newInbox(l *Locker) *inbox {
	var random [8]byte
	cryptorand.Read(random[:]) //nolint:gosec // never fails
	return &inbox{
		locker:  l,
		channel: inboxPrefix + hex.EncodeToString(random[:]),
		places:  make(map[string]*place),
		live:    make([]bool, len(l.lines)),
		changed: make(chan struct{}),
		leaving: make(map[string]int),
		crowds:  make(map[string]time.Duration),
	}
}

// place opens a place for a lock: the nodes do not know of it yet.
func (b *inbox) place(keys pool.KeySet) *place {
	p := &place{
		inbox: b, keys: keys, since: clock.Present(b.locker.clock),
		wake: make(chan struct{}, 1), told: make([]bool, len(b.live)), look: -1,
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.places[keys.Lock] = p
	if b.idle != nil {
		b.idle.Stop()
	}
	return p
}

// close ends the place. If the nodes may know of it they are told.
func (p *place) close(leave bool) {
	b := p.inbox
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.alarm != nil {
		p.alarm.Stop()
	}
	delete(b.places, p.keys.Lock)
	if leave && p.queued {
		b.leave(p.keys, b.locker.lines)
	}
	if len(b.places) == 0 && b.stop != nil {
		if b.idle == nil {
			b.idle = b.locker.clock.AfterFunc(linger, b.rest)
		} else {
			b.idle.Reset(linger)
		}
	}
}

// rest ends the subscriptions if nobody waits.
func (b *inbox) rest() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.places) == 0 {
		b.shut()
	}
}

// shut ends the subscriptions. With mu held.
func (b *inbox) shut() {
	if b.stop == nil {
		return
	}
	b.stop()
	b.stop = nil
	b.busy.Store(false)
	b.round++
	b.count = 0
	clear(b.live)
	clear(b.crowds)
}

// crowded notes that a lock was had by waiting, with an attempt that took so long: others want it
// too.
func (b *inbox) crowded(lock string, took time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.crowds) >= maxCrowds { // most are of no use any more
		clear(b.crowds)
	}
	b.crowds[lock] = took
}

// courtesy is how long the next attempt at the lock should wait if others want it too. We have just
// released it to one of them, and would only get in the way of that one's attempt: so it is longer
// than that takes.
func (b *inbox) courtesy(lock string) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	took := b.crowds[lock]
	delete(b.crowds, lock)
	return min(4*took, maxCourtesy)
}

// end is called once the Locker is closed.
func (b *inbox) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shut()
	if b.idle != nil {
		b.idle.Stop()
	}
}

// open sees to it that the inbox is subscribed on a majority of the nodes, for which it waits up to
// the timeout. It returns false if it is not.
func (b *inbox) open(ctx context.Context, timeout time.Duration) bool {
	b.mu.Lock()
	select {
	case <-b.locker.closed: // end has been here, or will be: it waits for mu
		b.mu.Unlock()
		return false
	default:
	}
	if b.stop == nil {
		sub, stop := context.WithCancel(context.Background())
		round := b.round
		b.stop = stop
		b.busy.Store(true)
		for i := range b.locker.lines {
			b.locker.dispatch.Go(func() { b.listen(sub, round, i) })
		}
	}
	vain := b.told // it was waited for once, in vain
	b.mu.Unlock()
	if vain {
		live, _ := b.state()
		return live
	}

	over, timer := clock.After(b.locker.clock, timeout)
	defer timer.Stop()
	for {
		live, changed := b.state()
		if live {
			return true
		}
		select {
		case <-changed:
		case <-over:
			b.complain()
			return false
		case <-ctx.Done():
			return false
		case <-b.locker.closed:
			return false
		}
	}
}

// state reports whether a majority of the nodes can tell us, and returns what is closed when that
// may have changed.
func (b *inbox) state() (live bool, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count >= b.locker.quorum, b.changed
}

// complain tells the log, once, that waiters have to ask again and again.
func (b *inbox) complain() {
	b.mu.Lock()
	told := b.told
	b.told = true
	b.mu.Unlock()
	if !told {
		b.locker.logger.Warn("redlock: too few nodes take subscriptions; waiters poll instead")
	}
}

// listen keeps the subscription on one node until ctx ends.
func (b *inbox) listen(ctx context.Context, round, node int) {
	n := b.locker.lines[node].Node()
	pause := minRelisten
	for {
		err := n.Listen(ctx, b.channel,
			func() { b.confirm(round, node, true); pause = minRelisten },
			func(n pool.Notice) { b.hear(node, n) })
		b.confirm(round, node, false)
		if ctx.Err() != nil || errors.Is(err, pool.ErrNoListen) {
			return
		}
		b.locker.logger.Debug("redlock: no subscription", "node", n.Addr(), "error", err)
		if b.locker.pause(ctx, pause) != nil {
			return
		}
		pause = min(2*pause, maxRelisten)
	}
}

// confirm notes whether the node can tell us.
func (b *inbox) confirm(round, i int, live bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if round != b.round || b.live[i] == live {
		return
	}
	b.live[i] = live
	if live {
		b.count++
	} else {
		b.count--
	}
	close(b.changed)
	b.changed = make(chan struct{})
}

// hear takes a notice to the one it is for.
func (b *inbox) hear(node int, n pool.Notice) {
	b.mu.Lock()
	p := b.places[n.Lock]
	if p != nil {
		p.hear(node, n.Next)
	}
	b.mu.Unlock()
	if p == nil && n.Next == 0 && !b.locker.queues.has(n.Lock) {
		// A reservation that nobody wants any more: the next in line need not wait until it ends.
		if keys, err := keysOf(b.locker.prefix, strings.TrimPrefix(n.Lock, b.locker.prefix)); err == nil {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.leave(keys, b.locker.lines[node:node+1])
		}
	}
}

// hear counts a notice. With the inbox's mu held.
func (p *place) hear(node int, next time.Duration) {
	switch {
	case next > 0: // the one before us has been told; should it be dead its reservation ends then
		if p.count == 0 {
			p.ring(next+gather, node)
		}
	case !p.told[node]:
		p.told[node] = true
		if p.count++; p.count >= p.inbox.locker.quorum {
			p.ring(0, -1)
		} else if p.count == 1 {
			p.ring(p.gathering(), -1)
		}
	}
}

// freed has who waits for the lock try: a majority of the nodes has just given it up for us.
func (b *inbox) freed(lock string) {
	if !b.busy.Load() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.places[lock]; p != nil {
		p.ring(0, -1)
	}
}

// gathering is how long to wait for a majority after the first node has told us. Two waiters that
// are told by half of the nodes each would fail in step for ever, each passing its half on to the
// other: so it grows at random.
func (p *place) gathering() time.Duration {
	if p.vain == 0 {
		return gather
	}
	return gather + jitter.N(gather<<min(p.vain, 5))
}

// ring has the place woken after d, to look at a node or, if that is -1, to try. With the inbox's
// mu held.
func (p *place) ring(d time.Duration, look int) {
	p.look = look
	if d <= 0 {
		p.wakeUp()
		return
	}
	if p.alarm == nil {
		p.alarm = p.inbox.locker.clock.AfterFunc(d, p.wakeUp)
		return
	}
	p.alarm.Reset(d)
}

func (p *place) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// enqueue makes the attempt that begins now one that the nodes queue if they refuse it. What they
// tell from now on is about the next.
func (p *place) enqueue(r *pool.Request, queue string, now clock.Moment) {
	b := p.inbox
	b.mu.Lock()
	defer b.mu.Unlock()
	p.queued = true
	if p.vain++; p.count >= b.locker.quorum {
		p.vain = 0
	}
	clear(p.told)
	p.count, p.look = 0, -1
	if p.alarm != nil {
		p.alarm.Stop()
	}
	select {
	case <-p.wake:
	default:
	}
	r.Queue, r.Inbox = queue, b.channel
	r.Ticket = uint64(max(p.since.Wall.Microseconds(), 1))
	r.Age = max(now.Mono.Sub(p.since.Mono), 0)
}

// ready reports whether the next attempt may queue: the nodes can tell us, and have forgotten the
// place before this one.
func (p *place) ready() bool {
	b := p.inbox
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count >= b.locker.quorum && b.leaving[p.keys.Lock] == 0
}

// wait waits until it is time for another attempt: when the lock was passed on to us, or after
// fallback at the latest, whatever the nodes tell.
func (p *place) wait(ctx context.Context, fallback time.Duration) error {
	b, l := p.inbox, p.inbox.locker
	over, timer := clock.After(l.clock, fallback)
	defer timer.Stop()
	for {
		select {
		case <-p.wake:
		case <-over:
			return nil
		case <-l.closed:
			return ErrClosed
		case <-ctx.Done():
			return ended(ctx)
		}
		b.mu.Lock()
		look := p.look
		b.mu.Unlock()
		if look < 0 || !l.occupiedAt(ctx, look, p.keys) {
			return nil
		}
	}
}

// leave has nodes forget our place for the lock. With mu held.
func (b *inbox) leave(keys pool.KeySet, lines []*dispatch.Line) {
	l := b.locker
	timeout := l.timeout(&l.terms)
	r := &pool.Request{Verb: pool.Leave, Lock: keys.Lock, Queue: keys.Queue, Inbox: b.channel, Reserve: reserve(timeout)}
	until := clock.IO().Add(timeout)
	b.leaving[keys.Lock] += len(lines)
	for _, ln := range lines {
		ln.Send(dispatch.Call{To: b, Request: r, Until: until, Within: timeout})
	}
}

// Wanted implements dispatch.Receiver.
func (b *inbox) Wanted(*pool.Request) bool { return true }

// Answered implements dispatch.Receiver: a node has forgotten our place, or will when the entry
// expires.
func (b *inbox) Answered(_ int, r *pool.Request, _ pool.Reply) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.leaving[r.Lock]--; b.leaving[r.Lock] == 0 {
		delete(b.leaving, r.Lock)
	}
}

// reserve is for how long a release reserves the lock for the first waiter, where a node may take
// timeout for a request.
func reserve(timeout time.Duration) time.Duration {
	return max(timeout/reserveDivisor, minReserve).Truncate(time.Millisecond)
}
