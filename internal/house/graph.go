package house

import (
	"maps"
	"slices"
)

// Files returns the arrows between files: from a file that uses a declaration to the file that
// contains it.
func (u *Uses) Files() map[string]map[string]bool {
	between := make(map[string]map[string]bool)
	for from, tos := range u.arrows {
		if between[u.file[from]] == nil {
			between[u.file[from]] = make(map[string]bool)
		}
		for to := range tos {
			if u.file[to] != u.file[from] {
				between[u.file[from]][u.file[to]] = true
			}
		}
	}
	return between
}

// Declarations returns the arrows between types, functions, variables and constants.
func (u *Uses) Declarations() map[string]map[string]bool { return u.arrows }

// Back returns the arrows, as "from → to", that run back up in an order from the top to the bottom,
// and the names that are not in the order.
func Back(arrows map[string]map[string]bool, order []string) (back, unplaced []string) {
	for _, from := range slices.Sorted(maps.Keys(arrows)) {
		if !slices.Contains(order, from) {
			unplaced = append(unplaced, from)
			continue
		}
		for _, to := range slices.Sorted(maps.Keys(arrows[from])) {
			if slices.Index(order, to) < slices.Index(order, from) {
				back = append(back, from+" → "+to)
			}
		}
	}
	return back, unplaced
}

// Knots returns the sets of names in which each name reaches each other one, the greatest first; a
// single name is no knot. (Tarjan, Depth-first search and linear graph algorithms, 1972.)
func Knots(arrows map[string]map[string]bool) [][]string {
	s := search{arrows: arrows, index: make(map[string]int), low: make(map[string]int), on: make(map[string]bool)}
	for _, name := range slices.Sorted(maps.Keys(arrows)) {
		if s.index[name] == 0 {
			s.visit(name)
		}
	}
	slices.SortStableFunc(s.knots, func(a, b []string) int { return len(b) - len(a) })
	return s.knots
}

type search struct {
	arrows     map[string]map[string]bool
	index, low map[string]int
	on         map[string]bool
	stack      []string
	knots      [][]string
}

func (s *search) visit(v string) {
	s.index[v] = len(s.index) + 1
	s.low[v] = s.index[v]
	s.stack, s.on[v] = append(s.stack, v), true
	for _, w := range slices.Sorted(maps.Keys(s.arrows[v])) {
		if s.index[w] == 0 {
			s.visit(w)
			s.low[v] = min(s.low[v], s.low[w])
		} else if s.on[w] {
			s.low[v] = min(s.low[v], s.index[w])
		}
	}
	if s.low[v] != s.index[v] {
		return
	}
	at := slices.Index(s.stack, v)
	knot := slices.Sorted(slices.Values(s.stack[at:]))
	for _, w := range knot {
		s.on[w] = false
	}
	if s.stack = s.stack[:at]; len(knot) > 1 {
		s.knots = append(s.knots, knot)
	}
}
