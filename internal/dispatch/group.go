package dispatch

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// A Group counts the background work, and runs its goroutines.
type Group struct {
	pending atomic.Int64
	idle    chan struct{} // gets a value when pending falls to zero

	goroutines errgroup.Group
	mu         sync.RWMutex // orders goroutines.Go before goroutines.Wait
	joined     bool         // goroutines is no longer used
}

// Begin counts one more piece of work.
func (g *Group) Begin() { g.pending.Add(1) }

// End counts one piece of work less.
func (g *Group) End() {
	if g.pending.Add(-1) == 0 {
		select {
		case g.idle <- struct{}{}:
		default:
		}
	}
}

// Pending returns how much work is under way.
func (g *Group) Pending() int { return int(g.pending.Load()) }

// Drain waits until nothing is under way, or until stop is closed; then it returns false.
func (g *Group) Drain(stop <-chan struct{}) bool {
	for g.Pending() > 0 {
		select {
		case <-g.idle:
		case <-stop:
			return false
		}
	}
	return true
}

// Go runs f in a goroutine of the group.
func (g *Group) Go(f func()) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.joined { // an Unlock after Close
		go f()
		return
	}
	g.goroutines.Go(func() error {
		f()
		return nil
	})
}

// Join waits for the goroutines of the group, once none has anything to do.
func (g *Group) Join() {
	g.mu.Lock()
	g.joined = true
	g.mu.Unlock()
	_ = g.goroutines.Wait() // they return nil
}
