package history

import (
	"cmp"
	"slices"
	"time"
)

// A Want is a call that wanted a lock, or a permit, and did not get it. The fields are those of a
// [Lease].
type Want struct {
	Name          string
	Permits       int
	Called, Ended int64
}

// Idle returns the longest time, between two moments, for which a lock or a permit was free and
// somebody wanted it the whole time. A lease that is not known to have been released counts as held
// for another TTL.
func Idle(leases []Lease, wants []Want, ttl time.Duration, from, to int64) (longest time.Duration) {
	type wanted struct {
		name    string
		permits int
	}
	changes := make(map[wanted][]change)
	add := func(of wanted, begin, end int64, held, wants int) {
		if begin, end = max(begin, from), min(end, to); begin < end {
			changes[of] = append(changes[of], change{begin, held, wants}, change{end, -held, -wants})
		}
	}
	for _, w := range wants {
		add(wanted{w.Name, w.Permits}, w.Called, w.Ended, 0, 1)
	}
	for _, l := range leases {
		of := wanted{l.Name, l.Permits}
		add(of, l.Called, l.Locked, 0, 1)
		end := l.Ended
		if l.Freed == Unknown && end != Unknown {
			end += int64(ttl)
		}
		add(of, l.Locked, end, 1, 0)
	}
	for of, all := range changes {
		longest = max(longest, idle(all, max(of.permits, 1)))
	}
	return longest
}

// A change says how many more, or fewer, hold a lock and want it from a moment on.
type change struct {
	at           int64
	held, wanted int
}

// idle returns the longest time for which fewer hold than may and somebody wants to.
func idle(changes []change, permits int) (longest time.Duration) {
	slices.SortFunc(changes, func(a, b change) int { return cmp.Compare(a.at, b.at) })
	held, wanted, since := 0, 0, int64(-1)
	for i, c := range changes {
		held, wanted = held+c.held, wanted+c.wanted
		switch {
		case i+1 < len(changes) && changes[i+1].at == c.at: // more happens at this moment
		case held >= permits || wanted == 0:
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
