package redlock

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/dispatch"
	"github.com/go-redlock/redlock/internal/quorum"
	"github.com/go-redlock/redlock/pool"
)

const (
	// maxTurn is how long a lock is handed from one to the next inside this process before other
	// processes get their chance to take it. By as much, at most, a block of tokens is ahead of all
	// clocks: see blockTop.
	maxTurn = 10 * time.Millisecond
)

// A room is where the goroutines of this process meet over one name. One of them at a time contends for the lock on the
// nodes, or holds it; the others wait in the order they came and cost the nodes nothing. The Locker's mu guards it.
type room struct {
	name  string
	plain bool
	users int // calls under way and leases in use: the room goes with the last
	ahead int // those who hold the lock, or contend for it: while there is one, the others wait
	first *waiter
	last  *waiter
	place *place       // in the queue that the nodes keep, of the one who contends
	seen  *QuorumError // the latest refusal that the one who contends got
}

// A waiter is a goroutine in a room.
type waiter struct {
	terms      *terms
	turn       chan grant // gets the lock or, with no claim in it, the right to contend for it
	prev, next *waiter
	queued     bool
}

// A grant is a claim that was won, and the lease that may be made of it.
type grant struct {
	claim    *claim
	fence    uint64       // 0 with a fenced claim: none is left, a block must be reserved first
	start    clock.Moment // when the lease begins
	deadline clock.Moment
}

// enter brings a call into the room of its name.
func (l *Locker) enter(m *Mutex, t *terms) (*room, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed {
		return nil, l.closedError("lock", m.name)
	}
	r := l.rooms[m.name]
	if r == nil {
		r = &room{name: m.name, plain: t.plain}
		l.rooms[m.name] = r
	}
	if r.plain != t.plain {
		return nil, &OptionError{"WithoutFencing", m.name, "locks of this name are in use both with and without fencing"}
	}
	r.users++
	return r, nil
}

// leave takes a call that neither holds nor contends out of its room.
func (l *Locker) leave(r *room) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lose(r)
}

// lose counts one user of the room less. With mu held.
func (l *Locker) lose(r *room) {
	if r.users--; r.users == 0 {
		delete(l.rooms, r.name)
	}
}

// depart takes one who held the lock, or contended for it, out of the room. The next one's turn has come.
func (l *Locker) depart(r *room) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.ahead--; r.ahead == 0 {
		if w := r.pop(); w != nil {
			r.ahead++
			w.turn <- grant{}
		} else {
			r.stand(true)
		}
	}
	l.lose(r)
}

// seat returns the room's place in the queue that the nodes keep, where the one who contended before may have left it, and
// opens it if open is set.
func (l *Locker) seat(r *room, keys pool.KeySet, open bool) *place {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.place == nil && open {
		r.place = l.inbox.place(keys)
	}
	return r.place
}

// settled notes that the one who contended has the lock.
func (l *Locker) settled(r *room) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.seen = nil
	r.stand(false)
}

// stand gives up the room's place. With the Locker's mu held.
func (r *room) stand(leave bool) {
	if r.place != nil {
		r.place.close(leave)
		r.place = nil
	}
}

// occupied reports whether a goroutine of this process has to do with the lock.
func (l *Locker) occupied(lock string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rooms[strings.TrimPrefix(lock, l.prefix)] != nil
}

// arrive notes that a call that did not wait for its turn holds the lock.
func (l *Locker) arrive(r *room) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.ahead++
	r.seen = nil
}

// push lets w wait at the end. With the Locker's mu held.
func (r *room) push(w *waiter) {
	w.queued, w.prev = true, r.last
	if r.last != nil {
		r.last.next = w
	} else {
		r.first = w
	}
	r.last = w
}

// remove takes w out of the queue, wherever it stands. With the Locker's mu held.
func (r *room) remove(w *waiter) {
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		r.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		r.last = w.prev
	}
	w.queued, w.prev, w.next = false, nil, nil
}

// pop takes the first waiter out of the queue, if there is one. With the Locker's mu held.
func (r *room) pop() *waiter {
	w := r.first
	if w != nil {
		r.remove(w)
	}
	return w
}

// turn waits until it is this call's turn. The grant has a claim if the lock was handed over, and none if the call is
// to contend for it. On error the call is no longer in the queue, and not ahead of anybody.
func (l *Locker) turn(ctx context.Context, r *room, t *terms) (grant, error) {
	l.mu.Lock()
	if r.ahead == 0 {
		r.ahead++
		l.mu.Unlock()
		return grant{}, nil
	}
	w := &waiter{terms: t, turn: make(chan grant, 1)}
	r.push(w)
	l.mu.Unlock()

	var err error
	select {
	case g := <-w.turn:
		return g, nil
	case <-l.closed:
		err = l.closedError("lock", r.name)
	case <-ctx.Done():
		err = l.refused(ctx, r)
	}
	l.mu.Lock()
	queued := w.queued
	if queued {
		r.remove(w)
	}
	l.mu.Unlock()
	if !queued { // its turn came at the same time; the one who hands over may need the Locker's mu before it is here
		return <-w.turn, nil
	}
	return grant{}, err
}

