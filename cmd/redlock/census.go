package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// A census knows the names of the locks on each server, and goes on reading them. A server that is
// slow or does not answer keeps no other's names back.
type census struct {
	*search
	servers []server
	every   time.Duration
	// gets an element, if it is empty, when a server was read for the first time
	first chan struct{}

	mu     sync.Mutex
	names  []map[string]struct{} // by server
	errs   []error
	unread int // servers whose first reading has not ended
}

func newCensus(s *search, servers []server, every time.Duration) *census {
	return &census{
		search: s, servers: servers, every: every, first: make(chan struct{}, 1),
		names: make([]map[string]struct{}, len(servers)), errs: make([]error, len(servers)), unread: len(servers),
	}
}

// share is how many times longer a server is left alone than it has been read: reading millions of
// keys costs it a twentieth of its time at most.
const share = 19

// take reads server i again and again until ctx ends.
func (c *census) take(ctx context.Context, i int) {
	for round := 0; ; round++ {
		names, began := map[string]struct{}{}, time.Now()
		err := c.scan(ctx, c.servers[i], func(name string) { names[name] = struct{}{} })
		if ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		c.names[i], c.errs[i] = names, err
		if round == 0 {
			c.unread--
		}
		c.mu.Unlock()
		if round == 0 {
			select {
			case c.first <- struct{}{}:
			default:
			}
		}
		pause := c.every
		if err == nil {
			pause = max(pause, share*time.Since(began))
		}
		if !rest(ctx, pause) {
			return
		}
	}
}

// known returns the names on all servers, why servers did not tell theirs, and how many have not
// been read yet.
func (c *census) known() (names []string, errs []error, unread int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[string]struct{}{}
	for _, some := range c.names {
		maps.Copy(all, some)
	}
	return slices.SortedFunc(maps.Keys(all), cmp.Compare), slices.Clone(c.errs), c.unread
}
