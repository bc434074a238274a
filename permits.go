package redlock

import (
	"errors"
	"time"

	"github.com/go-redlock/redlock/internal/jitter"
	"github.com/go-redlock/redlock/internal/notify"
	"github.com/go-redlock/redlock/internal/wire"
)

// A permit is a lock on one slot of its semaphore. When an attempt has its slot, everything is as
// for a lock. Before that an attempt asks for any slot, and each node grants the first that is free
// there. Or it asks for the one slot that is known to be free, or to be reserved for it.

// permits are the slots of a semaphore, and which of them the next attempt asks for.
type permits struct {
	slots []wire.KeySet
	slot  int  // that it asks for, or that the nodes look at first
	any   bool // it asks for any slot
	// it asks for no other slot, and gives up what nodes have reserved for it of others
	only bool
}

// slots are the keys of the lock, or of each slot of the semaphore.
func (t *target) slots() []wire.KeySet {
	if t.permits == nil {
		return t.keys[:]
	}
	return t.permits.slots
}

// count returns how many permits the semaphore has; 0 for a lock.
func (p *permits) count() int {
	if p == nil {
		return 0
	}
	return len(p.slots)
}

// first returns the slot that an attempt asks for, or that nodes look at first.
func (p *permits) first() int {
	if p == nil {
		return 0
	}
	return p.slot
}

// picked reports whether an attempt asks for one of several slots. If that slot is not free, this
// says nothing about the others.
func (p *permits) picked() bool { return p != nil && !p.any && len(p.slots) > 1 }

// anywhere returns m for an attempt that asks for any slot. It begins at a random slot, so that
// simultaneous attempts usually get different slots.
func (m *Mutex) anywhere() *Mutex {
	if m.permits == nil {
		return m
	}
	count := len(m.permits.slots)
	return m.at(permits{slot: int(jitter.N(time.Duration(count))), any: count > 1})
}

// at returns m for an attempt that asks for that.
func (m *Mutex) at(p permits) *Mutex {
	next := *m
	p.slots = m.permits.slots
	next.permits = &p
	return &next
}

// aimed returns m for the attempt after one that ended with that verdict. It asks for the slot that
// the nodes have reserved for the entry, or that most of them had free.
func (m *Mutex) aimed(last *QuorumError, entry *notify.Entry) *Mutex {
	if m.permits.count() < 2 {
		return m
	}
	slot, told := entry.Told()
	switch {
	case told:
		return m.at(permits{slot: slot, only: true})
	case m.permits.any && last.vacant && errors.Is(last, errSplit):
		return m.at(permits{slot: last.slot})
	}
	return m.anywhere()
}

// key identifies the lock, the shared lock or the semaphore within this process.
func (m *Mutex) key() queueKey {
	if m.permits == nil {
		return queueKey{m.name, m.shared}
	}
	semaphore, _ := wire.SemaphoreOf(m.permits.slots[0].Lock)
	return queueKey{semaphore, false}
}

// op says what calls of m do, for errors.
func (m *Mutex) op() string { return m.kind().op() }
