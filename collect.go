package redlock

import (
	"context"
	"errors"
	"time"
)

// A collection takes the locks of several mutexes. It asks for all of them at once, which suffices
// if they are free. If one is not, it gives up the locks that come after that one in the order of
// the keys, and takes that one alone. Then it asks for the rest. So no caller waits for a lock
// while it holds a later one, and callers cannot wait for one another in a circle, whatever their
// sets are: rule R30 of docs/safety.md.
type collection struct {
	locker *Locker
	parts  []part // in the order of their lock keys
	waits  bool   // for locks that others hold
	began  time.Time
	at     int // the part that was asked for last
}

// A part is one of the locks of a collection.
type part struct {
	mutex  *Mutex // the collection's own; its terms are those of the lease that the caller gets
	terms  terms  // of the lease until all locks are taken, which has no minimum hold
	lease  *Lease // once the lock is there
	renews bool   // it does

	// while it is asked for together with others
	queue   *localQueue
	claimed bool // it has the turn in that queue
	attempt *attempt
}

// take takes the locks. If leases have ended before all locks were taken, it begins again, unless
// it must not wait.
func (c *collection) take(ctx context.Context) error {
	for n := 0; ; n++ {
		err := c.pass(ctx)
		if err == nil {
			err = c.check()
		}
		// not where a context ended with such an error as its cause
		if !c.waits || !refusedBy(err, ErrTooLate) {
			return err
		}
		c.drop(0)
		if c.locker.pause(ctx, backoff(n, 0, 0)) != nil {
			return c.parts[c.at].mutex.stopped(ctx, verdictOf(err))
		}
	}
}

// pass takes the missing locks, and waits for each one that is not free.
func (c *collection) pass(ctx context.Context) error {
	for at := 0; at < len(c.parts); at++ {
		var verdict error
		if alone := at == len(c.parts)-1 && (c.waits || at == 0); !alone {
			at, verdict = c.ask(ctx, at)
		}
		if at == len(c.parts) {
			break
		}
		c.at = at
		if err := c.obtain(ctx, at, verdict); err != nil {
			return err
		}
	}
	return nil
}

// ask asks for all locks from that part on at the same time, and keeps those before the first one
// that it does not get. It returns that one's number, and the reason; there is no reason if another
// goroutine of this process is before it in the queue.
func (c *collection) ask(ctx context.Context, from int) (at int, verdict error) {
	to := from
	for to < len(c.parts) && c.claim(&c.parts[to]) {
		to++
	}
	now := c.locker.clock.Now() // nobody insists while it has locks that it may have to give up
	c.locker.dispatch.Together(func() {
		for i := from; i < to; i++ {
			p := &c.parts[i]
			p.attempt = p.mutex.begin(ctx, &p.mutex.terms, nil, false, now)
		}
	})
	for at = from; at < to && verdict == nil; at++ {
		if verdict = c.settle(ctx, &c.parts[at]); verdict != nil {
			break
		}
	}
	for i := at + 1; i < to; i++ {
		p := &c.parts[i]
		p.attempt.giveUp(context.Canceled)
		_ = p.mutex.decided(ctx, p.attempt)
	}
	c.drop(at)
	return at, verdict
}

// claim enters the part's queue. It returns false if the call must wait for its turn there.
func (c *collection) claim(p *part) bool {
	q, err := c.locker.queues.join(p.mutex.key(), p.mutex.name, p.terms.plain, p.mutex.kind())
	if err != nil {
		return false // as it will be for the call that waits, which says why
	}
	if c.waits && !q.claim() {
		q.leave()
		return false
	}
	p.queue, p.claimed = q, c.waits
	return true
}

// settle waits for the part's attempt, and makes a lease from it if it was won.
func (c *collection) settle(ctx context.Context, p *part) error {
	a := p.attempt
	if err := p.mutex.decided(ctx, a); err != nil {
		return err
	}
	q := p.queue
	if p.claimed {
		q.acquired(a)
	} else {
		q.overtake()
	}
	p.queue, p.attempt = nil, nil
	le, err := p.mutex.hold(ctx, q, &p.terms, grantOf(a), c.began)
	p.lease = le
	return err
}

