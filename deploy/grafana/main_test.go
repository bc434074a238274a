package main

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/observertest"
	"github.com/go-redlock/redlock/redlockprom"
	"github.com/go-redlock/redlock/redlocktest"
)

func TestTheFileIsWhatTheProgramMakes(t *testing.T) {
	t.Parallel()
	want, err := render()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("redlock.json")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("redlock.json is another: go -C deploy/grafana run . >deploy/grafana/redlock.json")
	}
}

// A target is a query in the file.
type target struct{ panel, expr, legend string }

// targets returns the queries in the file, with a value for each of Grafana's variables.
func targets(t *testing.T) (all []target) {
	t.Helper()
	for _, p := range read(t).Panels {
		for _, q := range p.Targets {
			all = append(all, target{p.Title, fill(q.Expr), q.LegendFormat})
		}
	}
	if len(all) < 20 {
		t.Fatalf("only %d queries were found", len(all))
	}
	return all
}

// choices returns the queries of the variables, by name.
func choices(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, v := range read(t).Templating.List {
		if v.Type == "query" {
			all[v.Name] = fill(v.Query)
		}
	}
	if len(all) != 3 {
		t.Fatalf("%d variables were found", len(all))
	}
	return all
}

// A file is the part of redlock.json that the tests read.
type file struct {
	Panels []struct {
		Title   string
		Targets []struct{ Expr, LegendFormat string }
	}
	Templating struct {
		List []struct{ Name, Type, Query string }
	}
}

func read(t *testing.T) (f file) {
	t.Helper()
	text, err := os.ReadFile("redlock.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// fill replaces each variable by a value.
func fill(expr string) string {
	return strings.NewReplacer("$__rate_interval", "1m", "$__range", "1m", "$job", ".*", "$lock", ".*", "$node", ".*").Replace(expr)
}

// live makes every event happen that redlockprom counts.
func live(t *testing.T, metrics *redlockprom.Metrics) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { observertest.Live(t, metrics) })
	metrics.Observe(redlock.AttemptEvent{Name: "job:apart", Took: time.Millisecond, Repairs: 1})
	for _, node := range slices.Sorted(maps.Keys(seen(t, metrics, "redlock_node_requests_total", "node"))) {
		metrics.Observe(redlock.DroppedEvent{Node: node})
	}
	metrics.ObserveContext(t.Context(), redlock.AcquiredEvent{Name: "job:held"})
	metrics.Watch(waiting(t))
}

// waiting returns a Locker that has a release under way, to a master that is frozen. There is no
// other master, so that this one has granted the lock.
func waiting(t *testing.T) *redlock.Locker {
	t.Helper()
	q := redlocktest.New(t, 1)
	locks := q.Locker(redlock.WithTTL(time.Hour))
	lease, err := locks.Lock(t.Context(), "job:frozen")
	if err != nil {
		t.Fatal(err)
	}
	q.Freeze(0)
	t.Cleanup(func() { q.Thaw(0) })
	if err := lease.Unlock(t.Context()); !errors.Is(err, redlock.ErrNoQuorum) {
		t.Fatalf("a frozen master has confirmed a release: %v", err)
	}
	return locks
}

// seen returns the values of a label in a metric.
func seen(t *testing.T, c client.Collector, metric, label string) map[string]bool {
	t.Helper()
	values := make(map[string]bool)
	for _, f := range gather(t, c) {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == metric && l.GetName() == label {
					values[l.GetValue()] = true
				}
			}
		}
	}
	return values
}

// A query that names an unknown metric, label or value would always show an empty panel.
func TestTheQueriesNameWhatRedlockpromExports(t *testing.T) {
	t.Parallel()
	metrics := redlockprom.New(redlockprom.WithNames(observertest.Kind))
	live(t, metrics)
	exported := exportedLabels(t, metrics)
	used := make(map[string]bool)
	for _, q := range targets(t) {
		expr, err := parser.ParseExpr(q.expr)
		if err != nil {
			t.Errorf("%s: %v", q.panel, err)
			continue
		}
		var grouped []string
		parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
			switch n := n.(type) {
			case *parser.AggregateExpr:
				grouped = append(grouped, n.Grouping...)
			case *parser.VectorSelector:
				used[strings.TrimSuffix(n.Name, "_bucket")] = true
				checkSelector(t, q, n, exported)
				checkLabels(t, q, n, grouped, exported)
			}
			return nil
		})
		for _, m := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(q.legend, -1) {
			if !slices.Contains(grouped, m[1]) {
				t.Errorf("%s: the legend has %s, which the query has not: %s", q.panel, m[1], q.expr)
			}
		}
	}
	for metric := range exported {
		if !used[metric] {
			t.Errorf("no panel shows %s", metric)
		}
	}
}

// checkSelector checks that the metric has the labels and values that a selector matches.
func checkSelector(t *testing.T, q target, s *parser.VectorSelector, exported map[string]map[string][]string) {
	t.Helper()
	metric := strings.TrimSuffix(s.Name, "_bucket")
	has, found := exported[metric]
	if !found {
		t.Errorf("%s: there is no metric %s", q.panel, metric)
		return
	}
	for _, m := range s.LabelMatchers {
		switch {
		case m.Name == model.MetricNameLabel, m.Name == "job":
		case !slices.ContainsFunc(has[m.Name], m.Matches):
			t.Errorf("%s: %s has no %s", q.panel, metric, m)
		}
	}
}

// checkLabels checks that the metric has the labels by which a query groups.
func checkLabels(t *testing.T, q target, s *parser.VectorSelector, grouped []string, exported map[string]map[string][]string) {
	t.Helper()
	metric, bucket := strings.CutSuffix(s.Name, "_bucket")
	for _, label := range grouped {
		if _, found := exported[metric][label]; !found && (!bucket || label != model.BucketLabel) {
			t.Errorf("%s: %s has no label %s", q.panel, metric, label)
		}
	}
}

// exportedLabels returns the labels of each metric, with their values.
func exportedLabels(t *testing.T, c client.Collector) map[string]map[string][]string {
	t.Helper()
	all := make(map[string]map[string][]string)
	for _, f := range gather(t, c) {
		all[f.GetName()] = make(map[string][]string)
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				all[f.GetName()][l.GetName()] = append(all[f.GetName()][l.GetName()], l.GetValue())
			}
		}
	}
	return all
}
