package main

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
)

//go:embed page.md.tmpl
var pageText string

// writePage writes benchmarks.md and its plots, and the figures in README.
func writePage(docs string, r results) error {
	page, err := template.New("page").Funcs(template.FuncMap{
		"table":       func(name string) (string, error) { return markdown(r, name) },
		"marks":       func() string { return marksTable(r) },
		"contestants": contestantsTable,
		"versions":    func() string { return strings.Join(versions(), ", ") },
		"runs":        r.runs,
		"figure": func(workload, contestant, metric string) string {
			return number(value(workload, contestant, metric)(r))
		},
		"ratio": func(workload, metric, a, b string) string { return number(over(workload, metric, a, b)(r)) },
	}).Parse(pageText)
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	plots := filepath.Join(docs, "benchmarks")
	if err := os.MkdirAll(plots, 0o755); err != nil { //nolint:gosec // for all to read
		return fmt.Errorf("page: %w", err)
	}
	f, err := os.Create(filepath.Join(docs, "benchmarks.md")) //nolint:gosec // where we are told
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	return errors.Join(page.Execute(f, nil), f.Close(), writePlots(plots, r), writeFigures(filepath.Join(docs, "..", "README.md"), r))
}

// markdown returns a workload's table as Markdown.
func markdown(r results, name string) (string, error) {
	w := find(name)
	if w == nil {
		return "", fmt.Errorf("no workload %q", name)
	}
	if r[name] == nil {
		return "Not measured yet.", nil
	}
	return rowsOf(r.cells(w)), nil
}

// contestantsTable lists the contestants.
func contestantsTable() string {
	rows := [][]string{{"contestant", "nodes", "what it is"}}
	for _, c := range contestants {
		nodes := "3 of its own"
		if c.nodes > 0 {
			nodes = strconv.Itoa(c.nodes)
		}
		rows = append(rows, []string{c.name, nodes, c.about})
	}
	return strings.Replace(rowsOf(rows), "---:|---:|", "---|---|", 1)
}

func marksTable(r results) string {
	rows := [][]string{{"", "figure", "mark", ""}}
	for _, v := range r.verdicts() {
		word := "reached"
		if !v.reached(v.figure) {
			word = "**missed**"
		}
		rows = append(rows, []string{v.text, number(v.figure), v.bound(), word})
	}
	return rowsOf(rows)
}

func rowsOf(rows [][]string) string {
	var b strings.Builder
	for i, row := range rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintf(&b, "|---|%s\n", strings.Repeat("---:|", len(row)-1))
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// runs says when and on which machine the workloads were run, those of one run together.
func (r results) runs() []string {
	var found []string
	names := map[string][]string{}
	for _, w := range workloads {
		if run := r[w.name]; run != nil {
			key := fmt.Sprintf("%s, %s", run.When.Format("2006-01-02"), run.Machine)
			if names[key] == nil {
				found = append(found, key)
			}
			names[key] = append(names[key], w.name)
		}
	}
	if len(found) > 1 {
		for i, key := range found {
			found[i] = key + ": " + strings.Join(names[key], ", ")
		}
	}
	return found
}