// obtain takes the lock of one part alone, which was refused with that verdict, if any. Meanwhile
// the locks that were taken are renewed. If one of them is lost, the verdict is ErrTooLate.
func (c *collection) obtain(ctx context.Context, at int, verdict error) error {
	p := &c.parts[at]
	last := verdictOf(verdict)
	if last != nil && last.permanent() {
		return last
	}
	acquire := (*Mutex).await
	if !c.waits {
		acquire = (*Mutex).try
		if err := c.met(ctx, at, last); err != nil {
			return err
		}
	}
	bound, stop := c.whileHeld(ctx, at)
	defer stop()
	le, err := p.mutex.obtain(bound, &p.terms, acquire, c.began)
	p.lease = le
	if early := c.check(); early != nil && ctx.Err() == nil {
		return early
	}
	if err != nil && verdictOf(err) == nil && verdict != nil && ctx.Err() != nil {
		return waitOver(ctx, last, verdict)
	}
	return err
}

// met decides whether a call that does not wait goes on after another owner was seen at a part.
// That owner may be a similar call, which has lost an earlier lock to this one and is about to
// release the part's lock. So the call goes on after a moment, unless it has no lock that another
// call could have lost to it. Of several such calls, the one with the last such lock succeeds.
func (c *collection) met(ctx context.Context, at int, last *QuorumError) error {
	if last == nil || !errors.Is(last, ErrHeld) {
		return nil
	}
	if at == 0 {
		return last
	}
	p := &c.parts[at]
	if c.locker.pause(ctx, c.locker.settling(&p.terms)) != nil {
		return p.mutex.stopped(ctx, last)
	}
	return nil
}

// whileHeld returns a context that also ends when one of the leases before that part does, which
// are renewed from now on.
func (c *collection) whileHeld(ctx context.Context, at int) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	stops := make([]func() bool, at)
	for i := range stops {
		p := &c.parts[i]
		if !p.renews {
			p.renews = true
			p.lease.startRenewal()
		}
		stops[i] = context.AfterFunc(p.lease.Context(), cancel)
	}
	return ctx, func() {
		for _, s := range stops {
			s()
		}
		cancel()
	}
}

// check returns ErrTooLate if a lease has ended.
func (c *collection) check() error {
	for i := range c.parts {
		p := &c.parts[i]
		if p.lease == nil {
			continue
		}
		switch err := p.lease.Err(); {
		case errors.Is(err, ErrClosed):
			return closedError("lock", p.mutex.name)
		case err != nil:
			return &QuorumError{Op: "lock", Name: p.mutex.name, Needed: c.locker.quorum, verdict: ErrTooLate}
		}
	}
	return nil
}

// drop gives up all locks from that part on, and the attempts under way.
func (c *collection) drop(from int) {
	if from == len(c.parts) {
		return
	}
	c.locker.dispatch.Together(func() { drop(c.parts[from:]) })
}

// drop gives up all parts, also where an Observer panics.
func drop(parts []part) {
	if len(parts) > 0 {
		defer drop(parts[1:])
		parts[0].drop()
	}
}

func (p *part) drop() {
	had := *p
	p.lease, p.renews, p.attempt, p.queue = nil, false, nil, nil
	switch {
	case had.queue == nil:
	case had.claimed:
		defer had.queue.next()
	default:
		defer had.queue.leave()
	}
	if had.attempt != nil {
		had.attempt.giveUp(context.Canceled)
	}
	if had.lease != nil {
		had.lease.drop()
	}
}

// finish gives the leases the terms that the caller asked for.
func (c *collection) finish(ctx context.Context) *Leases {
	ls := &Leases{parent: ctx}
	for i := range c.parts {
		p := &c.parts[i]
		p.lease.adopt(&p.mutex.terms, p.renews)
		ls.leases = append(ls.leases, p.lease)
	}
	return ls
}
