// Package distance_test checks the goals for distant masters, with tolerances for a busy machine.
// The benchmarks measure the same.
package distance_test

import (
	"os"
	"slices"
	"testing"

	"github.com/go-redlock/redlock/internal/distance/marks"
)

func TestMain(m *testing.M) {
	marks.Child(map[string]marks.Open{marks.Redlock: marks.OpenRedlock})
	os.Exit(m.Run())
}

// Each scenario is measured once, for all of its marks. No scenario is skipped: without
// /dev/net/tun the test fails.
func TestMarksOverMastersThatAreSomeWayOff(t *testing.T) {
	for _, s := range marks.Scenarios {
		todo := slices.DeleteFunc(slices.Clone(marks.Marks), func(m marks.Mark) bool { return m.Scenario != s.Name || m.Rival != "" })
		t.Run(s.Name, func(t *testing.T) {
			r, err := marks.Run(t.Context(), s, marks.Redlock, 0.3)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: %v, packets %+v", s.Title, r.Figures, r.Packets)
			for _, m := range todo {
				v := m.Value(func(_, _ string) marks.Figures { return r.Figures })
				if v != v || !m.Reached(v, m.CI) {
					t.Errorf("%s: %.3g, not within %g", m.What, v, m.CI)
				}
			}
		})
	}
}
