package main

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-redlock/redlock"
)

// tellEvery is how long a command waits for its lock before it says what it waits for, and the
// least time between two such messages.
const tellEvery = time.Second

// A waiting says what a command waits for: the holder, or nodes. It does so after tellEvery, and
// again only when the reason changes, so that a job which waits for hours does not fill its mail.
type waiting struct {
	latest atomic.Pointer[redlock.QuorumError] // the outcome of the latest attempt
	told   error                               // the last verdict that was reported
}

// Observe implements redlock.Observer.
func (w *waiting) Observe(e redlock.Event) {
	if a, ok := e.(redlock.AttemptEvent); ok {
		if verdict, ok := errors.AsType[*redlock.QuorumError](a.Err); ok {
			w.latest.Store(verdict)
		}
	}
}

// tell reports the outcome of the latest attempt, unless it has reported the same before.
func (w *waiting) tell(s streams) {
	why := w.latest.Load()
	if why == nil || w.told != nil && errors.Is(why, w.told) {
		return
	}
	w.told = redlock.ErrNoQuorum
	for _, verdict := range []error{redlock.ErrHeld, redlock.ErrTooLate} {
		if errors.Is(why, verdict) {
			w.told = verdict
		}
	}
	fmt.Fprintf(s.err, "redlock: waiting: %s\n", message(why))
}
