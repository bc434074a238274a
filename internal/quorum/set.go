package quorum

import (
	"slices"
	"time"
)

// A Set is a set of nodes, which knows whether they are a majority.
type Set struct {
	needed int // for a majority
	count  int
	has    []bool // by node
}

// NewSet returns an empty set of that many nodes, of which needed are a majority.
func NewSet(nodes, needed int) Set { return Set{needed: needed, has: make([]bool, nodes)} }

// Add adds a node. It returns false if the node was there.
func (s *Set) Add(node int) bool {
	if s.has[node] {
		return false
	}
	s.has[node] = true
	s.count++
	return true
}

// Remove removes a node. It returns false if the node was not there.
func (s *Set) Remove(node int) bool {
	if !s.has[node] {
		return false
	}
	s.has[node] = false
	s.count--
	return true
}

// Clear removes all nodes.
func (s *Set) Clear() {
	clear(s.has)
	s.count = 0
}

// Has reports whether the node is in the set.
func (s *Set) Has(node int) bool { return s.has[node] }

// Len returns how many nodes are in the set.
func (s *Set) Len() int { return s.count }

// Majority reports whether they are a majority.
func (s *Set) Majority() bool { return s.count >= s.needed }

// Lasts returns how long a majority of needed nodes lasts, given how long each node lasts. It
// returns false if the nodes are no majority.
func Lasts(each []time.Duration, needed int) (time.Duration, bool) {
	if len(each) < needed {
		return 0, false
	}
	sorted := slices.Sorted(slices.Values(each))
	return sorted[len(sorted)-needed], true
}
