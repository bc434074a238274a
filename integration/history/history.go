// Package history judges the recorded leases of locks and of semaphores: whether leases of one lock
// or of one slot overlapped, whether a semaphore had too many, whether tokens were unique and
// rising, and whether there is an order of all events that is possible for a single lock (porcupine
// finds one, or draws where none exists).
package history

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/anishathalye/porcupine"
)

// Unknown is the time of an end that is not known.
const Unknown = math.MaxInt64

// A Lease is one lease as its holder saw it. All times are nanoseconds of one clock that all
// holders read.
type Lease struct {
	Holder  int    // which process
	Name    string // of the lock, or of the semaphore
	Slot    int    // of the semaphore
	Permits int    // that the semaphore has; 0: it is a lock
	Shared  bool   // with other shared leases of the lock
	Token   uint64 // 0 without fencing

	Called int64 // Lock was called
	Locked int64 // and returned
	// when the holder released or lost it: just before Unlock was called, or at the deadline;
	// Unknown if no end was seen
	Ended int64
	Freed int64 // when a majority had released it; Unknown if nobody knows
}

// What identifies the lock that a lease is of: each slot of a semaphore is a lock of its own.
type lock struct {
	name   string
	permit bool
	slot   int
}

func (l *Lease) lock() lock { return lock{l.Name, l.Permits > 0, l.Slot} }

// semaphore is lock for all slots together.
func (l *Lease) semaphore() lock { return lock{l.Name, l.Permits > 0, 0} }

// String returns the lock's name, and the slot's number.
func (l lock) String() string {
	if !l.permit {
		return strconv.Quote(l.name)
	}
	return fmt.Sprintf("%q, slot %d", l.name, l.slot)
}

// A Verdict lists what is wrong with a history.
type Verdict struct {
	Overlaps []string // two leases of one lock, or of one slot, at one time, not both shared
	Crowds   []string // more leases of a semaphore at one time than it has permits
	// tokens that repeat, or are not above all that were returned before their Lock was called; of
	// shared leases, tokens below one of a lease that was not shared
	Tokens  []string
	Illegal []porcupine.LinearizationInfo
}

// Wrong returns what is wrong, in words.
func (v *Verdict) Wrong() []string {
	wrong := slices.Concat(v.Overlaps, v.Crowds, v.Tokens)
	if len(v.Illegal) > 0 {
		wrong = append(wrong, "no single lock could have had this history")
	}
	return wrong
}

// Check judges a history.
func Check(leases []Lease) Verdict {
	var v Verdict
	for _, of := range sortedBy(leases, (*Lease).lock) {
		v.Overlaps = append(v.Overlaps, overlaps(of)...)
		v.Tokens = append(v.Tokens, disorder(of)...)
		v.Illegal = append(v.Illegal, illegal(of)...)
	}
	for _, of := range sortedBy(leases, (*Lease).semaphore) {
		v.Crowds = append(v.Crowds, crowds(of)...)
	}
	return v
}

// Draw writes the first history that is impossible for a single lock to an HTML file.
func (v *Verdict) Draw(path string) error {
	if len(v.Illegal) == 0 {
		return nil
	}
	return porcupine.VisualizePath(model, v.Illegal[0], path)
}

// sortedBy sorts the leases of each lock by their beginning.
func sortedBy(leases []Lease, by func(*Lease) lock) map[lock][]Lease {
	locks := make(map[lock][]Lease)
	for _, l := range leases {
		locks[by(&l)] = append(locks[by(&l)], l)
	}
	for _, of := range locks {
		slices.SortFunc(of, func(a, b Lease) int { return cmp.Compare(a.Locked, b.Locked) })
	}
	return locks
}

// overlaps finds leases that began before an earlier one had ended, unless both are shared.
func overlaps(leases []Lease) (found []string) {
	longest := make(map[bool]Lease) // by whether it is shared: the lease that ends last so far
	for _, b := range leases {
		for shared, a := range longest {
			if (!shared || !b.Shared) && b.Locked < a.Ended && b.Locked < b.Ended {
				found = append(found, fmt.Sprintf("%v: process %d had it (token %d) when process %d got it (token %d), %v before the first ended",
					a.lock(), a.Holder, a.Token, b.Holder, b.Token, time.Duration(a.Ended-b.Locked)))
			}
		}
		if a, any := longest[b.Shared]; !any || b.Ended > a.Ended {
			longest[b.Shared] = b
		}
	}
	return found
}

