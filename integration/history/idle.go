package history

import (
	"cmp"
	"slices"
	"time"
)

// A Want is a call that wanted a lock and did not get it. The times are those of a [Lease].
type Want struct {
	Name          string
	Called, Ended int64
}

// Idle returns the longest time, between two moments, for which nobody had a lock although somebody
// wanted it the whole time. A lease that is not known to have been released counts as held for
// another TTL.
func Idle(leases []Lease, wants []Want, ttl time.Duration, from, to int64) (longest time.Duration) {
	changes := make(map[string][]change)
	add := func(name string, begin, end int64, held, wanted int) {
		if begin, end = max(begin, from), min(end, to); begin < end {
			changes[name] = append(changes[name], change{begin, held, wanted}, change{end, -held, -wanted})
		}
	}
	for _, w := range wants {
		add(w.Name, w.Called, w.Ended, 0, 1)
	}
	for _, l := range leases {
		add(l.Name, l.Called, l.Locked, 0, 1)
		end := l.Ended
		if l.Freed == Unknown && end != Unknown {
			end += int64(ttl)
		}
		add(l.Name, l.Locked, end, 1, 0)
	}
	for _, of := range changes {
		longest = max(longest, idle(of))
	}
	return longest
}

// A change says how many more, or fewer, hold a lock and want it from a moment on.
type change struct {
	at           int64
	held, wanted int
}

// idle returns the longest time for which nobody holds the lock and somebody wants it.
func idle(changes []change) (longest time.Duration) {
	slices.SortFunc(changes, func(a, b change) int { return cmp.Compare(a.at, b.at) })
	held, wanted, since := 0, 0, int64(-1)
	for i, c := range changes {
		held, wanted = held+c.held, wanted+c.wanted
		switch {
		case i+1 < len(changes) && changes[i+1].at == c.at: // more happens at this moment
		case held > 0 || wanted == 0:
			if since >= 0 {
				longest = max(longest, time.Duration(c.at-since))
			}
			since = -1
		case since < 0:
			since = c.at
		}
	}
	return longest
}