// refused is the error of a call whose wait was over before its turn came: the verdict that the one before it got last, or
// that the lock is held, by this process.
func (l *Locker) refused(ctx context.Context, r *room) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := &QuorumError{Op: "lock", Name: r.name, Needed: l.quorum, verdict: ErrHeld}
	if r.seen != nil {
		*e = *r.seen
	}
	e.cause = ended(ctx)
	return e
}

// saw notes what the one who contends was told last; nil once it has the lock.
func (l *Locker) saw(r *room, e *QuorumError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.seen = e
}

// successor takes the first waiter out of the queue if a lock held under t can be handed to it. The one who hands it over
// leaves the room.
func (l *Locker) successor(r *room, t *terms) *waiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := r.first
	if l.isClosed || r.ahead > 1 || w == nil || !t.interchangeable(w.terms) {
		return nil
	}
	l.lose(r)
	return r.pop()
}

// interchangeable reports whether a lock taken under t is what one under o would be.
func (t *terms) interchangeable(o *terms) bool {
	return t.ttl == o.ttl && t.plain == o.plain && t.holder == o.holder && t.retention == o.retention &&
		t.minHold == 0 && o.minHold == 0
}

// handOver ends the lease and gives its lock to the next in the room, without a word to the nodes. It reports whether it
// did: the lock must be safely held, and for no longer than a turn. With the claim's mu held.
func (le *Lease) handOver() bool {
	c := le.claim
	l := c.locker
	now := clock.Present(l.clock)
	if c.state.Phase() != quorum.Won || now.Mono.Sub(c.start.Mono) >= maxTurn || le.deadline.Until(now) < c.terms.ttl/2 {
		return false
	}
	w := l.successor(le.room, le.terms)
	if w == nil {
		return false
	}
	le.end(ErrReleased)
	le.gone.Store(true)
	c.lease = nil
	le.note(slog.LevelDebug, "redlock: lease handed over", ReleasedEvent{Name: c.name, Held: now.Mono.Sub(le.start.Mono)})
	w.turn <- grant{claim: c, fence: c.state.NextToken(), start: now, deadline: le.deadline}
	return true
}

// reserve gets the claim a block of tokens, above all that it had: a majority of the nodes that accepted its token, and have had the
// lock for it ever since, raises its register to the top of the block. No other node counts: another owner may have been given
// a token there that lies within the block. It returns the first token.
func (c *claim) reserve(ctx context.Context) (uint64, error) {
	c.mu.Lock()
	v := &reservation{claim: c, top: c.blockTop(clock.Present(c.locker.clock)), vote: quorum.NewVote(len(c.locker.lines), c.locker.quorum), done: make(chan struct{})}
	r := c.request(pool.Repair)
	r.Token = v.top
	timeout := c.timeout
	until := clock.IO().Add(timeout)
	for _, ln := range c.locker.lines {
		ln.Send(dispatch.Call{To: v, Request: r, Until: until, Within: c.timeout})
	}
	c.unlock()

	over, timer := clock.After(c.locker.clock, timeout)
	defer timer.Stop()
	select {
	case <-v.done:
	case <-over:
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.unlock()
	if v.vote.Outcome() != quorum.Yes {
		return 0, ErrNoQuorum
	}
	c.state.Reserve(v.top)
	c.extend, c.rejoin = nil, nil // they tell the nodes the top
	c.locker.tokens.saw(c.acquire.Lock, v.top)
	return c.state.NextToken(), nil
}

// blockTop is the last token of the next block. Tokens grow from clocks: where the registers are
// lost, and the clocks agree, a later lock has a greater token only if no token was ahead of them.
// So a block is the microseconds that have passed since the token was chosen, and for what is to
// come once more as many; at least one. However short turns are, and however many, tokens are ahead
// of all clocks by no more than a turn lasts. With mu held.
func (c *claim) blockTop(now clock.Moment) uint64 {
	wall := uint64(max(now.Wall.Microseconds(), 1))
	lasted := min(max(now.Mono.Sub(c.start.Mono), 0), maxTurn)
	return max(max(wall, c.state.Token)+uint64(lasted.Microseconds()), c.state.Top+1)
}

// A reservation counts the nodes that accept the top of a block, of those that may. The claim's mu guards it.
type reservation struct {
	claim *claim
	top   uint64
	vote  quorum.Vote
	done  chan struct{}
}

func (v *reservation) Wanted(*pool.Request) bool { return true }

// Answered implements dispatch.Receiver.
func (v *reservation) Answered(i int, _ *pool.Request, reply pool.Reply) {
	v.claim.mu.Lock()
	defer v.claim.unlock()
	decided := v.vote.Outcome() != quorum.Open
	side := quorum.Neither
	if v.claim.state.Vouches(i, &reply, !v.claim.locker.lines[i].Duplicate()) {
		side = quorum.Yes
	}
	v.vote.Count(side, "")
	if !decided && v.vote.Outcome() != quorum.Open {
		close(v.done)
	}
}
