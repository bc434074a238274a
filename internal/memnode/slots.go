package memnode

import (
	"strings"
	"time"

	"github.com/go-redlock/redlock/internal/wire"
)

// permit takes the first free slot of a semaphore: pool/lua/permit.lua in Go.
func (s *state) permit(r *wire.Request, now time.Time) wire.Reply {
	if wait, _ := s.quarantine(r, now); wait > 0 {
		return quarantined(wait)
	}
	if r.Slots.Only {
		s.exchange(r, now)
		return s.acquire(r.ForSlot(r.Slots.Begin), now)
	}
	slots, first, own := r.Slots.Keys, -1, -1
	free := []byte(strings.Repeat("0", len(slots)))
	for j := range slots {
		i := (r.Slots.Begin + j) % len(slots)
		owner, taken := s.get(slots[i].Lock, now)
		switch {
		case taken && owner == r.Owner:
			own = i
		case taken && (r.Queue == "" || owner != reservedPrefix+r.Inbox):
			continue
		case first < 0:
			first = i
		}
		free[i] = '1'
	}
	slot := first
	if own >= 0 {
		slot = own
	}
	if slot < 0 {
		return s.full(r, now)
	}
	reply := s.acquire(r.ForSlot(slot), now)
	if reply.Verdict == wire.OK {
		reply.Slot, reply.Free = uint8(slot), string(free)
	}
	return reply
}

// exchange swaps two reservations: if the slot is reserved for another inbox, and a second slot for
// this one, each gets the other's. Other slots that are reserved for the inbox are passed on.
func (s *state) exchange(r *wire.Request, now time.Time) {
	lock, mine := r.Slots.Keys[r.Slots.Begin].Lock, reservedPrefix+r.Inbox
	for i, k := range r.Slots.Keys {
		if owner, _ := s.get(k.Lock, now); i == r.Slots.Begin || r.Queue == "" || owner != mine {
			continue
		}
		other, _ := s.get(lock, now)
		if other == mine || !strings.HasPrefix(other, reservedPrefix) {
			leave := r.ForSlot(i)
			leave.Verb = wire.Leave
			s.pass(leave, now)
			continue
		}
		left := max(s.life(lock, now), time.Millisecond)
		s.set(k.Lock, other, left, now)
		s.set(lock, mine, left, now)
		s.publish(strings.TrimPrefix(other, reservedPrefix), wire.Notice{Lock: k.Lock})
	}
}

// full returns the refusal of a semaphore that has no free slot.
func (s *state) full(r *wire.Request, now time.Time) wire.Reply {
	least := time.Duration(-1)
	for _, k := range r.Slots.Keys {
		owner, _ := s.get(k.Lock, now)
		left := max(ceilMillis(s.life(k.Lock, now)), time.Millisecond)
		if strings.HasPrefix(owner, reservedPrefix) || s.life(k.Lock, now) < 0 {
			continue
		}
		if least < 0 || left < least {
			least = left
		}
	}
	reply := s.acquire(r.ForSlot(r.Slots.Begin), now)
	if reply.Verdict == wire.Held && reply.TTL != 0 && least > 0 {
		reply.TTL = least
	}
	return reply
}

// vacate gives up the slots that the owner has: pool/lua/vacate.lua in Go.
func (s *state) vacate(r *wire.Request, now time.Time) wire.Reply {
	reply := gone
	for i, k := range r.Slots.Keys {
		if owner, taken := s.get(k.Lock, now); taken && owner == r.Owner {
			reply = s.release(r.ForSlot(i), now)
		}
	}
	return reply
}
