package memnode

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-redlock/redlock/internal/wire"
)

// A waiter keeps further readers out for so long, by an Acquire: it asks again before that is over.
// One that no notice reaches asks more often.
const closure, pollersClosure = 8 * time.Second, time.Second

// pollersReservation is how long the last reader leaves the lock at most to those that poll.
const pollersReservation = 500 * time.Millisecond

// shares are the readers of one lock: each one's owner id, and when its share ends.
type shares map[string]time.Time

// A closing is what the value of a shared lock tells of further readers: until when they are kept
// out, in ms (0: they are not), and by the waiter with which place in the queue and which ticket,
// and whether that one polls.
type closing struct {
	until, place, ticket int64
	polls                bool
}

// closingOf returns what a lock's value tells of that, and whether the lock is shared.
func closingOf(value string) (c closing, shared bool) {
	text, shared := strings.CutPrefix(value, wire.SharedValue)
	if text, c.polls = strings.CutSuffix(text, "p"); !shared || strings.Trim(text, "0123456789.") != "" {
		return c, false
	}
	until, rest, _ := strings.Cut(text, ".")
	place, ticket, _ := strings.Cut(rest, ".")
	c.until, _ = strconv.ParseInt(until, 10, 64) // none: it is open
	c.place, _ = strconv.ParseInt(place, 10, 64)
	c.ticket, _ = strconv.ParseInt(ticket, 10, 64)
	return c, true
}

// value is the value of a lock about which that is to be told.
func (c closing) value() string {
	text := fmt.Sprintf("%s%d.%d.%d", wire.SharedValue, c.until, c.place, c.ticket)
	if c.polls {
		text += "p"
	}
	return text
}

// lasts returns for how much longer readers are kept out.
func (c closing) lasts(now time.Time) time.Duration {
	return max(time.Duration(c.until-now.UnixMilli())*time.Millisecond, 0)
}

// admits reports whether a reader with that request may join: none is kept out, or it has waited
// longer than the waiter that keeps readers out.
func (c closing) admits(r *wire.Request, now time.Time) bool {
	return c.lasts(now) == 0 || r.Queue != "" && placeOf(r, now) < c.place
}

// member reports whether the request's owner shares the lock. value is the lock's.
func (s *state) member(r *wire.Request, value string, now time.Time) bool {
	_, shared := closingOf(value)
	return shared && now.Before(s.readers[r.Readers][r.Owner])
}

// owns reports whether the request's owner has the lock: alone, or as one of several readers.
func (s *state) owns(r *wire.Request, now time.Time) bool {
	value, taken := s.get(r.Lock, now)
	if r.Readers != "" {
		return s.member(r, value, now)
	}
	return taken && value == r.Owner
}

// share takes the lock for a reader: pool/lua/share.lua in Go.
func (s *state) share(r *wire.Request, now time.Time) wire.Reply {
	wait, floor := s.quarantine(r, now)
	if wait > 0 {
		return quarantined(wait)
	}
	value, taken := s.get(r.Lock, now)
	closed, shared := closingOf(value)
	again := s.member(r, value, now)
	switch reserved := r.Queue != "" && r.Inbox != "" && value == reservedPrefix+r.Inbox; {
	case !taken, reserved, again, shared && closed.admits(r, now):
	default:
		s.await(r, value, now)
		return s.held(r, value, now)
	}
	reply := s.version(r, floor, now)
	if reply.Verdict == wire.OK {
		reply.Again = again
		s.enter(r, shared, now)
		if r.Queue != "" {
			s.dequeue(r.Queue, r.Inbox, now)
			s.admit(r, now)
		}
	}
	return reply
}

// version reads the fencing register for a reader. One that is missing, or is older than the last
// restart, begins at the node's clock.
func (s *state) version(r *wire.Request, floor uint64, now time.Time) wire.Reply {
	if r.Fence == "" {
		return ok
	}
	text, found := s.get(r.Fence, now)
	f, valid := token(text)
	switch {
	case !found:
		f = near(r.Token, now)
	case !valid:
		return badFence
	}
	f = max(f, floor+1)
	s.set(r.Fence, strconv.FormatUint(f, 10), r.Retention, now)
	return wire.Reply{Verdict: wire.OK, Token: f}
}

// near returns the hint if it is near the node's clock, or what is.
func near(hint uint64, now time.Time) uint64 {
	clock := micros(now)
	switch {
	case hint+uint64(slack.Microseconds()) < clock:
		return clock
	case hint > clock+uint64(reach.Microseconds()):
		return clock + uint64(reach.Microseconds())
	}
	return hint
}

// enter gives the owner its share, or a longer one. joins says that the lock is shared already.
func (s *state) enter(r *wire.Request, joins bool, now time.Time) {
	end := now.Add(r.TTL)
	if !joins {
		s.values[r.Lock] = value{wire.SharedValue, end}
		s.readers[r.Readers] = make(shares)
	}
	if s.readers[r.Readers] == nil { // it was deleted
		s.readers[r.Readers] = make(shares)
	}
	all := s.readers[r.Readers]
	if end.After(all[r.Owner]) {
		all[r.Owner] = end
	}
	if v := s.values[r.Lock]; !v.ends.IsZero() && v.ends.Before(end) {
		s.values[r.Lock] = value{v.text, end}
	}
}

