package release

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/dispatch"
)

const (
	// maxPending is how many releases may wait for one node. At this number the node gets no new
	// locks, and further releases are dropped: their keys last until their TTL.
	maxPending = 32768

	minPause, maxPause = 20 * time.Millisecond, time.Second
)

// A Backlog holds releases of one node: those that it did not answer, until it answers anything;
// those that it refused, until it accepts one; and those that are to be sent twice.
type Backlog struct {
	line   *dispatch.Line
	group  *dispatch.Group
	clock  clock.Clock
	gaveUp func(why error)

	count   atomic.Int64 // of all
	dropped atomic.Uint64
	refused atomic.Uint64

	mu     sync.Mutex
	silent waiting
	denied waiting
	twice  map[*Pending]clock.Timer // few: a node that does not answer gets one request at a time
	closed bool                     // nothing waits any more
}

// waiting are the releases that wait for a sign from their node: that it answers, or that it
// accepts what it refused. One release at a time is sent as a probe, to get that sign.
type waiting struct {
	queue     []*Pending
	timer     clock.Timer   // nil if not armed; armed while anything waits
	pause     time.Duration // before the next probe
	unsettled atomic.Bool   // a release has waited since the last sign
}

// New returns the backlog of a node. The group counts the releases that wait in it. gaveUp is
// called, with no lock held, for each release that is given up: with the node's refusal, or with
// nil if too many wait.
func New(line *dispatch.Line, group *dispatch.Group, c clock.Clock, gaveUp func(why error)) *Backlog {
	return &Backlog{line: line, group: group, clock: c, gaveUp: gaveUp}
}

// Full reports whether so many releases wait for the node that it must not get new locks.
func (b *Backlog) Full() bool { return b.count.Load() >= maxPending }

// Dropped returns how many releases were given up because too many waited.
func (b *Backlog) Dropped() uint64 { return b.dropped.Load() }

// Refused returns how many releases were given up because the node refused them until their keys
// must have expired.
func (b *Backlog) Refused() uint64 { return b.refused.Load() }

// keep makes p wait until its node gives the sign.
func (b *Backlog) keep(w *waiting, p *Pending) {
	switch {
	case !clock.IO().Before(p.Until): // nothing is left to release
		b.expire(p)
		return
	case b.Full():
		b.drop()
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.group.Begin()
	w.queue = append(w.queue, p)
	w.unsettled.Store(true)
	b.count.Add(1)
	b.arm(w)
}

// repeat sends p once more after a node timeout.
func (b *Backlog) repeat(p *Pending) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		p.resend(clock.IO())
		return
	}
	b.group.Begin()
	if b.twice == nil {
		b.twice = make(map[*Pending]clock.Timer)
	}
	b.twice[p] = b.clock.AfterFunc(p.Timeout, func() { b.resend(p) })
	b.count.Add(1)
}

// resend sends p once more, unless the backlog was closed meanwhile.
func (b *Backlog) resend(p *Pending) {
	b.mu.Lock()
	_, waits := b.twice[p]
	if waits {
		delete(b.twice, p)
		b.count.Add(-1)
	}
	b.mu.Unlock()
	if waits {
		p.resend(clock.IO())
		b.group.End()
	}
}

// arm sets the timer of the next probe. With mu held.
func (b *Backlog) arm(w *waiting) {
	if w.timer == nil && len(w.queue) > 0 {
		w.pause = min(max(2*w.pause, minPause), maxPause)
		w.timer = b.clock.AfterFunc(w.pause, func() { b.probe(w) })
	}
}

// take removes the n oldest of the releases that wait, and returns them. With mu held.
func (b *Backlog) take(w *waiting, n int) []*Pending {
	taken := slices.Clone(w.queue[:n])
	w.queue = slices.Delete(w.queue, 0, n)
	b.count.Add(int64(-n))
	return taken
}

// Settle sends every release that waits for the node to answer. It is called when the node has
// answered.
func (b *Backlog) Settle() { b.settle(&b.silent) }

// settle sends every release that waits, because the node has given the sign. Later releases start
// at the least pause.
func (b *Backlog) settle(w *waiting) {
	if !w.unsettled.Load() {
		return
	}
	b.mu.Lock()
	due := b.take(w, len(w.queue))
	w.pause = 0
	w.unsettled.Store(false)
	if w.timer != nil && w.timer.Stop() { // else probe runs soon, and finds it set
		w.timer = nil
	}
	b.mu.Unlock()
	now := clock.IO()
	for _, p := range due {
		p.resend(now)
		b.group.End()
	}
}

// probe sends one release to see whether the node gives the sign, and drops releases whose keys
// must have expired.
func (b *Backlog) probe(w *waiting) {
	now := clock.IO()
	b.mu.Lock()
	w.timer = nil
	expired := 0
	for expired < len(w.queue) && !now.Before(w.queue[expired].Until) {
		expired++
	}
	due := b.take(w, min(expired+1, len(w.queue)))
	b.arm(w)
	b.mu.Unlock()
	for i, p := range due {
		if i < expired {
			b.expire(p)
		} else {
			p.probe = p.denied != nil
			p.resend(now)
		}
		b.group.End()
	}
}

// Close drops the releases that wait, and those that would wait later.
func (b *Backlog) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for p, t := range b.twice {
		t.Stop()
		delete(b.twice, p)
		b.count.Add(-1)
		b.group.End()
	}
	for _, w := range []*waiting{&b.silent, &b.denied} {
		if w.timer != nil {
			w.timer.Stop()
		}
		for range b.take(w, len(w.queue)) {
			b.group.End()
		}
	}
}

// drop gives up a release because too many wait for the node: its key lasts until its TTL.
func (b *Backlog) drop() {
	b.dropped.Add(1)
	b.gaveUp(nil)
}

// expire gives up p because its key must have expired. If the node refused the release until then,
// that is reported.
func (b *Backlog) expire(p *Pending) {
	if p.denied != nil {
		b.refused.Add(1)
		b.gaveUp(p.denied)
	}
}
