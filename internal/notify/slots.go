package notify

// The waiters of a semaphore are in one queue for all its slots. Whichever slot is released, the
// first of them is told of that one. Where two are released at once, nodes may see that in
// different orders, and tell a waiter of different slots.

// Told returns the slot that most of the nodes have reserved for us since the last attempt; false
// if none has. For a lock it is slot 0. A nil entry has heard nothing.
func (e *Entry) Told() (slot int, told bool) {
	if e == nil {
		return 0, false
	}
	e.notifier.mu.Lock()
	defer e.notifier.mu.Unlock()
	slot, count := e.most()
	return slot, count > 0
}

// hears notes that a node has reserved that slot for us. It returns false if that is nothing new;
// another waiter may have got what was reserved for us, in exchange for another slot. With mu held.
func (e *Entry) hears(node, slot int) bool {
	first := e.notified.Add(node)
	if e.told == nil || !first && e.told[node] == slot {
		return first
	}
	e.told[node] = slot
	return true
}

// majority reports whether a majority of the nodes has reserved one slot for us. With mu held.
func (e *Entry) majority() bool {
	if e.told == nil {
		return e.notified.Majority()
	}
	_, count := e.most()
	return count >= e.notifier.needed
}

// most returns the slot that the most nodes have reserved for us, and how many have. With mu held.
func (e *Entry) most() (slot, count int) {
	if e.told == nil {
		return 0, e.notified.Len()
	}
	for i := range e.told {
		same := 0
		for j := range e.told {
			if e.notified.Has(i) && e.notified.Has(j) && e.told[j] == e.told[i] {
				same++
			}
		}
		if same > count {
			slot, count = e.told[i], same
		}
	}
	return slot, count
}
