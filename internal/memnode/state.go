package memnode

import (
	"cmp"
	"crypto/sha1" //nolint:gosec // Redis's own fingerprint, as the scripts take it
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// The bounds that the scripts keep to; see pool/lua.
const (
	maxToken = 1<<53 - 1<<32
	// a hint this far behind the node's clock is not trusted where F is missing.
	slack             = time.Second
	reach             = 60 * time.Second // nor one this far ahead
	ticketSlack       = time.Second
	queueLife         = time.Minute
	guardMargin       = 100 * time.Millisecond
	guardDriftDivisor = 100
	reservedPrefix    = "R:"
	hexDigits         = "0123456789abcdefABCDEF"
	ownerDigits       = 32
	maxOwner          = 1024
	maxDigits         = 16
	fingerprintLen    = 16
)

// A state is what a master knows, and what it answers: the scripts in pool/lua as Go. It has no
// clock of its own, no network and no faults. Every step is told the time on the master's clock.
type state struct {
	run    int // how often it was started
	read   int // how often it has taken over another's data since then
	values map[string]value
	queues map[string]queue
	// by the readers' key; only valid while the lock has the value of one that is shared
	readers map[string]shares
	marker  marker

	// publish tells an inbox, and returns how many listen.
	publish func(inbox string, n wire.Notice) int
}

// A value is what a key holds.
type value struct {
	text string
	ends time.Time // zero: never
}

// A queue is a sorted set of inboxes by ticket.
type queue struct {
	tickets map[string]int64
	ends    time.Time
}

// A marker is the restart guard's.
type marker struct {
	run   int // 0: there is none
	read  int
	ready time.Time
	floor uint64
}

func newState(publish func(string, wire.Notice) int) *state {
	return &state{run: 1, values: make(map[string]value), queues: make(map[string]queue), readers: make(map[string]shares), publish: publish}
}

// clone returns a copy of the data.
func (s *state) clone() *state {
	c := *s
	c.values = maps.Clone(s.values)
	c.queues = make(map[string]queue, len(s.queues))
	for k, q := range s.queues {
		c.queues[k] = queue{maps.Clone(q.tickets), q.ends}
	}
	c.readers = make(map[string]shares, len(s.readers))
	for k, all := range s.readers {
		c.readers[k] = maps.Clone(all)
	}
	return &c
}

// get returns the key's value if it has not expired.
func (s *state) get(key string, now time.Time) (string, bool) {
	v, ok := s.values[key]
	if ok && !v.ends.IsZero() && !now.Before(v.ends) {
		delete(s.values, key)
		return "", false
	}
	return v.text, ok
}

func (s *state) set(key, text string, life time.Duration, now time.Time) {
	s.values[key] = value{text, now.Add(life)}
}

// life is what PTTL says of a key that there is: negative if it does not expire.
func (s *state) life(key string, now time.Time) time.Duration {
	ends := s.values[key].ends
	if ends.IsZero() {
		return -1
	}
	return ends.Sub(now).Truncate(time.Millisecond)
}

// apply carries out one request.
func (s *state) apply(r *wire.Request, now time.Time) wire.Reply {
	switch r.Verb {
	case wire.Acquire:
		switch {
		case r.Slots != nil:
			return s.permit(r, now)
		case r.Readers != "":
			return s.share(r, now)
		}
		return s.acquire(r, now)
	case wire.Repair:
		return s.repair(r, now)
	case wire.Extend:
		return s.extend(r, now)
	case wire.Rejoin:
		if r.Readers != "" {
			return s.reshare(r, now)
		}
		return s.rejoin(r, now)
	case wire.Release:
		switch {
		case r.Slots != nil:
			return s.vacate(r, now)
		case r.Readers != "":
			return s.unshare(r, now)
		}
		return s.release(r, now)
	case wire.Leave:
		return s.leave(r, now)
	case wire.Inspect:
		return s.inspect(r, now)
	case wire.Check:
		if wait, _ := s.quarantine(r, now); wait > 0 {
			return quarantined(wait)
		}
		return ok
	case wire.Bootstrap:
		s.marker = marker{run: s.run, read: s.read, floor: micros(now)}
		return ok
	}
	return wire.Reply{Verdict: wire.Refused, Err: pool.ErrBadReply}
}

var (
	ok       = wire.Reply{Verdict: wire.OK}
	gone     = wire.Reply{Verdict: wire.Gone}
	badFence = wire.Reply{Verdict: wire.Refused, Err: wire.ErrBadFence}
)

// quarantine is how long the node is still to be kept out of new locks, and the floor of its
// tokens.
func (s *state) quarantine(r *wire.Request, now time.Time) (time.Duration, uint64) {
	if r.Guard == 0 {
		return 0, 0
	}
	if s.marker.run != s.run || s.marker.read != s.read {
		s.marker = marker{
			run:   s.run,
			read:  s.read,
			ready: now.Add(r.Guard + ceilMillis(r.Guard/guardDriftDivisor) + guardMargin).Truncate(time.Millisecond),
			floor: micros(now),
		}
	}
	return max(s.marker.ready.Sub(now.Truncate(time.Millisecond)), 0), s.marker.floor
}

func quarantined(wait time.Duration) wire.Reply {
	return wire.Reply{Verdict: wire.Quarantined, TTL: wait}
}

func (s *state) acquire(r *wire.Request, now time.Time) wire.Reply {
	wait, floor := s.quarantine(r, now)
	if wait > 0 {
		return quarantined(wait)
	}
	owner, taken := s.get(r.Lock, now)
	if r.Queue != "" {
		if taken && owner == reservedPrefix+r.Inbox {
			taken = false
		}
		if taken && owner != r.Owner {
			s.await(r, owner, now)
			if c, shared := closingOf(owner); shared {
				s.shut(r, c, now)
			}
		} else {
			s.dequeue(r.Queue, r.Inbox, now)
		}
	}
	mine := taken && owner == r.Owner
	if taken && !mine {
		return s.held(r, owner, now)
	}
	if !taken {
		s.set(r.Lock, r.Owner, r.TTL, now)
	}
	reply := ok
	if r.Fence != "" {
		reply = s.raise(r, mine, floor, now)
	}
	reply.Again = mine && reply.Verdict == wire.OK
	return reply
}

// await queues the inbox of a request that is refused because of that owner.
func (s *state) await(r *wire.Request, owner string, now time.Time) {
	if r.Queue == "" || r.Inbox == "" {
		return
	}
	s.enqueue(r, now)
	if strings.HasPrefix(owner, reservedPrefix) && s.waiting(r.Queue, now).first() == r.Inbox {
		s.publish(r.Inbox, wire.Notice{Lock: r.Lock, Next: max(ceilMillis(s.life(r.Lock, now)), time.Millisecond)})
	}
}

// held is the refusal of what another owner has, or a waiter is to have.
func (s *state) held(r *wire.Request, owner string, now time.Time) wire.Reply {
	reply := s.owned(wire.Held, r.Lock, owner, now)
	if r.Verb != wire.Acquire {
		return reply
	}
	reserved := strings.HasPrefix(owner, reservedPrefix)
	_, ours := label(owner)
	c, shared := closingOf(owner)
	reply.Foreign = !ours && !reserved && !shared
	if rest := c.lasts(now); shared && r.Readers != "" && (reply.TTL < 0 || rest < reply.TTL) {
		reply.TTL = rest
	}
	switch {
	case reserved:
		reply.TTL = 0
	case reply.TTL == 0:
		reply.TTL = time.Millisecond // at most
	}
	return reply
}

// label returns the label in an owner id, and whether it is one of this library's.
func label(owner string) (text string, ours bool) {
	digits, text, _ := strings.Cut(owner, ":")
	return text, len(owner) <= maxOwner && len(digits) == ownerDigits && strings.Trim(digits, hexDigits) == ""
}

// owned returns a reply about the owner of a lock.
func (s *state) owned(v wire.Verdict, lock, owner string, now time.Time) wire.Reply {
	reply := wire.Reply{Verdict: v, TTL: s.life(lock, now)}
	if _, shared := closingOf(owner); shared {
		reply.Fingerprint = fingerprint(wire.SharedValue)
		owner, _ = s.readers[wire.ReadersKey(lock)].last()
	} else {
		reply.Fingerprint = fingerprint(owner)
	}
	if text, ours := label(owner); ours {
		reply.Holder = strings.ReplaceAll(text, "\n", " ")
	}
	return reply
}

// fingerprint tells owners apart without revealing the owner id.
func fingerprint(owner string) string { return digest(owner)[:fingerprintLen] }

func digest(owner string) string {
	sum := sha1.Sum([]byte(owner)) //nolint:gosec // see above
	return hex.EncodeToString(sum[:])
}

// raise raises the fencing register for an owner that has the lock now. mine says that it had the
// lock before.
func (s *state) raise(r *wire.Request, mine bool, floor uint64, now time.Time) wire.Reply {
	text, found := s.get(r.Fence, now)
	old, valid := token(text)
	switch {
	case found && !valid:
		delete(s.values, r.Lock)
		return badFence
	case found && mine:
		return wire.Reply{Verdict: wire.OK, Token: old}
	}
	next, clock := r.Token, micros(now)
	if !found || next > old && next-old > uint64(2*r.Retention.Microseconds()) {
		switch {
		case next+uint64(slack.Microseconds()) < clock:
			next = clock
		case next > clock+uint64(reach.Microseconds()):
			next = clock + uint64(reach.Microseconds())
		}
	}
	next = max(next, old+1)
	if r.Guard > 0 {
		next = max(next, floor+1)
	}
	s.set(r.Fence, strconv.FormatUint(next, 10), r.Retention, now)
	return wire.Reply{Verdict: wire.OK, Token: next}
}

func (s *state) repair(r *wire.Request, now time.Time) wire.Reply {
	if wait, _ := s.quarantine(r, now); wait > 0 {
		return quarantined(wait)
	}
	if !s.owns(r, now) {
		return gone
	}
	text, found := s.get(r.Fence, now)
	if !found {
		return wire.Reply{Verdict: wire.Raised}
	}
	switch f, valid := token(text); {
	case !valid:
		return badFence
	case f > r.Token:
		return wire.Reply{Verdict: wire.Raised}
	}
	s.set(r.Fence, strconv.FormatUint(r.Token, 10), r.Retention, now)
	return ok
}

func (s *state) extend(r *wire.Request, now time.Time) wire.Reply {
	if !s.owns(r, now) {
		return gone
	}
	s.prolong(r, now)
	return ok
}

func (s *state) rejoin(r *wire.Request, now time.Time) wire.Reply {
	owner, taken := s.get(r.Lock, now)
	if wait, _ := s.quarantine(r, now); wait > 0 && owner != r.Owner {
		return quarantined(wait)
	}
	switch {
	case taken && owner != r.Owner:
		return s.held(r, owner, now)
	case taken:
		s.prolong(r, now)
	default:
		s.set(r.Lock, r.Owner, r.TTL, now)
		s.keep(r, now)
	}
	return ok
}

// prolong gives the lock a full life again unless it has more.
func (s *state) prolong(r *wire.Request, now time.Time) {
	if r.Readers != "" {
		s.enter(r, true, now)
	} else if life := s.life(r.Lock, now); life >= 0 && life < r.TTL {
		s.set(r.Lock, r.Owner, r.TTL, now)
	}
	s.keep(r, now)
}

// keep keeps the fencing register alive, and at the request's token at least.
func (s *state) keep(r *wire.Request, now time.Time) {
	if r.Fence == "" {
		return
	}
	text, found := s.get(r.Fence, now)
	f, valid := token(text)
	switch {
	case !found:
		f = uint64(max(now.UnixMicro(), 0))
	case !valid:
		return
	}
	s.set(r.Fence, strconv.FormatUint(max(f, r.Token), 10), r.Retention, now)
}

func (s *state) release(r *wire.Request, now time.Time) wire.Reply {
	owner, _ := s.get(r.Lock, now)
	switch {
	case owner != r.Owner:
		if r.Queue != "" && r.Inbox != "" && owner == reservedPrefix+r.Inbox {
			s.pass(r, now)
		}
		return gone
	case r.TTL > 0:
		s.disown(r, now)
	default:
		s.free(r, now)
	}
	return ok
}

// free gives up a lock that nobody has any more.
func (s *state) free(r *wire.Request, now time.Time) {
	if r.Queue != "" {
		s.pass(r, now)
	} else {
		delete(s.values, r.Lock)
	}
}

// disown leaves the lock to live for a while, as nobody's, and tells the first two waiters that
// listen.
func (s *state) disown(r *wire.Request, now time.Time) {
	s.set(r.Lock, nobodys(r.Owner), r.TTL, now)
	s.announce(r, r.TTL, now)
}

// nobodys returns another owner id with the same label.
func nobodys(owner string) string {
	return digest(owner)[:ownerDigits] + owner[min(ownerDigits, len(owner)):]
}

// announce tells the first two waiters that listen after what time the lock ends.
func (s *state) announce(r *wire.Request, after time.Duration, now time.Time) {
	told := 0
	for i, inbox := range s.waiting(r.Queue, now).order() {
		if i < 16 && told < 2 && s.publish(inbox, wire.Notice{Lock: r.Lock, Next: after}) > 0 {
			told++
			after += r.Reserve
		}
	}
}

func (s *state) leave(r *wire.Request, now time.Time) wire.Reply {
	ticket, waits := s.waiting(r.Queue, now).tickets[r.Inbox]
	if waits && r.Ticket != 0 && ticket == int64(r.Ticket) {
		s.dequeue(r.Queue, r.Inbox, now)
	}
	if r.Slots == nil {
		s.passOwn(r, now)
		s.reopen(r, now)
	} else {
		for i := range r.Slots.Keys {
			s.passOwn(r.ForSlot(i), now)
		}
	}
	return ok
}

// passOwn passes on a lock that is reserved for the inbox.
func (s *state) passOwn(r *wire.Request, now time.Time) {
	if owner, _ := s.get(r.Lock, now); owner == reservedPrefix+r.Inbox {
		s.pass(r, now)
	}
}

func (s *state) inspect(r *wire.Request, now time.Time) wire.Reply {
	owner, taken := s.get(r.Lock, now)
	reply := ok
	if taken && !strings.HasPrefix(owner, reservedPrefix) {
		reply = s.owned(wire.OK, r.Lock, owner, now)
	}
	if _, shared := closingOf(owner); shared {
		reply.Readers = s.readers[r.Readers].list(now)
	}
	text, _ := s.get(r.Fence, now)
	reply.Token, _ = token(text)
	return reply
}

// waiting returns the queue of that key, or an empty one.
func (s *state) waiting(key string, now time.Time) queue {
	q, found := s.queues[key]
	if !found || !now.Before(q.ends) {
		return queue{tickets: make(map[string]int64)}
	}
	return q
}

// placeOf returns the place in the queue of a waiter with that request: its ticket or, if that is
// of a clock that is wrong, the node's own time.
func placeOf(r *wire.Request, now time.Time) int64 {
	since, ticket := now.UnixMicro()-r.Age.Microseconds(), int64(r.Ticket)
	if d := ticket - since; max(d, -d) <= ticketSlack.Microseconds() {
		return ticket
	}
	return since
}

func (s *state) enqueue(r *wire.Request, now time.Time) {
	q := s.waiting(r.Queue, now)
	q.tickets[r.Inbox] = placeOf(r, now)
	q.ends = now.Add(queueLife)
	s.queues[r.Queue] = q
}

func (s *state) dequeue(key, inbox string, now time.Time) {
	q := s.waiting(key, now)
	if delete(q.tickets, inbox); len(q.tickets) == 0 {
		delete(s.queues, key)
	}
}

// first returns the inbox that has waited longest, or "".
func (q queue) first() string {
	if len(q.tickets) == 0 {
		return ""
	}
	return slices.MinFunc(slices.Collect(maps.Keys(q.tickets)), q.compare)
}

// order returns the inboxes that wait, the one that has waited longest first.
func (q queue) order() []string { return slices.SortedFunc(maps.Keys(q.tickets), q.compare) }

func (q queue) compare(a, b string) int {
	return cmp.Or(cmp.Compare(q.tickets[a], q.tickets[b]), cmp.Compare(a, b))
}

// pass passes the free lock on to the first waiter that listens, or deletes it.
func (s *state) pass(r *wire.Request, now time.Time) {
	for {
		q := s.waiting(r.Queue, now)
		first := q.first()
		if first == "" {
			delete(s.values, r.Lock)
			return
		}
		s.dequeue(r.Queue, first, now)
		if first == r.Inbox || s.publish(first, wire.Notice{Lock: r.Lock}) == 0 {
			continue
		}
		reserve := max(r.Reserve, needed(first))
		s.set(r.Lock, reservedPrefix+first, reserve, now)
		if second := q.first(); second != "" && !r.Quiet && r.Verb == wire.Release {
			s.publish(second, wire.Notice{Lock: r.Lock, Next: reserve})
		}
		return
	}
}

// needed is for how long a lock must be reserved at least for the inbox, which says so where it is
// far away.
func needed(inbox string) time.Duration {
	ms, err := strconv.ParseUint(inbox[strings.LastIndexByte(inbox, '.')+1:], 10, 31)
	if err != nil || !strings.Contains(inbox, ".") {
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

// token reads a fencing register. What is too large to be raised is one all the same to those who
// only read it.
func token(text string) (n uint64, valid bool) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || len(text) > maxDigits {
		return 0, false
	}
	return n, n < maxToken
}

func micros(t time.Time) uint64 { return uint64(max(t.UnixMicro(), 0)) }

func ceilMillis(d time.Duration) time.Duration {
	return (d + time.Millisecond - 1).Truncate(time.Millisecond)
}
