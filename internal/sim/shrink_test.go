package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// mostTries bounds how often one schedule is run.
const mostTries = 1000

// report prints the failure, and the line that repeats it with as few faults as possible. The seed
// does not decide on everything: the runtime orders the goroutines. So many schedules fail only
// sometimes, and one pass says little. The rate at which the whole schedule fails says how often
// one with fewer faults must be tried.
func report(t *testing.T, w *world) {
	t.Helper()
	faults := kept()
	if faults == nil {
		for i := range w.faults {
			faults = append(faults, i)
		}
	}
	oracle, whole, last := w.violations[0].oracle, len(faults), w
	again := func(faults []int) func() bool {
		try := -1
		return func() bool {
			try++
			v := run(t, w.regime, w.seed, try, faults)
			same := slices.ContainsFunc(v.violations, func(v violation) bool { return v.oracle == oracle })
			if same {
				last = v
			}
			return same
		}
	}
	failed, ran := sample(5, mostTries, again(faults))
	if tries := min(enough(failed, ran), mostTries); failed > 0 {
		faults = shrink(faults, func(fewer []int) bool {
			// twice, because it may be so rare that nobody can repeat it
			failed, _ := sample(2, tries, again(fewer))
			if failed == 2 {
				w = last
			}
			return failed == 2
		})
		failed, ran = sample(5, mostTries, again(faults))
	}
	list := "none"
	if len(faults) > 0 {
		list = strings.Trim(strings.Join(strings.Fields(fmt.Sprint(faults)), ","), "[]")
	}
	for _, v := range w.violations {
		t.Error(v.seen)
	}
	t.Logf("%d of %d faults, with which it failed %d times in %d: %v", len(faults), whole, failed, ran, w.faults)
	t.Logf("show it again: go test ./internal/sim -run TestSimulation -sim.regime=%s -sim.seed=%d -sim.count=1 -sim.faults=%s -sim.tries=%d",
		w.regime.name, w.seed, list, enough(failed, ran))
}

// sample runs something that fails by chance until it has failed so many times, but at most most
// times.
func sample(times, most int, fails func() bool) (failed, ran int) {
	for ; failed < times && ran < most; ran++ {
		if fails() {
			failed++
		}
	}
	return failed, ran
}

// enough returns the number of runs in which it almost certainly fails at least once, if it failed
// that often.
func enough(failed, ran int) int { return max(5*ran/max(failed, 1), 50) }

// shrink drops faults that are not needed for the failure: all at once if possible, then halves,
// then smaller pieces, until none of the remaining ones can be left out.
func shrink(items []int, fails func([]int) bool) []int {
	for size := len(items); size > 0; {
		before := len(items)
		for at := 0; at < len(items); {
			fewer := slices.Delete(slices.Clone(items), at, min(at+size, len(items)))
			if fails(fewer) {
				items = fewer
			} else {
				at += size
			}
		}
		if len(items) == before {
			size /= 2
		}
	}
	return items
}

func TestShrinkingLeavesWhatIsNeeded(t *testing.T) {
	t.Parallel()
	has := func(items []int, wanted ...int) bool {
		return !slices.ContainsFunc(wanted, func(i int) bool { return !slices.Contains(items, i) })
	}
	for _, tt := range []struct {
		name  string
		fails func([]int) bool
		left  []int
	}{
		{"nothing", func([]int) bool { return true }, []int{}},
		{"one", func(items []int) bool { return has(items, 4) }, []int{4}},
		{"a pair far apart", func(items []int) bool { return has(items, 0, 6) }, []int{0, 6}},
		{"either of two pairs", func(items []int) bool { return has(items, 0, 1) || has(items, 5, 6) }, []int{5, 6}},
		{"all", func(items []int) bool { return len(items) == 7 }, []int{0, 1, 2, 3, 4, 5, 6}},
		{"two that can only go together", func(items []int) bool { return has(items, 6) && has(items, 3) == has(items, 4) }, []int{6}},
		{"one that can go once a later one has", func(items []int) bool { return has(items, 2) && (has(items, 0) || !has(items, 1)) }, []int{2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			all := []int{0, 1, 2, 3, 4, 5, 6}
			if left := shrink(all, tt.fails); !slices.Equal(left, tt.left) {
				t.Errorf("left are %v, want %v", left, tt.left)
			}
			if !slices.Equal(all, []int{0, 1, 2, 3, 4, 5, 6}) {
				t.Errorf("the items themselves were changed: %v", all)
			}
		})
	}
	if left := shrink(nil, func([]int) bool { return true }); len(left) > 0 {
		t.Errorf("of nothing %v was left", left)
	}
}
