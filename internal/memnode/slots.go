package memnode

import (
	"strings"
	"time"

	"github.com/go-redlock/redlock/internal/wire"
)

// permit takes the first free one of the slots of a semaphore: pool/lua/permit.lua as Go.
func (s *state) permit(r *wire.Request, now time.Time) wire.Reply {
	if wait, _ := s.quarantine(r, now); wait > 0 {
		return quarantined(wait)
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

// full is the refusal of a semaphore that has no free slot.
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

// vacate gives up the slots that the owner has: pool/lua/vacate.lua as Go.
func (s *state) vacate(r *wire.Request, now time.Time) wire.Reply {
	reply := gone
	for i, k := range r.Slots.Keys {
		if owner, taken := s.get(k.Lock, now); taken && owner == r.Owner {
			reply = s.release(r.ForSlot(i), now)
		}
	}
	return reply
}
