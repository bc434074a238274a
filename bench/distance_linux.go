package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	rs "github.com/go-redsync/redsync/v4"
	rspool "github.com/go-redsync/redsync/v4/redis"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"

	dist "github.com/go-redlock/redlock/internal/distance/marks"
)

//go:embed distance.md.tmpl
var distanceText string

// away are the contestants on distant masters.
var away = map[string]dist.Open{
	dist.Redlock: dist.OpenRedlock,
	redsync:      openRedsyncAway,
}

// distanceChild runs the clients' part of a scenario, if this process was started for that.
func distanceChild() { dist.Child(away) }

// A distanceRun holds the raw figures of all scenarios: by scenario, contestant and round.
type distanceRun struct {
	When    time.Time                              `json:"when"`
	Machine string                                 `json:"machine"`
	Figures map[string]map[string][]map[string]any `json:"figures"`
}

// benchDistance measures all scenarios, by turns, and writes the page.
func benchDistance(ctx context.Context, s settings) error {
	raw := filepath.Join(s.raw, "distance.json")
	if s.render {
		r, err := readDistance(raw)
		if err != nil {
			return err
		}
		return r.writePage(s.docs)
	}
	scale, rounds := 1.0, s.rounds
	if s.short {
		scale, rounds = 0.3, 1
	}
	r := distanceRun{When: time.Now().UTC().Truncate(time.Second), Machine: machine(), Figures: map[string]map[string][]map[string]any{}}
	for round := range rounds {
		for _, sc := range dist.Scenarios {
			if s.workloads != "" && !slices.Contains(strings.Split(s.workloads, ";"), sc.Name) {
				continue
			}
			for _, c := range slices.Sorted(maps.Keys(away)) {
				if sc.Alone && c != dist.Redlock {
					continue
				}
				result, err := dist.Run(ctx, sc, c, scale)
				if err != nil {
					return err
				}
				fmt.Fprintf(os.Stderr, "%s  %s, round %d: %s: %v\n", time.Now().Format(time.TimeOnly), sc.Name, round+1, c, result.Figures)
				r.add(sc.Name, c, result.Figures)
			}
		}
	}
	if err := r.write(os.Stdout, "| %s | %s | %s | %s |\n"); err != nil {
		return err
	}
	if s.short {
		return nil
	}
	if s.workloads != "" { // the others' figures stay
		before, err := readDistance(raw)
		if err != nil {
			return err
		}
		maps.Copy(before.Figures, r.Figures)
		r.Figures = before.Figures
	}
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("raw figures: %w", err)
	}
	return errors.Join(os.WriteFile(raw, append(text, '\n'), 0o644), r.writePage(s.docs)) //nolint:gosec // for all to read
}

// readDistance reads raw figures.
func readDistance(file string) (r distanceRun, err error) {
	text, err := os.ReadFile(file) //nolint:gosec // where we are told
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return r, fmt.Errorf("raw figures: %w", err)
	}
	return r, nil
}

// add keeps a figure in a form that JSON can express: infinity is written as a word.
func (r *distanceRun) add(scenario, contestant string, f dist.Figures) {
	one := map[string]any{}
	for name, v := range f {
		if one[name] = v; math.IsInf(v, 1) {
			one[name] = "never"
		}
	}
	if r.Figures[scenario] == nil {
		r.Figures[scenario] = map[string][]map[string]any{}
	}
	r.Figures[scenario][contestant] = append(r.Figures[scenario][contestant], one)
}

// figures returns the figures of one round of a scenario and a contestant.
func (r *distanceRun) figures(scenario, contestant string, round int) dist.Figures {
	f := dist.Figures{}
	if all := r.Figures[scenario][contestant]; round < len(all) {
		for name, v := range all[round] {
			if n, ok := v.(float64); ok {
				f[name] = n
			} else {
				f[name] = math.Inf(1)
			}
		}
	}
	return f
}