// admit lets in what waits at the head of the queue of a shared lock: readers are told to ask. A
// writer that listens is told to ask too, which keeps further readers out.
func (s *state) admit(r *wire.Request, now time.Time) {
	for {
		first := s.waiting(r.Queue, now).first()
		if first == "" {
			return
		}
		reader := wire.OfReaders(first)
		heard := s.publish(first, wire.Notice{Lock: r.Lock, Shared: !reader})
		if !reader && heard > 0 {
			return
		}
		s.dequeue(r.Queue, first, now)
	}
}

// shut keeps further readers out of a lock about which that is told, for a waiter; but not those
// that have waited longer. While a waiter does so that has waited longer, nothing changes.
func (s *state) shut(r *wire.Request, c closing, now time.Time) {
	life, place := closure, placeOf(r, now)
	if r.Inbox == "" {
		life = pollersClosure
	}
	switch closed := c.lasts(now) > 0; {
	case closed && c.ticket == int64(r.Ticket):
		place = min(place, c.place)
	case closed && place > c.place:
		return
	}
	c = closing{max(c.until, now.Add(life).UnixMilli()), place, int64(r.Ticket), r.Inbox == ""}
	s.values[r.Lock] = value{c.value(), s.values[r.Lock].ends}
}

// reopen lets readers into a shared lock again after the waiter that kept them out has left.
func (s *state) reopen(r *wire.Request, now time.Time) {
	text, _ := s.get(r.Lock, now)
	c, shared := closingOf(text)
	if !shared || wire.OfReaders(r.Inbox) {
		return
	}
	if r.Ticket == 0 {
		s.dequeue(r.Queue, r.Inbox, now)
	}
	if r.Ticket == 0 || int64(r.Ticket) == c.ticket {
		s.values[r.Lock] = value{wire.SharedValue, s.values[r.Lock].ends}
	}
	s.admit(r, now)
}

// unshare gives up a reader's share: pool/lua/unshare.lua in Go.
func (s *state) unshare(r *wire.Request, now time.Time) wire.Reply {
	text, _ := s.get(r.Lock, now)
	if !s.member(r, text, now) {
		if r.Queue != "" && r.Inbox != "" && text == reservedPrefix+r.Inbox {
			s.pass(r, now)
		}
		return gone
	}
	all := s.readers[r.Readers]
	delete(all, r.Owner)
	if r.TTL > 0 { // it goes on as nobody's
		all[nobodys(r.Owner)] = now.Add(r.TTL)
	}
	maps.DeleteFunc(all, func(_ string, end time.Time) bool { return !now.Before(end) })
	_, last := all.last()
	if c, _ := closingOf(text); len(all) == 0 && r.Queue != "" && c.polls && c.lasts(now) > 0 {
		// no notice reaches the waiter that keeps readers out
		delete(s.readers, r.Readers)
		rest := min(c.lasts(now), pollersReservation)
		s.values[r.Lock] = value{reservedPrefix, now.Add(rest)}
		s.announce(r, rest, now)
	} else if len(all) == 0 {
		delete(s.readers, r.Readers)
		s.free(r, now)
	} else if v := s.values[r.Lock]; v.ends.IsZero() || last.Before(v.ends) {
		s.values[r.Lock] = value{v.text, last}
		s.announce(r, ceilMillis(last.Sub(now)), now)
	}
	return ok
}

// reshare is rejoin for a reader. A waiter that keeps further readers out has nothing to gain from
// refusing it: other nodes have this reader, and the waiter has to wait for it there.
func (s *state) reshare(r *wire.Request, now time.Time) wire.Reply {
	text, taken := s.get(r.Lock, now)
	_, shared := closingOf(text)
	if wait, _ := s.quarantine(r, now); wait > 0 && !s.member(r, text, now) {
		return quarantined(wait)
	}
	if taken && !shared {
		return s.held(r, text, now)
	}
	s.enter(r, shared, now)
	s.keep(r, now)
	return ok
}

// last returns the reader whose share ends last, and when.
func (all shares) last() (owner string, end time.Time) {
	for o, e := range all {
		if c := e.Compare(end); c > 0 || c == 0 && o > owner {
			owner, end = o, e
		}
	}
	return owner, end
}

// list returns the readers whose shares have not ended, those that end first first.
func (all shares) list(now time.Time) (list []wire.Reader) {
	owners := slices.SortedFunc(maps.Keys(all), func(a, b string) int {
		if c := all[a].Compare(all[b]); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	for _, o := range owners {
		if now.Before(all[o]) {
			text, _ := label(o)
			list = append(list, wire.Reader{Fingerprint: fingerprint(o), Holder: text, TTL: all[o].Sub(now).Truncate(time.Millisecond)})
		}
	}
	return list
}
