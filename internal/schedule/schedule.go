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

// busyPause is how long tasks that are due wait until Ready is asked again.
const busyPause = time.Millisecond

// Hooks are the functions of the packages above that a Schedule calls, with no lock held.
type Hooks struct {
	// Ready reports whether there is room for what the next task sends.
	Ready func() bool
	// Ran is called after tasks have run, when no other is to run now.
	Ran func()
}

// A Schedule runs tasks at their times. While there is no room for what they send, it runs them
// later, in the order in which they are due. All methods may be called concurrently.
type Schedule struct {
	clock clock.Clock
	slack time.Duration // how much sooner than due a task may run, to run together with others
	hooks Hooks

	mu      sync.Mutex
	due     entries
	timer   clock.Timer
	running bool // run is running, and will set the timer
	pass    int  // how often run has been called
}

// An Entry is a task's place in a schedule. Its zero value may be added.
type Entry struct {
	// The schedule's mu guards these.
	task    Task
	at      clock.Moment
	slot    int // in the heap, from 1; 0: not there
	pass    int // in which its task ran last
	removed bool
}

// New returns a schedule by that clock. A task may run up to slack sooner than it is due.
func New(c clock.Clock, slack time.Duration, h Hooks) *Schedule {
	return &Schedule{clock: c, slack: slack, hooks: h}
}

// Add schedules t for that time, unless the entry was removed before. Add an entry only once.
func (s *Schedule) Add(e *Entry, t Task, at clock.Moment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.removed {
		return
	}
	e.task = t
	s.push(e, at)
	s.setTimer(0)
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

// setTimer sets the timer to the earliest entry, but no sooner than after the pause. With mu held.
func (s *Schedule) setTimer(pause time.Duration) {
	if s.running || len(s.due) == 0 {
		return
	}
	wait := max(s.due[0].at.Until(clock.Present(s.clock)), pause)
	if s.timer == nil {
		s.timer = s.clock.AfterFunc(wait, s.run)
		return
	}
	s.timer.Reset(wait)
}

// run runs the tasks that are due, as long as there is room.
func (s *Schedule) run() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running {
		return
	}
	s.running = true
	pause := s.runDue()
	s.mu.Unlock()
	s.hooks.Ran()
	s.mu.Lock()
	s.running = false
	s.setTimer(pause)
}

// runDue runs each task that is due now, once, and returns how long to pause. mu is held, but not
// while a task runs, because a task's locks are taken before mu.
func (s *Schedule) runDue() (pause time.Duration) {
	s.pass++
	now := clock.Present(s.clock)
	for e := s.first(now); e != nil; e = s.first(now) {
		s.mu.Unlock()
		ready := s.hooks.Ready()
		s.mu.Lock()
		switch {
		case !ready:
			return busyPause
		case e.slot > 0: // otherwise it was removed meanwhile
			s.runTask(e)
		}
	}
	return 0
}

// first returns the entry that is due first. It returns nil if none is due, or if its task has run
// in this pass. With mu held.
func (s *Schedule) first(now clock.Moment) *Entry {
	if len(s.due) == 0 || s.due[0].at.Until(now) > s.slack || s.due[0].pass == s.pass {
		return nil
	}
	return s.due[0]
}

// runTask runs an entry's task. With mu held, but not while the task runs.
func (s *Schedule) runTask(e *Entry) {
	heap.Remove(&s.due, e.slot-1)
	e.pass = s.pass
	s.mu.Unlock()
	next, again := e.task.Run()
	s.mu.Lock()
	if e.removed = e.removed || !again; !e.removed {
		s.push(e, next)
	}
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