// value returns the figure that a mark bounds: for times the median over the rounds, for counts the
// worst.
func (r *distanceRun) value(m dist.Mark) float64 {
	var all []float64
	for round := range r.Figures[m.Scenario][dist.Redlock] {
		v := m.Value(func(s, c string) dist.Figures { return r.figures(s, c, round) })
		if !math.IsNaN(v) {
			all = append(all, v)
		}
	}
	switch {
	case len(all) == 0:
		return math.NaN()
	case m.Over != "":
		return median(all)
	case m.AtLeast:
		return slices.Min(all)
	default:
		return slices.Max(all)
	}
}

// write prints the goals, in rows of that format.
func (r *distanceRun) write(w io.Writer, format string) error {
	for _, m := range dist.Marks {
		v := r.value(m)
		if math.IsNaN(v) {
			continue
		}
		sign, word := "≤", "reached"
		if m.AtLeast {
			sign = "≥"
		}
		if !m.Reached(v, m.Limit) {
			word = "**missed**"
		}
		if _, err := fmt.Fprintf(w, format, m.What, number(v), fmt.Sprintf("%s %g", sign, m.Limit), word); err != nil {
			return err
		}
	}
	return nil
}

// table returns the medians: a row for each of the scenarios and each contestant.
func (r *distanceRun) table(scenarios string, columns ...string) string {
	rows := [][]string{append([]string{"", ""}, columns...)}
	for name := range strings.SplitSeq(scenarios, ";") {
		sc, _ := dist.Find(name)
		for _, c := range slices.Sorted(maps.Keys(r.Figures[name])) {
			row := []string{sc.Title, c}
			for _, column := range columns {
				var all []float64
				for round := range r.Figures[name][c] {
					if v, found := r.figures(name, c, round)[column]; found {
						all = append(all, v)
					}
				}
				cell := number(median(all))
				if len(all) > 0 && math.IsInf(median(all), 1) {
					cell = "never"
				}
				row = append(row, cell)
			}
			rows = append(rows, row)
		}
	}
	return strings.Replace(rowsOf(rows), "|---|---:|", "|---|---|", 1)
}

// writePage writes benchmarks-distance.md.
func (r *distanceRun) writePage(docs string) error {
	var aims bytes.Buffer
	if err := r.write(&aims, "| %s | %s | %s | %s |\n"); err != nil {
		return err
	}
	page, err := template.New("distance").Funcs(template.FuncMap{
		"when":     func() string { return r.When.Format("2006-01-02") + ", " + r.Machine },
		"versions": func() string { return strings.Join(versions(), ", ") },
		"marks":    func() string { return strings.TrimSuffix(aims.String(), "\n") },
		"table":    r.table,
		"rounds":   func() int { return len(r.Figures["regions"][dist.Redlock]) },
	}).Parse(distanceText)
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	f, err := os.Create(filepath.Join(docs, "benchmarks-distance.md")) //nolint:gosec // where we are told
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	return errors.Join(page.Execute(f, nil), f.Close())
}

// redsyncAway opens redsync over go-redis, with the defaults of both.
type redsyncAway struct {
	clients
	redsync *rs.Redsync
	opts    []rs.Option
}

func openRedsyncAway(addrs []string, s dist.Settings) (dist.Locker, error) {
	var cs clients
	var pools []rspool.Pool
	for _, a := range addrs {
		c := redis.NewClient(&redis.Options{Addr: a, TLSConfig: s.TLS})
		cs, pools = append(cs, c), append(pools, goredis.NewPool(c))
	}
	l := redsyncAway{clients: cs, redsync: rs.New(pools...)}
	if s.TTL != 0 {
		l.opts = append(l.opts, rs.WithExpiry(s.TTL))
	}
	return l, nil
}

func (l redsyncAway) Lock(ctx context.Context, name string) (func(context.Context) error, error) {
	m := l.redsync.NewMutex(name, l.opts...)
	return unlockerOf(m), m.LockContext(ctx)
}

func (l redsyncAway) TryLock(ctx context.Context, name string) (func(context.Context) error, error) {
	m := l.redsync.NewMutex(name, l.opts...)
	return unlockerOf(m), m.TryLockContext(ctx)
}

func unlockerOf(m *rs.Mutex) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := m.UnlockContext(ctx)
		return err
	}
}

func (l redsyncAway) Close() error { return l.close() }
