package main

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/redlocktest"
)

// A parliament counts the leaders.
type parliament struct {
	mu      sync.Mutex
	leading map[string]bool
	most    int
}

func (p *parliament) lead(name string) func(context.Context, *redlock.Lease) error {
	return func(ctx context.Context, _ *redlock.Lease) error {
		p.set(name, true)
		<-ctx.Done()
		p.set(name, false)
		return context.Cause(ctx)
	}
}

func (p *parliament) set(name string, leads bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if leads {
		p.leading[name] = true
	} else {
		delete(p.leading, name)
	}
	p.most = max(p.most, len(p.leading))
}

// leader returns the leader's name, or "".
func (p *parliament) leader() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name := range p.leading {
		return name
	}
	return ""
}

func TestThereIsOneLeaderAndTheNextTakesOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := redlocktest.New(t, 5)
		p := &parliament{leading: make(map[string]bool)}
		stop := make(map[string]context.CancelFunc)
		var candidates sync.WaitGroup
		for _, name := range []string{"ann", "bob"} {
			ctx, cancel := context.WithCancel(t.Context())
			stop[name] = cancel
			locks := q.Locker()
			candidates.Go(func() {
				if err := serve(ctx, locks, p.lead(name)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		time.Sleep(time.Hour)
		first := p.leader()
		if first == "" {
			t.Fatal("nobody leads")
		}
		// a rolling restart, in which each master comes back empty; docs/operations.md says how
		// long to wait
		for i := range 5 {
			q.Restart(i)
			time.Sleep(ttl * 2 / 3)
		}
		if p.leader() != first {
			t.Errorf("a rolling restart has made %q the leader", p.leader())
		}
		stop[first]()
		time.Sleep(time.Second)
		if next := p.leader(); next == "" || next == first {
			t.Errorf("a second after %q stepped down %q leads", first, next)
		}
		for i := range 3 {
			q.Freeze(i)
		}
		time.Sleep(time.Minute)
		if p.leader() != "" {
			t.Errorf("%q leads without a majority", p.leader())
		}
		for i := range 3 {
			q.Thaw(i)
		}
		time.Sleep(time.Minute)
		if p.leader() == "" {
			t.Error("nobody leads though all masters are back")
		}
		stop["ann"]()
		stop["bob"]()
		candidates.Wait()
		if p.most != 1 {
			t.Errorf("%d led at a time", p.most)
		}
	})
}
