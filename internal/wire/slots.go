package wire

import (
	"strconv"
	"strings"
)

// MaxSlots is the greatest number of slots of a semaphore.
const MaxSlots = 128

// Slots are the slots of a semaphore, for a request about any of them. Each slot is a lock with
// keys of its own; all share one queue.
type Slots struct {
	Keys  []KeySet
	Begin int // Acquire: the slot to look at first
	// Only makes an Acquire take no other slot than the one at Begin. If another slot is reserved
	// for Inbox, it is passed on; or, if Begin is reserved for another waiter, that waiter gets it
	// in exchange.
	Only bool
}

// SlotKeys returns the keys of each slot of the semaphore of that name, which has at least one
// slot. All keys are in one hash slot of a Redis Cluster, and none is a key of a lock: no name of a
// lock may contain their suffix. It fails for the same names as Keys.
func SlotKeys(prefix, name string, slots int) ([]KeySet, error) {
	base := prefix + name
	if err := valid(base, name); err != nil {
		return nil, err
	}
	if tagged(base) {
		base += ":" + slotSuffix
	} else {
		base = "{" + base + "}" + slotSuffix
	}
	var b strings.Builder // a register's key begins with its lock's: one string has all of them
	ends := make([][2]int, slots)
	for i := range slots {
		b.WriteString(base)
		b.WriteString(strconv.Itoa(i))
		ends[i][0] = b.Len()
		b.WriteString(":" + fenceSuffix)
		ends[i][1] = b.Len()
	}
	all, keys, begin := b.String(), make([]KeySet, slots), 0
	queue := base + "queue"
	for i := range keys {
		keys[i] = KeySet{Lock: all[begin:ends[i][0]], Fence: all[begin:ends[i][1]], Queue: queue}
		begin = ends[i][1]
	}
	return keys, nil
}

// SemaphoreOf returns the common prefix of the lock keys of a semaphore's slots, if lock is one of
// them. It identifies the semaphore.
func SemaphoreOf(lock string) (semaphore string, ok bool) {
	if i := strings.LastIndex(lock, slotSuffix); i >= 0 {
		return lock[:i+len(slotSuffix)], true
	}
	return "", false
}

// SlotNumber returns the number of the slot with that lock key, or a number that no semaphore has
// if it is not the key of a slot.
func SlotNumber(lock string) int {
	semaphore, _ := SemaphoreOf(lock)
	n, err := strconv.ParseUint(lock[len(semaphore):], 10, 31)
	if err != nil {
		return MaxSlots
	}
	return int(n)
}

// KeysOfSlot returns the keys of the slot with that lock key.
func KeysOfSlot(lock string) KeySet {
	semaphore, _ := SemaphoreOf(lock)
	return KeySet{Lock: lock, Fence: lock + ":" + fenceSuffix, Queue: semaphore + "queue"}
}

// Only returns r, which asks for any of several slots, as a request for that one only.
func (r *Request) Only(slot int) *Request {
	one := r.ForSlot(slot)
	one.Lock, one.Slots = "", &Slots{Keys: r.Slots.Keys, Begin: slot, Only: true}
	return one
}

// ForSlot returns r, which concerns several slots, as a request for one of them alone.
func (r *Request) ForSlot(i int) *Request {
	one := &Request{
		Verb: r.Verb, Lock: r.Slots.Keys[i].Lock, Owner: r.Owner, Queue: r.Queue, Inbox: r.Inbox, Ticket: r.Ticket, Age: r.Age,
		Reserve: r.Reserve, Quiet: r.Quiet, TTL: r.TTL, Retention: r.Retention, Token: r.Token, Guard: r.Guard,
	}
	if r.Fence != "" {
		one.Fence = r.Slots.Keys[i].Fence
	}
	return one
}
