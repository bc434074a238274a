package quorum

import "github.com/go-redlock/redlock/internal/wire"

// A permit of a semaphore is a majority for one and the same slot. So each slot has at most one
// valid holder, and a semaphore has at most as many holders as slots (R29 in docs/safety.md). For
// an acquisition of any slot, each node grants the first slot that is free there. If the nodes
// agree on which slots are free, they grant the same one. A grant of another slot is a stray: it
// does not count, and is released. Such an acquisition does not ask again after a split vote. Its
// answers say which slots are free, and the next acquisition asks for one of them alone.

// StartAny begins an acquisition of any slot. The nodes look at begin first.
func (a *Acquisition) StartAny(nodes, needed, begin int) {
	a.Start(nodes, needed, begin)
	a.any, a.begin = true, uint8(begin)
}

// lead sets Slot to the one that most nodes have granted, after another grant.
func (a *Acquisition) lead(granted int) {
	if a.any && !a.chosen && a.grants(granted) > a.grants(a.Slot) {
		a.Slot = granted
	}
}

// grants returns how many nodes have granted the slot.
func (a *Acquisition) grants(slot int) (count int) {
	for i := range a.nodes {
		if n := &a.nodes[i]; n.ballot == granted && int(n.slot) == slot {
			count++
		}
	}
	return count
}

// stray reports whether the node has granted another slot than the acquisition is for.
func (a *Acquisition) stray(n *node) bool { return n.ballot == granted && int(n.slot) != a.Slot }

// Stray returns a node that has granted another slot than the one that was won, and that slot,
// which must be released there; false if there is none. From then on the node is asked for the slot
// that was won. The request that it has answered took effect on another slot, so the new request is
// the first that may take the slot there (R9). A node is left alone where a renewal takes the slot,
// or may have taken it.
func (a *Acquisition) Stray() (i, slot int, more bool) {
	if a.any && a.phase == Won {
		for i := range a.nodes {
			if n := &a.nodes[i]; a.stray(n) && !n.rejoined {
				slot = int(n.slot)
				n.ballot, n.slot, n.mayHold = open, uint8(a.Slot), false
				a.ask(i, wire.Acquire)
				return i, slot, true
			}
		}
	}
	return 0, 0, false
}

// Has reports whether the node can have no other slot for the acquisition than the one that it is
// for. If the node has not answered the request for any slot, that may have taken another one
// there.
func (a *Acquisition) Has(i int) bool {
	n := &a.nodes[i]
	return !a.any || n.told && int(n.slot) == a.Slot && !n.unconfirmed
}

// Vacant returns the slot that is free on most of the nodes that granted one, by their answers;
// false if no node has granted one. Of several slots it is the one that most nodes have granted, or
// the next.
func (a *Acquisition) Vacant() (slot int, told bool) {
	var counts []int
	for i := range a.nodes {
		free := a.nodes[i].free
		if counts == nil && free != "" {
			counts = make([]int, len(free))
		}
		for j := range free {
			if free[j] == '1' {
				counts[j]++
			}
		}
	}
	slot = a.Slot
	for j := range counts {
		if next := (a.Slot + j) % len(counts); counts[next] > counts[slot] {
			slot = next
		}
	}
	return slot, counts != nil
}
