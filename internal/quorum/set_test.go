package quorum_test

import (
	"testing"
	"time"

	"github.com/go-redlock/redlock/internal/quorum"
)

func TestASetIsAMajorityOnceEnoughNodesAreInIt(t *testing.T) {
	t.Parallel()
	s := quorum.NewSet(5, 3)
	want := func(after string, count int) {
		t.Helper()
		if s.Len() != count || s.Majority() != (count >= 3) {
			t.Errorf("after %s %d nodes are there, a majority: %v", after, s.Len(), s.Majority())
		}
	}
	want("nothing", 0)
	if !s.Add(0) || !s.Add(4) || s.Add(4) {
		t.Error("a node was added twice, or not at all")
	}
	want("two", 2)
	s.Add(2)
	want("three", 3)
	if !s.Remove(4) || s.Remove(4) || s.Remove(1) {
		t.Error("a node was removed twice, or not at all")
	}
	want("removing one", 2)
	s.Add(4)
	s.Clear()
	want("Clear", 0)
	if !s.Add(0) {
		t.Error("a node is left after Clear")
	}
}

func TestAMajorityLastsAsLongAsItsShortestMember(t *testing.T) {
	t.Parallel()
	if d, ok := quorum.Lasts([]time.Duration{4, 1, 3, 2, 5}, 3); d != 3 || !ok {
		t.Errorf("three of 1 to 5 last for %d, %v", d, ok)
	}
	if d, ok := quorum.Lasts([]time.Duration{9, 9}, 3); ok {
		t.Errorf("two of three needed last for %d", d)
	}
}
