package conformance

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/go-redlock/redlock/internal/wire"
)

const (
	owners  = 4
	inboxes = 4
	locks   = 4
)

// A step is a request, or a value that another program sets.
type step struct {
	verb      wire.Verb
	lock      int
	owner     int
	inbox     int  // -1: none
	mute      bool // a release does not notify it
	quiet     bool // a release does not notify the second waiter either
	plain     bool
	token     uint64
	ttl       time.Duration
	guard     time.Duration
	age       time.Duration
	ticket    uint64
	pause     time.Duration
	set       bool
	fence     bool // set the register, not the lock
	value     string
	retention time.Duration
	joined    bool // it is sent together with the next, if that is about another lock
	// the lock is a slot of a semaphore, which has as many slots as there are locks
	slot bool
	any  bool // about any slot, if the verb has such a form
	only bool // an acquire of this slot only

	reader bool // the request is a reader's
	polls  bool // an acquire without an inbox waits
}

func (s step) text() string {
	if s.set {
		return fmt.Sprintf("set lock=%d fence=%v %q for %v", s.lock, s.fence, s.value, s.ttl)
	}
	return fmt.Sprintf("%v lock=%d owner=%d inbox=%d mute=%v quiet=%v plain=%v token=%d ttl=%v guard=%v age=%v ticket=%d pause=%v joined=%v slot=%v any=%v only=%v reader=%v polls=%v",
		s.verb, s.lock, s.owner, s.inbox, s.mute, s.quiet, s.plain, s.token, s.ttl, s.guard, s.age, s.ticket, s.pause, s.joined, s.slot, s.any, s.only, s.reader, s.polls)
}

// inbox returns the inbox of a waiter. One of the waiters is far away.
func inbox(prefix string, i int) string {
	if i == 1 {
		return fmt.Sprintf("%s%sinbox%d.%d", wire.InboxPrefix, prefix, i, (40 * time.Second).Milliseconds())
	}
	return fmt.Sprintf("%s%sinbox%d", wire.InboxPrefix, prefix, i)
}

func (s step) keys(prefix string) wire.KeySet {
	if s.slot {
		return slots(prefix)[s.lock]
	}
	keys, err := wire.Keys(prefix, fmt.Sprintf("lock%d", s.lock))
	if err != nil {
		panic(err)
	}
	return keys
}

// slots returns the keys of the semaphore.
func slots(prefix string) []wire.KeySet {
	keys, err := wire.SlotKeys(prefix, "semaphore", locks)
	if err != nil {
		panic(err)
	}
	return keys
}

func (s step) key(prefix string) string {
	if s.fence {
		return s.keys(prefix).Fence
	}
	return s.keys(prefix).Lock
}

// request makes the request, with the keys of one run.
func (s step) request(prefix string) *wire.Request {
	keys := s.keys(prefix)
	r := &wire.Request{Verb: s.verb, Lock: keys.Lock, Token: s.token, TTL: s.ttl, Guard: s.guard, Reserve: 20 * time.Second}
	r.Owner = strings.Repeat(strconv.Itoa(s.owner), 32) + []string{"", ":host/1", "", ":b"}[s.owner]
	if !s.plain || s.verb == wire.Repair || s.verb == wire.Inspect {
		r.Fence, r.Retention = keys.Fence, s.retention
	}
	if s.inbox >= 0 {
		r.Queue, r.Inbox, r.Ticket, r.Age = keys.Queue, inbox(prefix, s.inbox), s.ticket, s.age
	}
	if s.reader {
		r.Readers, r.Inbox = wire.ReadersKey(keys.Lock), readersInbox(r.Inbox)
	}
	if s.polls && s.verb == wire.Acquire {
		r.Queue, r.Inbox = keys.Queue, ""
	}
	if s.mute && s.verb == wire.Release {
		r.Inbox = ""
	}
	r.Quiet = s.quiet && r.TTL == 0 && (r.Inbox != "" || s.slot)
	if s.anySlot() {
		r.Slots = &wire.Slots{Keys: slots(prefix), Begin: s.lock, Only: s.only}
		if r.Lock = ""; s.verb == wire.Release {
			r.Queue = keys.Queue
		}
	}
	return r
}

func readersInbox(inbox string) string {
	if inbox == "" {
		return ""
	}
	return wire.ReadersInbox(inbox)
}

// anySlot reports whether the request concerns any slot.
func (s step) anySlot() bool {
	return s.slot && s.any && !s.set && (s.verb == wire.Acquire || s.verb == wire.Release || s.verb == wire.Leave)
}

// together returns how many of the steps, from the first, are sent together. Requests for one lock,
// or for the whole server, must be sent separately, because they could be carried out in another
// order: releases go first, and a command that finds that a script is needed is sent again.
func together(steps []step) int {
	seen := make(map[int]bool)
	for i, s := range steps {
		if s.set || s.slot || s.pause > 0 || s.verb == wire.Bootstrap || s.verb == wire.Leave || seen[s.lock] {
			return max(i, 1)
		}
		if seen[s.lock] = true; !s.joined {
			return i + 1
		}
	}
	return len(steps)
}

