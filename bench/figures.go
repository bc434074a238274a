package main

import (
	"fmt"
	"os"
	"strings"
)

// A figure is a row of README's table: one metric of a workload, of this library and of redsync.
type figure struct {
	text     string
	workload string
	redsync  string // the workload of redsync alone; empty: the same workload
	metric   string
	format   string
	scale    float64
}

var figures = []figure{
	{"one caller: Lock and Unlock of a free name, median", "one", "", p50, "%.0f µs", 1},
	{"64 callers: pairs of Lock and Unlock a second", "64", "", rate, "%.0f", 1},
	{"1,000 callers: a pair, 99th percentile", "1000", "", p99, "%.0f ms", 1e-3},
	{"one of five masters frozen: a pair, median", "one-frozen", "redsync-frozen", p50, "%.1f ms", 1e-3},
	{"two of five frozen, six callers want one lock: hand-overs a second", "minority", "", rate, "%.0f", 1},
	{"16 waiters in one process: hand-overs a second", "crowd", "", rate, "%.0f", 1},
	{"eight processes that take turns: hand-overs a second", "turns-8", "", rate, "%.0f", 1},
	{"the same: longest wait", "turns-8", "", longest, "%.0f ms", 1e-3},
}

const figuresBegin, figuresEnd = "<!-- figures: written by bench -->\n\n", "\n\n<!-- end of figures -->"

// figuresTable returns the table of README.
func figuresTable(r results) string {
	rows := [][]string{{"", "redlock, with tokens", "redsync"}}
	for _, f := range figures {
		cell := func(workload, contestant string) string {
			v := value(workload, contestant, f.metric)(r)
			if v != v {
				return "–"
			}
			return fmt.Sprintf(f.format, v*f.scale)
		}
		other := f.workload
		if f.redsync != "" {
			other = f.redsync
		}
		rows = append(rows, []string{f.text, cell(f.workload, fenced), cell(other, redsync)})
	}
	return rowsOf(rows)
}

// withFigures returns the text of README with this table in it.
func withFigures(readme string, r results) (string, error) {
	before, rest, found := strings.Cut(readme, figuresBegin)
	_, after, ended := strings.Cut(rest, figuresEnd)
	if !found || !ended {
		return "", fmt.Errorf("README has no place for the figures between %q and %q", figuresBegin, figuresEnd)
	}
	return before + figuresBegin + figuresTable(r) + figuresEnd + after, nil
}

// writeFigures puts the table into README.
func writeFigures(name string, r results) error {
	text, err := os.ReadFile(name) //nolint:gosec // where we are told
	if err != nil {
		return fmt.Errorf("figures: %w", err)
	}
	readme, err := withFigures(string(text), r)
	if err != nil {
		return err
	}
	if err := os.WriteFile(name, []byte(readme), 0o600); err != nil { //nolint:gosec // it exists and keeps its mode
		return fmt.Errorf("figures: %w", err)
	}
	return nil
}
