package notify

import "time"

const (
	// maxYieldDelay bounds how long the next attempt at a lock waits that others had been waiting
	// for.
	maxYieldDelay = 3 * time.Millisecond
	// maxContended is how many such locks a Notifier knows.
	maxContended = 1024
)

// Contended notes that a lock was had by waiting, with an attempt that took so long: others want it
// too.
func (n *Notifier) Contended(lock string, took time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.contended) >= maxContended { // most are of no use any more
		clear(n.contended)
	}
	n.contended[lock] = took
}

// YieldDelay is how long the next attempt at the lock should wait if others want it too. This
// process has just released it to one of them, and would only get in the way of that one's attempt:
// so the delay is longer than that takes.
func (n *Notifier) YieldDelay(lock string) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	took := n.contended[lock]
	delete(n.contended, lock)
	return min(4*took, maxYieldDelay)
}
