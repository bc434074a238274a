package main

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-redlock/redlock"
)

// tellEvery is how long a command waits for its lock before it says what for, and how often it says
// so anew at most.
const tellEvery = time.Second

// A waiting tells what a command waits for: the holder, or nodes. It says so once that has lasted,
// and again only when another kind of thing is missing, so that a job which waits for hours does
// not fill its mail.
type waiting struct {
	latest atomic.Pointer[redlock.QuorumError] // what became of the latest attempt
	told   error                               // the verdict that was told last
}

// Observe implements redlock.Observer.
func (w *waiting) Observe(e redlock.Event) {
	if a, ok := e.(redlock.AttemptEvent); ok {
		if verdict, ok := errors.AsType[*redlock.QuorumError](a.Err); ok {
			w.latest.Store(verdict)
		}
	}
}

// tell says what the latest attempt was told, unless it was the same the last time.
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