// crowds finds leases of a semaphore that began while all its permits were held, or that have a
// slot which it does not have.
func crowds(leases []Lease) (found []string) {
	var held []Lease
	for _, l := range leases {
		if l.Permits == 0 {
			return nil // it is a lock
		}
		if l.Slot >= l.Permits {
			found = append(found, fmt.Sprintf("%v of %d", l.lock(), l.Permits))
		}
		held = slices.DeleteFunc(append(held, l), func(h Lease) bool { return h.Ended <= l.Locked })
		if len(held) > l.Permits {
			found = append(found, fmt.Sprintf("%q: process %d got a permit when %d of %d were held", l.Name, l.Holder, len(held)-1, l.Permits))
		}
	}
	return found
}

// disorder finds tokens that repeat, or are not greater than one that was returned before their own
// Lock began. Shared leases may have equal tokens, and that of the last lease that was not shared.
func disorder(leases []Lease) (found []string) {
	called := slices.SortedFunc(slices.Values(leases), func(a, b Lease) int { return cmp.Compare(a.Called, b.Called) })
	seen := make(map[uint64]bool)
	returned, greatest := 0, make(map[bool]uint64) // by whether it is that of a shared lease
	for _, l := range called {
		for ; returned < len(leases) && leases[returned].Locked < l.Called; returned++ {
			before := &leases[returned]
			greatest[before.Shared] = max(greatest[before.Shared], before.Token)
		}
		least := greatest[false]
		if !l.Shared {
			least = max(least, greatest[true]) + 1
		}
		switch {
		case l.Token == 0:
		case !l.Shared && seen[l.Token]:
			found = append(found, fmt.Sprintf("%v: token %d twice", l.lock(), l.Token))
		case l.Token < least:
			found = append(found, fmt.Sprintf("%v: token %d, at least %d after those that had been returned", l.lock(), l.Token, least))
		}
		seen[l.Token] = seen[l.Token] || !l.Shared
	}
	return found
}

// What a holder does with a lock.
type step struct {
	lease  int // which of the leases
	take   bool
	shared bool
	token  uint64
}

// state is the state of a lock.
type state struct {
	owner   int // the lease that has it alone, or -1
	readers int // leases that share it
	token   uint64
	read    uint64 // the greatest token of a shared lease
}

// model is one lock: it is taken when it is free, with a token above the last, and freed by its
// owner. It is shared when nobody has it alone, with the last token or a greater one. An attempt
// with an unknown outcome is left out, because it may always have done nothing that others could
// see. A lease with no known end may end at any time after its holder released it.
var model = porcupine.Model{
	Init: func() any { return state{owner: -1} },
	Step: func(s, input, _ any) (bool, any) {
		at, do := s.(state), input.(step) //nolint:forcetypeassert // they have these types
		switch {
		case do.take && do.shared:
			return at.owner == -1 && (do.token == 0 || do.token >= at.token),
				state{-1, at.readers + 1, at.token, max(at.read, do.token)}
		case do.take:
			return at.owner == -1 && at.readers == 0 && (do.token == 0 || do.token > max(at.token, at.read)),
				state{do.lease, 0, max(do.token, at.token), at.read}
		case do.shared:
			return at.readers > 0, state{at.owner, at.readers - 1, at.token, at.read}
		}
		return at.owner == do.lease, state{-1, at.readers, at.token, at.read}
	},
	DescribeOperation: func(input, _ any) string {
		do := input.(step) //nolint:forcetypeassert // it has this type
		verb := map[bool]string{false: "lock", true: "share"}[do.shared]
		if do.take {
			return fmt.Sprintf("%s: token %d", verb, do.token)
		}
		return "free: " + verb
	},
	DescribeState: func(s any) string { return fmt.Sprintf("%+v", s) },
}

const (
	// stretch is how many leases porcupine judges at a time. A possible history stays possible if
	// leases are left out, so stretches can be judged separately; overlaps and disorder compare
	// leases of different stretches.
	stretch = 1000
	// patience is how long porcupine may take for one stretch.
	patience = 30 * time.Second
)

// illegal finds stretches that are impossible for a single lock.
func illegal(leases []Lease) (found []porcupine.LinearizationInfo) {
	for some := range slices.Chunk(leases, stretch) {
		if result, info := porcupine.CheckOperationsVerbose(model, operations(some), patience); result == porcupine.Illegal {
			found = append(found, info)
		}
	}
	return found
}

func operations(leases []Lease) []porcupine.Operation {
	var all []porcupine.Operation
	for i, l := range leases {
		all = append(all, porcupine.Operation{
			ClientId: l.Holder, Input: step{i, true, l.Shared, l.Token}, Call: l.Called, Return: l.Locked,
		})
		if l.Ended != Unknown {
			all = append(all, porcupine.Operation{ClientId: l.Holder, Input: step{lease: i, shared: l.Shared}, Call: l.Ended, Return: l.Freed})
		}
	}
	return all
}