// crowd makes steps of readers and writers that wait for one lock, which random ones seldom do.
func crowd() []step {
	now := time.Now()
	ask := func(v wire.Verb, owner, inbox int, age time.Duration, reader bool) step {
		return step{
			verb: v, owner: owner, inbox: inbox, reader: reader, age: age, ticket: uint64(now.Add(-age).UnixMicro()),
			token: uint64(now.UnixMicro()), ttl: time.Minute, retention: time.Hour,
		}
	}
	const alone = -1
	reads := func(owner, inbox int, age time.Duration) step { return ask(wire.Acquire, owner, inbox, age, true) }
	writes := func(owner, inbox int, age time.Duration) step { return ask(wire.Acquire, owner, inbox, age, false) }
	leaves := func(inbox int, age time.Duration) step { return ask(wire.Leave, 0, inbox, age, false) }
	at1 := func(s step) step { s.lock = 1; return s }
	frees := func(owner, inbox int) step {
		s := ask(wire.Release, owner, inbox, 0, true)
		s.ttl = 0
		return s
	}
	mute := func(s step) step { s.mute = true; return s }
	polls := func(owner int, age time.Duration) step {
		s := at1(writes(owner, 3, age)) // request takes the inbox away
		s.polls = true
		return s
	}
	return []step{
		reads(0, alone, 0),
		// the first writer keeps readers out, and the second one changes nothing
		writes(1, 0, 9*time.Second), writes(2, 2, 3*time.Second), reads(3, 3, 6*time.Second),
		leaves(2, 3*time.Second), reads(3, 3, 6*time.Second), writes(2, 2, 3*time.Second),
		// no writer does
		leaves(0, 9*time.Second), reads(1, alone, 0),
		// the second writer keeps out those that came after it
		writes(2, 2, 3*time.Second), reads(2, alone, 0), reads(3, 3, 6*time.Second),
		// so does a waiter with the same ticket, whatever its place is now
		{
			set: true, ttl: time.Minute,
			value: fmt.Sprintf("%s%d.1.%d", wire.SharedValue, now.Add(5*time.Second).UnixMilli(), now.Add(-9*time.Second).UnixMicro()),
		},
		writes(1, 0, 9*time.Second), reads(2, alone, 0),
		// the last reader leaves the lock to a writer that polls
		at1(reads(0, alone, 0)), polls(1, 3*time.Second), at1(reads(2, 2, time.Second)), at1(frees(0, 3)), mute(at1(frees(3, 3))),
		at1(reads(2, 2, time.Second)), at1(reads(3, alone, 0)), polls(1, 3*time.Second),
	}
}

// sequence makes the steps of one comparison.
func sequence(random *rand.Rand, guard bool) []step {
	steps := make([]step, 4+random.IntN(36))
	guarded := guard && random.IntN(4) == 0
	now := uint64(time.Now().UnixMicro())
	token := now
	places := make(map[[3]int]uint64) // tickets by lock, inbox, and whether it is a reader's
	semaphore, sharing := random.IntN(3) == 0, random.IntN(2) == 0
	for i := range steps {
		s := step{
			slot: semaphore && random.IntN(4) > 0, any: random.IntN(3) > 0, only: random.IntN(3) == 0,
			verb:  []wire.Verb{1, 1, 1, 1, 2, 3, 3, 4, 5, 5, 5, 6, 7, 8, 9}[random.IntN(15)],
			lock:  random.IntN(locks),
			owner: random.IntN(owners),
			plain: random.IntN(4) == 0,
			ttl:   []time.Duration{10 * time.Second, 30 * time.Second, 100 * time.Second}[random.IntN(3)],
			inbox: random.IntN(inboxes+2) - 2, mute: random.IntN(2) == 0, quiet: random.IntN(2) == 0, retention: time.Hour, joined: random.IntN(2) == 0,
		}
		if sharing && !s.slot { // so that more readers meet
			s.lock %= 2
		}
		s.inbox = max(s.inbox, -1)
		s.reader, s.polls = sharing && !s.slot && random.IntN(2) == 0, sharing && !s.slot && random.IntN(8) == 0
		if s.verb == wire.Leave {
			s.inbox = max(s.inbox, 0)
		}
		token += uint64(random.IntN(3))
		s.token = token
		hour := uint64(time.Hour.Microseconds())
		switch random.IntN(10) { // the clocks of others
		case 0:
			s.token = now - hour
		case 1:
			s.token = now + hour
		case 2:
			s.token = now + 3*hour
		case 3:
			s.token = 1
		}
		s.age = time.Duration(random.IntN(30)) * time.Second
		s.ticket = now - uint64(s.age.Microseconds())
		if random.IntN(5) == 0 {
			s.ticket += hour
		}
		place := [3]int{s.lock, s.inbox, 0}
		if s.reader {
			place[2] = 1
		}
		switch s.verb {
		case wire.Acquire:
			places[place] = s.ticket
		case wire.Leave: // its place, or none, or another
			s.ticket = []uint64{places[place], places[place], 0, s.ticket}[random.IntN(4)]
		default:
		}
		if s.verb == wire.Release {
			s.ttl = []time.Duration{0, 0, 0, 5 * time.Second}[random.IntN(4)]
		}
		// miniredis does not accept a declared script
		if s.verb == wire.Bootstrap && !guarded || s.verb == wire.Check && !guard {
			s.verb = wire.Inspect
		}
		if s.reader && s.ttl > 0 { // so its time of sending does not decide which lasts longest
			s.ttl += time.Duration(s.owner) * time.Second
		}
		if guarded {
			s.guard = 100 * time.Second
		}
		switch random.IntN(60) {
		case 0:
			s.ttl, s.pause = 30*time.Millisecond, 60*time.Millisecond // it expires
		case 1, 2:
			s.set, s.fence = true, random.IntN(2) == 0
			s.value = []string{"foreign", "", "12", "007", "99999999999999999", "-1", "9007194959773696", strings.Repeat("f", 32), strings.Repeat("f", 32) + ":" + strings.Repeat("x", 1100), strings.Repeat("f", 32) + ":two\nlines", wire.SharedValue, wire.SharedValue + "5", wire.SharedValue + "x"}[random.IntN(13)]
			s.ttl = []time.Duration{0, 20 * time.Second}[random.IntN(2)]
		}
		steps[i] = s
	}
	return steps
}
