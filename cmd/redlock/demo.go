package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/memnode"
)

// A demoCmd is `redlock demo`.
type demoCmd struct {
	Speed float64 `help:"How fast to go; 1 takes about 35 s." default:"1" placeholder:"X"`
}

// Help implements kong.HelpProvider.
func (*demoCmd) Help() string {
	return `Five nodes in this process, without set-up. Three contenders take turns at one lock while nodes
freeze, die and come back. In the end one is paused while it holds the lock, and its stale write is
stopped by its fencing token.`
}

const (
	demoLock = "demo"
	demoTTL  = time.Second
)

// Run plays the scenes.
func (c *demoCmd) Run(ctx context.Context, s streams) error {
	if !(c.Speed >= 0.1 && c.Speed <= 4) { // false for NaN
		return usageError{fmt.Errorf("--speed=%v: from 0.1 to 4", c.Speed)}
	}
	masters, nodes := memnode.Cluster(5)
	st := newStage(s.out, masters, "ann", "bob", "cy")
	playing, stop := context.WithCancel(ctx)
	defer stop()
	cast, playing := errgroup.WithContext(playing)
	for _, a := range st.actors {
		locks, err := redlock.New(nodes, redlock.WithTTL(demoTTL), redlock.WithHolder(a.name))
		if err != nil {
			return err
		}
		defer locks.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the process ends anyway
		cast.Go(func() error { return a.play(playing, locks, st) })
	}
	drawn := make(chan struct{})
	drawing, done := context.WithCancel(context.Background())
	go func() {
		defer close(drawn)
		st.draw(drawing)
	}()
	st.direct(playing, c.Speed)
	stop()
	err := cast.Wait()
	done()
	<-drawn
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	st.bow()
	return err //nolint:wrapcheck // our own
}

// direct lets the nodes fail and come back, and explains what is shown.
func (st *stage) direct(ctx context.Context, speed float64) {
	wait := func(seconds float64) {
		rest(ctx, time.Duration(seconds/speed*float64(time.Second)))
	}
	st.say("Five masters, three contenders, one lock. Whoever gets a majority of the",
		"nodes has it, with a token greater than all before. The others are woken in order.")
	wait(6)
	st.say("node2 freezes. Nobody waits for it: the others decide.")
	st.fail(1, frozen)
	wait(5)
	st.say("node4 dies. Three of five are still a majority.")
	st.fail(3, dead)
	wait(5)
	st.say("node5 freezes too. Two nodes cannot decide: whoever holds the lock",
		"cannot renew it, and stops in time.")
	st.fail(4, frozen)
	wait(5)
	st.say("The nodes come back, node4 with nothing of what it knew. The turns go on.")
	for _, i := range []int{1, 3, 4} {
		st.fail(i, up)
	}
	wait(5)
	st.say("Now ann is paused while she holds the lock, as a garbage collector or",
		"a host may pause her, until well past its end.")
	ann := st.actors[0]
	ann.pause.Store(true)
	select {
	case <-ann.paused:
	case <-ctx.Done():
	}
	wait(1)
	if ctx.Err() == nil {
		st.sumUp()
	}
}

// play takes turns at the lock until ctx ends.
func (a *actor) play(ctx context.Context, locks *redlock.Locker, st *stage) error {
	for ctx.Err() == nil {
		st.set(a, waits)
		paused := a.pause.Load()
		var opts []redlock.MutexOption
		if !paused {
			opts = append(opts, redlock.WithRenewal(redlock.Forever))
		}
		lease, err := locks.Lock(ctx, demoLock, opts...)
		if err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // the demonstration is over
			}
			return err
		}
		st.enter(a, lease)
		if paused {
			a.oversleep(ctx, lease, st)
		} else {
			a.work(ctx, lease, st)
		}
		if err := lease.Unlock(ctx); err != nil && !errors.Is(err, redlock.ErrLost) && !errors.Is(err, redlock.ErrNoQuorum) {
			return err
		}
		if !paused {
			st.set(a, rests)
		}
		rest(ctx, 200*time.Millisecond)
	}
	return nil
}

// rest waits for d, and returns false if ctx has ended before.
func rest(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// work writes to the ledger at the end of a turn, unless the lock is lost.
func (a *actor) work(ctx context.Context, lease *redlock.Lease, st *stage) {
	select {
	case <-time.After(a.turn):
		st.write(a, lease.Fence())
	case <-lease.Done():
		st.note(a.name + " cannot renew the lock, and stops")
	case <-ctx.Done():
	}
}

// oversleep waits until well after the end of the lease, and writes nevertheless.
func (a *actor) oversleep(ctx context.Context, lease *redlock.Lease, st *stage) {
	st.set(a, sleeps)
	if rest(ctx, 3*demoTTL) {
		st.set(a, wakes)
		st.write(a, lease.Fence())
		rest(ctx, column) // until the chart shows it
	}
	a.pause.Store(false)
	close(a.paused)
}
