package redlockprom_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/go-redlock/redlock/internal/observertest"
	"github.com/go-redlock/redlock/redlockprom"
)

var (
	query    = regexp.MustCompile(`\b(redlock_[a-z0-9_]+)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`([a-z_]+)\s*[=!]`)
	grouping = regexp.MustCompile(`by \(([^)]*)\)`)
)

// A rule that names an unknown metric or label would never fire.
func TestTheRulesNameMetricsAndLabelsThatThereAre(t *testing.T) {
	t.Parallel()
	rules, err := os.ReadFile("../deploy/prometheus/redlock.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		metrics := redlockprom.New(redlockprom.WithNames(observertest.Kind))
		observertest.Live(t, metrics)
		labels := labelsOf(t, metrics)
		queries := 0
		for line := range strings.Lines(string(rules)) {
			expr, ok := strings.CutPrefix(strings.TrimSpace(line), "expr: ")
			if !ok {
				continue
			}
			for _, q := range query.FindAllStringSubmatch(expr, -1) {
				queries++
				name := strings.TrimSuffix(q[1], "_bucket")
				has, found := labels[name]
				if !found {
					t.Errorf("there is no metric %s: %s", name, expr)
					continue
				}
				wanted := matcher.FindAllStringSubmatch(q[2], -1)
				for _, by := range grouping.FindAllStringSubmatch(expr, -1) {
					for label := range strings.SplitSeq(by[1], ", ") {
						wanted = append(wanted, []string{label, label})
					}
				}
				for _, w := range wanted {
					if label := w[1]; label != "job" && label != "le" && !slices.Contains(has, label) {
						t.Errorf("%s has no label %s: %s", name, label, expr)
					}
				}
			}
		}
		if queries < 5 {
			t.Errorf("only %d queries were found", queries)
		}
	})
}

// labelsOf returns the names of the labels of each metric.
func labelsOf(t *testing.T, c prometheus.Collector) map[string][]string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	labels := make(map[string][]string)
	for _, f := range families {
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels[f.GetName()] = append(labels[f.GetName()], l.GetName())
		}
	}
	return labels
}
