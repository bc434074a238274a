package redlock

import (
	"container/heap"
	"log/slog"
	"sync"
	"time"
)

// renewalSlack is how much sooner than due a renewal may be sent, to go out together with others; for a short TTL it is
// the part of it that slackDivisor says.
const (
	renewalSlack = 10 * time.Millisecond
	slackDivisor = 32
)

// A renewer renews the leases of a Locker that asked for it: from a third of the TTL on, and when that fails again and
// again until the deadline. One timer serves all of them, and whatever is due at about the same time goes out together,
// so that the lines can batch it. It waits for no answer.
type renewer struct {
	clock Clock

	mu    sync.Mutex
	due   dueHeap
	timer Timer
	busy  bool // run is at work, and will arm the timer
}

// add begins to renew le.
func (r *renewer) add(le *Lease) {
	le.claim.mu.Lock()
	at := le.renewal()
	le.claim.unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !le.renewing {
		return // it has ended meanwhile
	}
	r.push(le, at)
	r.arm()
}

// push makes an appointment for le. With mu held.
func (r *renewer) push(le *Lease, at moment) {
	le.renewAt = at
	heap.Push(&r.due, le)
}

// remove ends the renewal of le, if there is one.
func (r *renewer) remove(le *Lease) {
	r.mu.Lock()
	defer r.mu.Unlock()
	le.renewing = false
	if le.slot > 0 {
		heap.Remove(&r.due, le.slot-1)
	}
}

// arm sets the timer to the earliest appointment. With mu held.
func (r *renewer) arm() {
	if r.busy || len(r.due) == 0 {
		return
	}
	wait := max(r.due[0].renewAt.until(present(r.clock)), 0)
	if r.timer == nil {
		r.timer = r.clock.AfterFunc(wait, r.run)
		return
	}
	r.timer.Reset(wait)
}

// run keeps the appointments that are due.
func (r *renewer) run() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy {
		return
	}
	r.busy = true
	for _, le := range r.take() {
		r.mu.Unlock() // the lease's lock comes before ours
		next, ok := le.renew()
		r.mu.Lock()
		if le.renewing = le.renewing && ok; le.renewing {
			r.push(le, next)
		}
	}
	r.busy = false
	r.arm()
}

// take removes the appointments that are due, or nearly so, and returns whose they are. With mu held.
func (r *renewer) take() (due []*Lease) {
	for now := present(r.clock); len(r.due) > 0 && r.due[0].renewAt.until(now) <= renewalSlack; {
		due = append(due, r.due[0])
		heap.Pop(&r.due)
	}
	return due
}

// renew renews the lease if it is time to, and returns when to look at it again; false if never.
func (le *Lease) renew() (moment, bool) {
	c := le.claim
	c.mu.Lock()
	defer c.unlock()
	le.check()
	now := present(c.locker.clock)
	if le.cause != nil || now.mono.Sub(le.start.mono) >= le.terms.maxHold {
		return moment{}, false
	}
	ttl := c.terms.ttl
	if due := le.renewal(); due.until(now) > min(renewalSlack, ttl/slackDivisor) {
		return due, true
	}
	if left := le.left(); left < ttl/3 && !le.danger {
		le.danger = true
		le.note(slog.LevelWarn, "redlock: lease in danger: its renewals fail", DangerEvent{Name: c.name, Left: left})
	}
	le.extend(true)
	return now.add(le.retryPause()), true
}

// renewal is when the lease is to be renewed: a third of the TTL after the start of what set its deadline, or sooner where
// the drift takes most of a short one. With mu held.
func (le *Lease) renewal() moment {
	ttl := le.claim.terms.ttl
	return le.deadline.add(min(ttl/3, validity(ttl)/2) - validity(ttl))
}

// A dueHeap has the lease that is to be looked at first on top.
type dueHeap []*Lease

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[j].renewAt.after(h[i].renewAt) }

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].slot, h[j].slot = i+1, j+1
}

// Push implements heap.Interface.
func (h *dueHeap) Push(x any) {
	le := x.(*Lease) // only push calls this
	*h = append(*h, le)
	le.slot = len(*h)
}

// Pop implements heap.Interface.
func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	le := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	le.slot = 0
	return le
}
