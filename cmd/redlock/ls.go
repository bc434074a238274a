package main

import (
	"context"
	"fmt"
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
of keys it takes a while.

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
	found = slices.DeleteFunc(found, func(in *redlock.Inspection) bool {
		return in == nil || state(in) == "free" && !c.All
	})
	return c.show(s, found)
}

func (c *lsCmd) show(s streams, found []*redlock.Inspection) error {
	if c.JSON {
		for _, in := range found {
			if err := writeJSON(s.out, inspectionJSON(in)); err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(s.out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "NAME\tSTATE\tHOLDER\tLEFT\tTOKEN\tNODES")
	for _, in := range found {
		fmt.Fprintf(table, "%s\t%s\n", shown(in.Name), columns(in))
	}
	return table.Flush() //nolint:wrapcheck // a write error needs no context
}
