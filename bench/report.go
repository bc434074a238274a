package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// cells returns a workload's table: for each contestant that was measured a row with the medians
// over the rounds.
func (r results) cells(w *workload) [][]string {
	head := []string{""}
	for _, c := range w.columns {
		head = append(head, c.heading)
	}
	rows := [][]string{head}
	for _, c := range w.contestants {
		row := []string{c.name}
		empty := true
		for _, col := range w.columns {
			f := median(r.series(w.name, c.name, col.metric))
			if col.over != "" {
				f = median(r.ratios(w.name, col.metric, c.name, w.name, col.metric, col.over))
			}
			if col.scale != 0 {
				f *= col.scale
			}
			cell := "–"
			if f == f {
				cell = fmt.Sprintf(col.format, f)
				empty = false
			}
			row = append(row, cell)
		}
		if !empty {
			rows = append(rows, row)
		}
	}
	return rows
}

// A verdict is a mark and the figure that was measured.
type verdict struct {
	mark
	figure float64
}

func (v verdict) word() string {
	if v.reached(v.figure) {
		return "PASS"
	}
	return "FAIL"
}

// verdicts returns the marks that the results have figures for.
func (r results) verdicts() []verdict {
	var found []verdict
	for _, m := range marks {
		if f := m.figure(r); f == f {
			found = append(found, verdict{m, f})
		}
	}
	return found
}

// printReport prints the tables and the marks, and returns how many marks were missed.
func printReport(to io.Writer, r results) (missed int) {
	for i := range workloads {
		w := &workloads[i]
		if r[w.name] == nil {
			continue
		}
		fmt.Fprintf(to, "\n%s (%s)\n", w.title, w.name)
		printTable(to, r.cells(w))
	}
	rows := [][]string{{"mark", "figure", "bound", ""}}
	for _, v := range r.verdicts() {
		rows = append(rows, []string{v.text, number(v.figure), v.bound(), v.word()})
		if !v.reached(v.figure) {
			missed++
		}
	}
	fmt.Fprintln(to)
	printTable(to, rows)
	return missed
}

func printTable(to io.Writer, rows [][]string) {
	t := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range rows {
		fmt.Fprintf(t, "  %s\t", row[0])
		for _, cell := range row[1:] {
			fmt.Fprintf(t, "%s\t", cell)
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush() // an error could not be reported anywhere
}
