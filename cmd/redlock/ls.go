package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/go-redlock/redlock"
)

// An lsCmd is `redlock ls`.
type lsCmd struct {
	search

	All  bool `help:"Show free locks too." short:"a"`
	JSON bool `name:"json" help:"Print JSON, one object on each line."`
}

// Help implements kong.HelpProvider.
func (*lsCmd) Help() string {
	return `Finds locks by their fencing registers, which the nodes keep for an hour or longer after a lock's
last use. It reads the nodes' keys step by step (SCAN), so it does not block them, but with millions
of keys it takes a while. A semaphore has one line for each slot in use, such as "jobs, slot 2".

Exit codes: 0, or 69 if fewer nodes than a quorum answered.`
}

// Run lists the locks.
func (c *lsCmd) Run(ctx context.Context, s streams) error {
	names, err := c.names(ctx, s)
	if err != nil {
		return err
	}
	// long enough to connect to distant masters
	locks, end, err := c.locker(redlock.WithNodeTimeout(time.Second))
	if err != nil {
		return err
	}
	defer end()
	found, err := inspectAll(ctx, locks, names)
	if err != nil {
		return err
	}
	slots, err := c.inspectSlots(ctx, locks, names)
	if err != nil {
		return err
	}
	return c.show(s, c.list(found, slots))
}

// A listed is a lock, or a slot of a semaphore, as it is listed.
type listed struct {
	*redlock.Inspection
	slot *int
}

// subject says what is listed.
func (l listed) subject() string {
	if l.slot != nil {
		return fmt.Sprintf("%s, slot %d", shown(l.Name), *l.slot)
	}
	return shown(l.Name)
}

// list returns what is to be shown: the locks, and then the semaphores' slots.
func (c *lsCmd) list(locks []*redlock.Inspection, slots map[string][]redlock.Inspection) (all []listed) {
	for _, in := range locks {
		if in != nil {
			all = append(all, listed{in, nil})
		}
	}
	for _, semaphore := range slices.Sorted(maps.Keys(slots)) {
		for i := range slots[semaphore] {
			all = append(all, listed{&slots[semaphore][i], &i})
		}
	}
	return slices.DeleteFunc(all, func(l listed) bool { return state(l.Inspection) == "free" && !c.All })
}

func (c *lsCmd) show(s streams, all []listed) error {
	table := tabwriter.NewWriter(s.out, 0, 0, 3, ' ', 0)
	if !c.JSON {
		fmt.Fprintln(table, "NAME\tSTATE\tHOLDER\tLEFT\tTOKEN\tNODES")
	}
	for _, l := range all {
		if c.JSON {
			j := inspectionJSON(l.Inspection)
			j.Slot = l.slot
			if err := writeJSON(s.out, j); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(table, "%s\t%s\n", l.subject(), columns(l.Inspection))
	}
	return table.Flush() //nolint:wrapcheck // a write error needs no context
}
