package main

import (
	"context"
	"sync"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/pool"
)

const (
	vain = "failed attempts" // for each lock that was taken
	wide = "on four nodes"   // the share of the locks that were released on four nodes or more

	fourNodes = 4
)

// A watcher is an observer of one Locker, which takes its locks one after the other. It counts the
// failed attempts, and on how many nodes each lock was when it was released.
type watcher struct {
	mu     sync.Mutex
	failed int
	had    int
	open   bool // the last lock was taken or released, and no later attempt has ended
	now    int  // nodes that have released it
	many   int  // locks that were on four nodes or more
}

// Observe implements redlock.Observer.
func (w *watcher) Observe(e redlock.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e := e.(type) {
	case redlock.AttemptEvent:
		if w.open && w.now >= fourNodes {
			w.many++
		}
		w.open = false
		if e.Err != nil {
			w.failed++
		}
	case redlock.AcquiredEvent:
		w.had++
		w.open, w.now = true, 0
	case redlock.NodeEvent:
		if w.open && e.Verb == pool.Release && e.Verdict == pool.OK {
			w.now++
		}
	}
}

// A watchedLocker is this library with a watcher.
type watchedLocker struct {
	locker
	*watcher
}

func openWatched(_ context.Context, addrs []string) (locker, error) {
	w := &watcher{}
	l, err := openOurs(addrs, redlock.WithObserver(w))
	return watchedLocker{l, w}, err
}

// watchers returns what the watched lockers have counted.
func watchers(lockers []locker) values {
	var failed, had, many float64
	for _, l := range lockers {
		w, ok := l.(watchedLocker)
		if !ok {
			return nil
		}
		failed += float64(w.failed)
		had += float64(w.had)
		many += float64(w.many)
	}
	return values{vain: failed / had, wide: many / had}
}
