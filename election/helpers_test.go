package election_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/election"
)

// A record lists the terms of an election, as the leaders see them.
type record struct {
	mu    sync.Mutex
	terms []*served
}

// A served term is one call of a leader's function.
type served struct {
	who   string
	lease *redlock.Lease
	ctx   context.Context
	over  bool
}

// begin records that a term begins.
func (r *record) begin(ctx context.Context, who string, le *redlock.Lease) *served {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &served{who: who, lease: le, ctx: ctx}
	r.terms = append(r.terms, s)
	return s
}

func (r *record) end(s *served) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.over = true
}

// leading returns the processes that believe that they lead.
func (r *record) leading() (who []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.terms {
		if !s.over && s.lease.Err() == nil && s.ctx.Err() == nil {
			who = append(who, s.who)
		}
	}
	return who
}

// tokens returns the tokens of all terms, in order.
func (r *record) tokens() (all []uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.terms {
		all = append(all, s.lease.Fence())
	}
	return all
}

// lead is a function that leads until its context ends.
func (r *record) lead(who string) func(context.Context, *redlock.Lease) error {
	return r.resign(who, nil)
}

// resign is a function that leads until its context ends or the channel has something.
func (r *record) resign(who string, after <-chan error) func(context.Context, *redlock.Lease) error {
	return func(ctx context.Context, le *redlock.Lease) error {
		s := r.begin(ctx, who, le)
		defer r.end(s)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-after:
			return err
		}
	}
}

// campaign runs Lead in the background until the returned function is called, which returns Lead's
// error.
func campaign(ctx context.Context, e *election.Election, fn func(context.Context, *redlock.Lease) error) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- e.Lead(ctx, fn) }()
	return sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
}

// wantLeader fails the test unless this process, and no other, leads.
func wantLeader(t *testing.T, r *record, who ...string) {
	t.Helper()
	if got := r.leading(); !slices.Equal(got, who) {
		t.Fatalf("%q lead, not %q", got, who)
	}
}

// upTo returns a random duration below d.
func upTo(random *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(random.Int64N(int64(d)))
}

// A word is one pair of values that an observer was given.
type word struct {
	leader election.Leader
	err    error
}

// observed collects what Observe yields until stop is called, which returns all of it.
func observed(ctx context.Context, e *election.Election) (so, stop func() []word) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	var mu sync.Mutex
	var words []word
	go func() {
		defer close(ended)
		for leader, err := range e.Observe(ctx) {
			mu.Lock()
			words = append(words, word{leader, err})
			mu.Unlock()
		}
	}()
	so = func() []word {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(words)
	}
	return so, func() []word {
		cancel()
		<-ended
		return so()
	}
}

// holders returns the holders that an observer was given: "" for a vacancy, "?" if the leader was
// unknown.
func holders(words []word) (all []string) {
	for _, w := range words {
		if errors.Is(w.err, redlock.ErrNoQuorum) {
			all = append(all, "?")
		} else {
			all = append(all, w.leader.Holder)
		}
	}
	return all
}

// A leapingClock is the clock of a process that may be paused.
type leapingClock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *leapingClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *leapingClock) Wall() time.Time { return c.Now().Round(0) }

func (c *leapingClock) AfterFunc(d time.Duration, f func()) redlock.Timer {
	return time.AfterFunc(d, f)
}

func (c *leapingClock) leap(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}
