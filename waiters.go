package redlock

// A waiter is a goroutine in a queue.
type waiter struct {
	terms *terms
	// gets the lock or, if there is no attempt in it, the right to contend, or to ask beside others
	turn       chan grant
	prev, next *waiter
	queued     bool
}

// waiters are the goroutines that wait in a queue, in the order in which they came. The queues' mu
// guards them.
type waiters struct{ first, last *waiter }

// push lets w wait at the end.
func (ws *waiters) push(w *waiter) {
	w.queued, w.prev = true, ws.last
	if ws.last != nil {
		ws.last.next = w
	} else {
		ws.first = w
	}
	ws.last = w
}

// remove takes w out, wherever it stands.
func (ws *waiters) remove(w *waiter) {
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		ws.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		ws.last = w.prev
	}
	w.queued, w.prev, w.next = false, nil, nil
}

// pop takes the first waiter out, if there is one.
func (ws *waiters) pop() *waiter {
	w := ws.first
	if w != nil {
		ws.remove(w)
	}
	return w
}
