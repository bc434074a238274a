package redlock

import (
	"errors"
	"time"

	"github.com/go-redlock/redlock/internal/jitter"
	"github.com/go-redlock/redlock/internal/notify"
	"github.com/go-redlock/redlock/internal/wire"
)

// A permit is a lock on one slot of its semaphore: all that happens once an attempt has its slot is
// what happens to a lock. Before that an attempt asks for any slot, so that each node grants the
// first that is free there; or for the one slot that is known to be free, or to be reserved for it.

// permits are the slots of a semaphore, and what the next attempt asks of them.
type permits struct {
	slots []wire.KeySet
	slot  int  // that it asks for, or that the nodes look at first
	any   bool // it asks for any slot
	// it asks for no other slot, and gives up what nodes have reserved for it of others
	only bool
}

// slots are the keys of the lock, or of each slot of the semaphore.
func (m *Mutex) slots() []wire.KeySet {
	if m.permits == nil {
		return m.keys[:]
	}
	return m.permits.slots
}

// count is how many permits the semaphore has; 0: it is a lock.
func (p *permits) count() int {
	if p == nil {
		return 0
	}
	return len(p.slots)
}

// first is the slot that an attempt asks for, or looks at first.
func (p *permits) first() int {
	if p == nil {
		return 0
	}
	return p.slot
}

// picked reports whether an attempt asks for one of several slots: that it is not to be had says
// nothing about the others.
func (p *permits) picked() bool { return p != nil && !p.any && len(p.slots) > 1 }

// anywhere returns m for an attempt that asks for any slot. Where it begins is left to chance:
// simultaneous attempts so get different slots in most cases.
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
// the nodes have told the entry of, or that most of them had free.
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

// key tells the lock, or the semaphore, from all others of this process: it is the name of a lock,
// and what the keys of slots begin with.
func (m *Mutex) key() string {
	if m.permits == nil {
		return m.name
	}
	semaphore, _ := wire.SemaphoreOf(m.permits.slots[0].Lock)
	return semaphore
}

// op is what calls of m do, for errors.
func (m *Mutex) op() string { return opOf(m.permits != nil) }
