package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A picture is what `redlock top` shows at one moment.
type picture struct {
	rows      []row
	addresses []server
	errs      []error // by node: why it did not answer
	unread    int     // nodes that have not told their locks yet
	err       error   // of the first lock that could not be inspected
}

// A row is one lock, or one slot of a semaphore. Of the slots of one, the first has the queue.
type row struct {
	listed

	waiting queue
}

// byName sorts by name, and slots of one semaphore by number.
func byName(a, b row) int {
	number := func(r row) int {
		if r.slot == nil {
			return -1
		}
		return *r.slot
	}
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(number(a), number(b)))
}

// byWait puts the longest wait first.
func byWait(a, b row) int {
	return cmp.Or(-cmp.Compare(a.waiting.longest(), b.waiting.longest()), byName(a, b))
}

// screen returns the lines of a whole screen: a summary, the locks, and the nodes that do not
// answer. If not all locks have room, those with the longest waits have.
func (p *picture) screen(paint paint, width, height int, every time.Duration) []string {
	var bad []string
	for i, err := range p.errs {
		if err != nil {
			bad = append(bad, paint.in(red, fmt.Sprintf("%s: %s", p.addresses[i].addr, shown(reason(err)))))
		}
	}
	lines := []string{p.summary(len(bad)) + paint.in(grey, fmt.Sprintf("   every %v, q ends", every)), ""}
	room := max(1, height-len(lines)-len(bad)-3) // the heading, what is left out, an empty line
	rows := slices.SortedFunc(slices.Values(p.rows), byWait)
	rows = rows[:min(len(rows), room)]
	slices.SortFunc(rows, byName)
	table := p.table(rows, max(16, width/4))
	table[0] = paint.in(bold, table[0])
	lines = append(lines, table...)
	if left := len(p.rows) - len(rows); left > 0 {
		lines = append(lines, paint.in(grey, fmt.Sprintf("%d more, with shorter waits", left)))
	}
	if len(bad) > 0 {
		lines = append(append(lines, ""), bad...)
	}
	return lines
}

// summary returns the first line.
func (p *picture) summary(bad int) string {
	held, waiting, longest := 0, 0, time.Duration(0)
	for _, r := range p.rows {
		if how := state(r.Inspection); how == "held" || how == "shared" {
			held++
		}
		waiting += len(r.waiting)
		longest = max(longest, r.waiting.longest())
	}
	text := fmt.Sprintf("%d held, %d waiting", held, waiting)
	if waiting > 0 {
		text += fmt.Sprintf(", longest %v", longest.Round(time.Millisecond))
	}
	nodes := len(p.addresses)
	text += fmt.Sprintf("   %d of %d nodes answer", nodes-bad, nodes)
	if p.unread > 0 {
		text += fmt.Sprintf(", %d still being read", p.unread)
	}
	return text
}

// table returns the lines of a table of locks, the heading first. No cell is longer than limit, if
// that is not 0.
func (p *picture) table(rows []row, limit int) []string {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "NAME\tSTATE\tHOLDER\tLEFT\tTOKEN\tNODES\tWAITING\tLONGEST")
	for _, r := range rows {
		cells := append([]string{r.subject()}, strings.Split(columns(r.Inspection), "\t")...)
		for i, cell := range cells {
			cells[i] = clip(cell, limit)
		}
		fmt.Fprintln(table, strings.Join(append(cells, r.waiting.columns()...), "\t"))
	}
	_ = table.Flush() // a strings.Builder does not fail
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

// clip shortens a text to limit characters, if that is not 0.
func clip(text string, limit int) string {
	all := []rune(text)
	if limit == 0 || len(all) <= limit {
		return text
	}
	return string(all[:limit-1]) + "…"
}
