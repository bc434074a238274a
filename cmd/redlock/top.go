package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-redlock/redlock"
)

// A topCmd is `redlock top`.
type topCmd struct {
	search

	Every time.Duration `help:"How often to look, from 200ms to 1h (default ${default})." default:"2s" placeholder:"TIME"`
}

// Help implements kong.HelpProvider.
func (*topCmd) Help() string {
	return `Shows each lock that somebody has or waits for: the holder, how many processes wait, and the longest
wait. It looks again until q or ^C is pressed. Without a terminal it shows one screen and ends. Locks
and semaphores are found as with ls. WAITING counts Lockers: the goroutines of one that wait for the
same lock count once; of a semaphore, its first line has all. A process that cannot listen to the
nodes is not counted.

Exit codes: 0; without a terminal 69 if fewer nodes than a quorum answered.`
}

const (
	leastEvery = 200 * time.Millisecond
	mostEvery  = time.Hour
)

// Run shows the locks until the user ends it, or once without a terminal.
func (c *topCmd) Run(ctx context.Context, s streams) error {
	if c.Every < leastEvery || c.Every > mostEvery {
		return usageError{fmt.Errorf("--every=%v: from %v to %v", c.Every, leastEvery, "1h")}
	}
	// long enough to connect to distant masters
	locks, end, err := c.locker(redlock.WithNodeTimeout(time.Second))
	if err != nil {
		return err
	}
	defer end()
	servers, closeAll, err := c.servers()
	if err != nil {
		return err
	}
	defer closeAll()
	if sc, ok := openScreen(s.out); ok {
		return errors.Join(c.live(ctx, sc, locks, servers), sc.close())
	}
	names, err := c.names(ctx, s)
	if err != nil {
		return err
	}
	p := c.look(ctx, locks, servers, names)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for _, line := range p.table(p.rows, 0) {
		fmt.Fprintln(s.out, line)
	}
	return p.err
}

// live shows the locks until the user ends it.
func (c *topCmd) live(ctx context.Context, sc *screen, locks *redlock.Locker, servers []server) error {
	ctx, stop := sc.untilQuit(ctx)
	defer stop()
	known := newCensus(&c.search, servers, c.Every)
	for i := range servers {
		go known.take(ctx, i)
	}
	frames := time.NewTicker(c.Every)
	defer frames.Stop()
	paint := painter(sc.out)
	for {
		names, errs, unread := known.known()
		p := c.look(ctx, locks, servers, names)
		if ctx.Err() != nil {
			return nil
		}
		p.addresses, p.unread = servers, unread
		for i, err := range errs {
			if err != nil {
				p.errs[i] = err // the older one
			}
		}
		width, height := sc.size()
		if err := sc.draw(p.screen(paint, width, height, c.Every)); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-known.first:
		case <-frames.C:
		}
	}
}

// look asks the nodes about the locks of these names. It leaves out those that are free and that
// nobody waits for.
func (c *topCmd) look(ctx context.Context, locks *redlock.Locker, servers []server, names []string) *picture {
	p := &picture{}
	var found []*redlock.Inspection
	var slots map[string][]redlock.Inspection
	var queues []queue
	var slotsErr error
	var all sync.WaitGroup
	all.Go(func() { found, p.err = inspectAll(ctx, locks, names) })
	all.Go(func() { slots, slotsErr = c.inspectSlots(ctx, locks, names) })
	all.Go(func() { queues, p.errs = c.queues(ctx, servers, names) })
	all.Wait()
	p.err = cmp.Or(p.err, slotsErr)
	for i, in := range found {
		if in != nil {
			p.add(listed{in, nil}, queues[i])
		}
	}
	for i, name := range names {
		semaphore, _, ok := c.slotOf(name)
		if !ok {
			continue
		}
		waiting := queues[i] // of all slots
		for k := range slots[semaphore] {
			if p.add(listed{&slots[semaphore][k], &k}, waiting) {
				waiting = nil
			}
		}
		delete(slots, semaphore) // its other slots are among the names too
	}
	slices.SortFunc(p.rows, byName)
	return p
}

// add adds a row, unless the lock or slot is free and nobody waits for it.
func (p *picture) add(l listed, waiting queue) bool {
	if state(l.Inspection) == "free" && len(waiting) == 0 {
		return false
	}
	p.rows = append(p.rows, row{l, waiting})
	return true
}
