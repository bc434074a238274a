// Package schedule runs tasks at their times. One timer serves all tasks, and tasks that are due at
// about the same time run together.
package schedule

import (
	"container/heap"
	"sync"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
)

// A Task is run by a Schedule.
type Task interface {
	// Run does what is due, and returns when to run the task again; again is false if never. It is
	// called with no lock held, and a schedule runs one task at a time.
	Run() (next clock.Moment, again bool)
}

// A Schedule runs tasks at their times. All methods may be called concurrently.
type Schedule struct {
	clock clock.Clock
	slack time.Duration // how much sooner than due a task may run, to run together with others

	mu      sync.Mutex
	due     entries
	timer   clock.Timer
	running bool // run is running, and will set the timer
}

// An Entry is a task's place in a schedule. Its zero value may be added.
type Entry struct {
	// The schedule's mu guards these.
	task    Task
	at      clock.Moment
	slot    int // in the heap, from 1; 0: not there
	removed bool
}

// New returns a schedule by that clock. A task may run up to slack sooner than it is due.
func New(c clock.Clock, slack time.Duration) *Schedule { return &Schedule{clock: c, slack: slack} }

// Add schedules t for that time, unless the entry was removed before. Add an entry only once.
func (s *Schedule) Add(e *Entry, t Task, at clock.Moment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.removed {
		return
	}
	e.task = t
	s.push(e, at)
	s.setTimer()
}

// Remove removes an entry. Its task may still be running, but is not run again.
func (s *Schedule) Remove(e *Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.removed = true
	if e.slot > 0 {
		heap.Remove(&s.due, e.slot-1)
	}
}

// push puts an entry into the heap. With mu held.
func (s *Schedule) push(e *Entry, at clock.Moment) {
	e.at = at
	heap.Push(&s.due, e)
}

// setTimer sets the timer to the earliest entry. With mu held.
func (s *Schedule) setTimer() {
	if s.running || len(s.due) == 0 {
		return
	}
	wait := max(s.due[0].at.Until(clock.Present(s.clock)), 0)
	if s.timer == nil {
		s.timer = s.clock.AfterFunc(wait, s.run)
		return
	}
	s.timer.Reset(wait)
}

// run runs the tasks that are due.
func (s *Schedule) run() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running {
		return
	}
	s.running = true
	for _, e := range s.pop() {
		if e.removed { // by a task that ran before it
			continue
		}
		s.mu.Unlock() // a task's locks are taken before mu
		next, again := e.task.Run()
		s.mu.Lock()
		if e.removed = e.removed || !again; !e.removed {
			s.push(e, next)
		}
	}
	s.running = false
	s.setTimer()
}

// pop takes the entries that are due, or nearly so, out of the heap. With mu held.
func (s *Schedule) pop() (due []*Entry) {
	for now := clock.Present(s.clock); len(s.due) > 0 && s.due[0].at.Until(now) <= s.slack; {
		due = append(due, s.due[0])
		heap.Pop(&s.due)
	}
	return due
}

// entries is a heap with the earliest on top.
type entries []*Entry

func (h entries) Len() int           { return len(h) }
func (h entries) Less(i, j int) bool { return h[j].at.After(h[i].at) }

func (h entries) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].slot, h[j].slot = i+1, j+1
}

// Push implements heap.Interface.
func (h *entries) Push(x any) {
	e := x.(*Entry) // only push calls this
	*h = append(*h, e)
	e.slot = len(*h)
}

// Pop implements heap.Interface.
func (h *entries) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	e.slot = 0
	return e
}
