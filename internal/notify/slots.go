package notify

// The waiters of a semaphore are in one queue for all its slots. The first waiter is notified of
// any slot that is released. If two slots are released at once, nodes may see that in different
// orders, and notify a waiter of different slots.

// Told returns the slot that most nodes have reserved for this process since the last attempt;
// false if none has. For a lock it is slot 0. A nil entry has had no notice.
func (e *Entry) Told() (slot int, told bool) {
	if e == nil {
		return 0, false
	}
	e.notifier.mu.Lock()
	defer e.notifier.mu.Unlock()
	slot, count := e.most()
	return slot, count > 0
}

// hears records that a node has reserved that slot for this process. It returns false if that is
// not new. Another waiter may have got a slot that was reserved for this process, in exchange for
// another one. With mu held.
func (e *Entry) hears(node, slot int) bool {
	first := e.notified.Add(node)
	if e.told == nil || !first && e.told[node] == slot {
		return first
	}
	e.told[node] = slot
	return true
}

// majority reports whether a majority of the nodes has reserved a slot for this process. If the
// slots differ, to wait for further notices would not make the nodes agree: the attempt does that,
// for it has the slots exchanged. With mu held.
func (e *Entry) majority() bool {
	return e.notified.Majority()
}

// most returns the slot that most nodes have reserved for this process, and how many have. With mu
// held.
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
