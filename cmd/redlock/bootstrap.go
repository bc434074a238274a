package main

import (
	"context"
	"fmt"
	"time"

	"github.com/go-redlock/redlock"
)

// A bootstrapCmd is `redlock bootstrap`.
type bootstrapCmd struct {
	connection

	Guard time.Duration `help:"The longest TTL, as all users of the nodes give it to WithRestartGuard." required:"" placeholder:"TIME"`
	Yes   bool          `help:"Do not ask." short:"y"`
}

// Help implements kong.HelpProvider.
func (*bootstrapCmd) Help() string {
	return `Under the restart guard a new node waits for the longest TTL before it grants locks, as does a node
that has restarted and may have forgotten some. On the first start of a set of nodes no lock can
have been forgotten, and this command ends the waiting at once. At any other time it removes the
guard's protection.

Exit codes: 0 all nodes serve, 1 not confirmed, 69 some do not.`
}

// Run tells all nodes that they may serve.
func (c *bootstrapCmd) Run(ctx context.Context, s streams) error {
	locks, end, err := c.locker(redlock.WithRestartGuard(c.Guard), redlock.WithTTL(min(c.Guard, redlock.DefaultTTL)))
	if err != nil {
		return err
	}
	defer end()
	if !c.Yes {
		if err := confirm(s, "Has none of these nodes ever granted a lock that may still be held?"); err != nil {
			return err
		}
	}
	if err := locks.Bootstrap(ctx); err != nil {
		return err
	}
	fmt.Fprintln(s.out, "all nodes serve")
	return nil
}
