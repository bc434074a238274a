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
		if answer, ok := errors.AsType[*redlock.QuorumError](a.Err); ok && verdict(answer) != nil {
			w.latest.Store(answer)
		}
	}
}

// tell reports the outcome of the latest attempt, unless it has reported the same before.
func (w *waiting) tell(s streams) {
	why := w.latest.Load()
	if why == nil || w.told != nil && errors.Is(why, w.told) {
		return
	}
	w.told = verdict(why)
	fmt.Fprintf(s.err, "redlock: waiting: %s\n", message(why))
}

// verdict returns what kept an attempt from the lock, or nil if it was given up before it had a
// verdict.
func verdict(e *redlock.QuorumError) error {
	for _, v := range []error{redlock.ErrHeld, redlock.ErrTooLate, redlock.ErrNoQuorum} {
		if errors.Is(e, v) {
			return v
		}
	}
	return nil
}
