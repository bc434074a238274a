package election

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/jitter"
)

// A Leader is who leads, as a quorum of the nodes has told. The zero Leader is a vacancy: nobody
// leads.
type Leader struct {
	// Owner identifies the term: 16 hex digits, as in [redlock.Inspection]. A process that is
	// elected again has another. Goroutines of one process that hand the lead on among themselves
	// may share one.
	Owner string
	// Holder is the leader's label, host/pid unless it has set another. It is a hint for people and
	// for routing: any program that can reach the nodes may write it.
	Holder string
	// Fence is the term's fencing token. It is 0 while the nodes do not agree about it, and may be
	// greater than the leader's own where goroutines of one process hand the lead on. So compare
	// the tokens that leaders send with one another, and not with this one.
	Fence uint64
	// Left is how long the term lasts if the leader does not renew it.
	Left time.Duration
}

// Leader asks all nodes who leads now. It takes the node timeout at most. It returns the zero
// Leader and no error only if the nodes that answered show that nobody has a quorum. If they are
// too few for that, the error wraps [redlock.ErrNoQuorum] and has each node's own reason. Bad
// arguments give an [*redlock.OptionError], a closed Locker ErrClosed, a ctx that has ended its
// error.
func (e *Election) Leader(ctx context.Context) (Leader, error) {
	if err := e.made(); err != nil {
		return Leader{}, err
	}
	in, err := e.mutex.Inspect(ctx)
	if err == nil && in.Owner == "" {
		err = undecided(in)
	}
	if err != nil {
		return Leader{}, err
	}
	return Leader{in.Owner, in.Holder, in.OwnerFence, in.Left}, nil
}

// undecided returns an error if an owner may have a quorum together with the nodes that did not
// answer.
func undecided(in *redlock.Inspection) error {
	err := fmt.Errorf("redlock: leader of %q: %w: those that answer cannot say that nobody leads", in.Name, redlock.ErrNoQuorum)
	silent, most, votes := 0, 0, make(map[string]int)
	for i := range in.Nodes {
		switch n := &in.Nodes[i]; {
		case n.Err != nil:
			silent++
			err = fmt.Errorf("%w; %s: %w", err, n.Node, n.Err)
		case n.Owner != "":
			votes[n.Owner]++
			most = max(most, votes[n.Owner])
		}
	}
	if most+silent < in.Needed {
		return nil
	}
	return err
}

// Observe yields who leads, at once and then each time that this has changed, until ctx ends. A
// vacancy is a change. A term that is shorter than the time between two questions may be missed.
// The same owner is yielded again if it has another token.
//
// It asks the nodes about every third of the TTL; about every second while nobody leads, no quorum
// answers or the leader's time is nearly over; and never more than once a second. The pauses are up
// to a quarter longer, by chance. What a process asks at the same time shares round trips. Observe
// has no goroutine of its own: it asks again when the loop's body is done.
//
// If the nodes do not answer, what was yielded last stays good until its Left is over. If they have
// still not answered by then, Observe yields the error of [Election.Leader], once, with the zero
// Leader: who leads is unknown. It goes on asking, and the next Leader that it yields ends that.
// After bad arguments, and once the Locker is closed, it yields the error and ends.
func (e *Election) Observe(ctx context.Context) iter.Seq2[Leader, error] {
	return func(yield func(Leader, error) bool) {
		o := observer{election: e, yield: yield}
		for ctx.Err() == nil && o.ask(ctx) {
			pause(ctx, o.interval())
		}
	}
}

// An observer is one loop over [Election.Observe].
type observer struct {
	election *Election
	yield    func(Leader, error) bool
	last     *Leader   // the Leader that was yielded last; nil: nothing, or an error
	until    time.Time // when its Left is over
	dark     bool      // an error was yielded last
}

// ask asks who leads, and yields the answer if it is new. It returns false if the loop is over.
func (o *observer) ask(ctx context.Context) bool {
	now, err := o.election.Leader(ctx)
	switch {
	case ctx.Err() != nil:
		return false
	case err == nil:
		return o.heard(now)
	case !errors.Is(err, redlock.ErrNoQuorum):
		o.yield(Leader{}, err)
		return false
	case o.dark || clock.System{}.Now().Before(o.until):
		return true
	default:
		o.last, o.dark = nil, true
		return o.yield(Leader{}, err)
	}
}

// heard records an answer.
func (o *observer) heard(now Leader) bool {
	same := o.last != nil && o.last.Owner == now.Owner
	if same && now.Fence == 0 { // the nodes do not agree at the moment
		now.Fence = o.last.Fence
	}
	news := !same || o.last.Fence != now.Fence
	o.last, o.until, o.dark = &now, clock.System{}.Now().Add(now.Left), false
	return !news || o.yield(now, nil)
}

// leastInterval is the least time between two questions.
const leastInterval = time.Second

// interval returns how long to wait before the next question.
func (o *observer) interval() time.Duration {
	left := max(o.until.Sub(clock.System{}.Now()), leastInterval)
	d := min(left, max(o.election.mutex.TTL()/3, leastInterval))
	return d + jitter.N(d/4)
}
