package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-redlock/redlock"
)

// An inspectCmd is `redlock inspect`.
type inspectCmd struct {
	connection

	Name  string        `arg:"" help:"The lock's name."`
	Watch bool          `help:"Look again and again, until interrupted." short:"w" xor:"watch"`
	Every time.Duration `help:"How often to look with --watch (default ${default})." default:"500ms" placeholder:"TIME"`
	JSON  bool          `name:"json" help:"Print JSON, one object on each line."`
	Slots *int          `help:"Look at a semaphore with this number of permits: one line for each slot." placeholder:"N"`

	ExitCode bool `help:"Exit with 0 if the lock is held, and with 1 if it is not." xor:"watch"`
}

// Help implements kong.HelpProvider.
func (*inspectCmd) Help() string {
	return `Changes nothing. A lock is held if one owner has it on a quorum of the nodes, and shared if readers
have it there. It is a remnant if nodes have an owner but none has a quorum: an attempt is under
way, or a failed attempt or a dead holder has left it. Otherwise it is free. OWNER tells owners
apart; nobody can make an owner id from it.

Exit codes: 0 whether or not the lock is held (with --exit-code 1 if it is neither held nor shared),
69 if fewer nodes than a quorum answered (their answers are shown).`
}

// Run shows the lock, once or until it is interrupted.
func (c *inspectCmd) Run(ctx context.Context, s streams) error {
	if c.Every < 10*time.Millisecond {
		return usageError{fmt.Errorf("--every=%v: at least 10ms", c.Every)}
	}
	// long enough to connect to distant masters
	locks, end, err := c.locker(redlock.WithNodeTimeout(time.Second))
	if err != nil {
		return err
	}
	defer end()
	if c.Slots != nil {
		return c.slots(ctx, locks, s)
	}
	_, live := isTerminal(s.out)
	live = live && c.Watch && !c.JSON
	if live {
		fmt.Fprint(s.out, hideCursor+clearScreen)
		defer fmt.Fprint(s.out, showCursor)
	}
	for last := ""; ; {
		in, err := locks.Inspect(ctx, c.Name)
		switch {
		case c.Watch && ctx.Err() != nil:
			return nil
		case in == nil:
			return err
		}
		if now := summary(in); live || c.JSON || now != last {
			last = now
			if err := c.show(s.out, in, live); err != nil {
				return err
			}
		}
		switch {
		case c.Watch:
		case err == nil && c.ExitCode && !taken(in):
			return code(1)
		default:
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(c.Every):
		}
	}
}

// slots shows the slots of a semaphore.
func (c *inspectCmd) slots(ctx context.Context, locks *redlock.Locker, s streams) error {
	if c.Watch || c.ExitCode {
		return usageError{errors.New("--slots: neither with --watch nor with --exit-code")}
	}
	found, err := locks.InspectSemaphore(ctx, c.Name, *c.Slots)
	if found == nil {
		return err
	}
	table := tabwriter.NewWriter(s.out, 0, 0, 3, ' ', 0)
	if !c.JSON {
		fmt.Fprintln(table, "SLOT\tSTATE\tHOLDER\tLEFT\tTOKEN\tNODES")
	}
	for i := range found {
		if c.JSON {
			j := inspectionJSON(&found[i])
			j.Slot = &i
			if err := writeJSON(s.out, j); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(table, "%d\t%s\n", i, columns(&found[i]))
	}
	return errors.Join(err, table.Flush())
}

// columns returns the columns of a lock in a table: state, holder, remaining time, token and nodes.
func columns(in *redlock.Inspection) string {
	left, owner, nodes := "-", "-", 0
	switch {
	case in.Owner != "":
		left, owner = life(in.Left), label(in.Holder, in.Owner)
	case len(in.Readers) > 0:
		left, owner = life(in.Readers[0].Left), readers(len(in.Readers))
	}
	for _, n := range in.Nodes {
		switch {
		case in.Owner != "" && n.Owner == in.Owner, len(in.Readers) > 0 && n.Readers > 0, !taken(in) && (n.Owner != "" || n.Readers > 0):
			nodes++
		}
	}
	return fmt.Sprintf("%s\t%s\t%s\t%s\t%d/%d", state(in), owner, left, token(fence(in)), nodes, len(in.Nodes))
}

// show prints what the nodes said. If live is set, it overwrites what was printed before.
func (c *inspectCmd) show(w io.Writer, in *redlock.Inspection, live bool) error {
	if c.JSON {
		return writeJSON(w, inspectionJSON(in))
	}
	text := inspectionText(in, painter(w))
	if live {
		text = home + strings.ReplaceAll(text, "\n", clearLine+"\n") + clearBelow
	}
	_, err := fmt.Fprint(w, text)
	return err //nolint:wrapcheck // a write error needs no context
}

// taken reports whether an owner has the lock on a quorum, or readers have.
func taken(in *redlock.Inspection) bool { return in.Owner != "" || len(in.Readers) > 0 }

// summary says who has the lock, to tell whether that has changed.
func summary(in *redlock.Inspection) string {
	text := state(in) + in.Owner
	owners := make([]string, len(in.Readers))
	for i, r := range in.Readers {
		owners[i] = r.Owner
	}
	slices.Sort(owners) // for they change places when they are renewed
	return text + strings.Join(owners, ",")
}

// readers says how many readers there are.
func readers(n int) string {
	if n == 1 {
		return "1 reader"
	}
	return fmt.Sprintf("%d readers", n)
}

// state returns a lock's state: held, shared, remnant or free, or unknown if too few nodes
// answered.
func state(in *redlock.Inspection) string {
	owners, silent := 0, 0
	for _, n := range in.Nodes {
		switch {
		case n.Err != nil:
			silent++
		case n.Owner != "", n.Readers > 0:
			owners++
		}
	}
	switch {
	case in.Owner != "":
		return "held"
	case len(in.Readers) > 0:
		return "shared"
	case len(in.Nodes)-silent < in.Needed:
		return "unknown"
	case owners > 0:
		return "remnant"
	}
	return "free"
}

// inspectionText returns a summary and a table of the nodes.
func inspectionText(in *redlock.Inspection, p paint) string {
	var b strings.Builder
	how := state(in)
	colour := map[string]string{"held": green, "shared": green, "remnant": yellow, "unknown": red}[how]
	fmt.Fprintf(&b, "%s is %s", shown(in.Name), p.in(colour, how))
	if in.Owner != "" {
		fmt.Fprintf(&b, " by %s", label(in.Holder, in.Owner))
		if in.Left == redlock.Forever {
			b.WriteString(", without an end")
		} else {
			fmt.Fprintf(&b, " for another %v if it is not renewed", life(in.Left))
		}
	}
	if len(in.Readers) > 0 {
		fmt.Fprintf(&b, " by %s", readers(len(in.Readers)))
	}
	if f := fence(in); f != 0 {
		fmt.Fprintf(&b, ", token %d", f)
	}
	b.WriteString("\n\n")
	table := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	if len(in.Readers) > 0 {
		fmt.Fprintln(table, "READER\tHOLDER\tLEFT")
		for _, r := range in.Readers {
			fmt.Fprintf(table, "%s\t%s\t%s\n", r.Owner, dash(shown(r.Holder)), life(r.Left))
		}
		_ = table.Flush() // a strings.Builder does not fail
		b.WriteString("\n")
	}
	fmt.Fprintln(table, "NODE\tOWNER\tHOLDER\tLEFT\tTOKEN")
	for _, n := range in.Nodes {
		switch {
		case n.Err != nil:
			fmt.Fprintf(table, "%s\t-\t-\t-\t-\t%s\n", n.Node, shown(inFlags(n.Err)))
		case n.Readers > 0:
			fmt.Fprintf(table, "%s\t%s\t-\t%s\t%s\n", n.Node, readers(n.Readers), life(n.Left), token(n.Fence))
		case n.Owner == "":
			fmt.Fprintf(table, "%s\t-\t-\t-\t%s\n", n.Node, token(n.Fence))
		default:
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", n.Node, n.Owner, dash(shown(n.Holder)), life(n.Left), token(n.Fence))
		}
	}
	_ = table.Flush() // a strings.Builder does not fail
	return b.String()
}

// fence returns the owner's token, as far as a quorum tells it, or otherwise the greatest that any
// node knows, which may be that of a failed attempt.
func fence(in *redlock.Inspection) uint64 { return cmp.Or(in.OwnerFence, in.Fence) }

// label returns the label or the fingerprint of an owner.
func label(holder, owner string) string {
	if holder != "" {
		return shown(holder)
	}
	return "owner " + owner
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func token(f uint64) string {
	if f == 0 {
		return "-"
	}
	return strconv.FormatUint(f, 10)
}

func life(d time.Duration) string {
	if d == redlock.Forever {
		return "no end"
	}
	return d.Round(time.Millisecond).String()
}

// A lockJSON is an Inspection in JSON.
type lockJSON struct {
	Name   string `json:"name"`
	Slot   *int   `json:"slot,omitempty"` // of a semaphore
	State  string `json:"state"`          // held, shared, remnant, free or unknown
	Needed int    `json:"needed"`
	Owner  string `json:"owner,omitempty"`
	Holder string `json:"holder,omitempty"`
	LeftMS int64  `json:"left_ms,omitempty"` // absent if it has no end
	Fence  uint64 `json:"fence,omitempty"`   // the greatest of all nodes
	// the owner's, if a quorum tells it
	OwnerFence uint64       `json:"owner_fence,omitempty"`
	Readers    []readerJSON `json:"readers,omitempty"` // the one that keeps the lock longest first
	Nodes      []nodeJSON   `json:"nodes"`
}

// A readerJSON is one of the owners of a shared lock.
type readerJSON struct {
	Owner  string `json:"owner"`
	Holder string `json:"holder,omitempty"`
	LeftMS int64  `json:"left_ms"`
}

type nodeJSON struct {
	Node   string `json:"node"`
	Owner  string `json:"owner,omitempty"`
	Holder string `json:"holder,omitempty"`
	LeftMS int64  `json:"left_ms,omitempty"` // absent if it has no end
	Fence  uint64 `json:"fence,omitempty"`
	Error  string `json:"error,omitempty"`

	Readers int `json:"readers,omitempty"` // how many share it there
}

func inspectionJSON(in *redlock.Inspection) lockJSON {
	j := lockJSON{
		Name: in.Name, State: state(in), Needed: in.Needed, Owner: in.Owner, Holder: in.Holder, LeftMS: millis(in.Left), Fence: in.Fence,
		OwnerFence: in.OwnerFence,
	}
	for _, r := range in.Readers {
		j.Readers = append(j.Readers, readerJSON{r.Owner, r.Holder, millis(r.Left)})
	}
	for _, n := range in.Nodes {
		one := nodeJSON{Node: n.Node, Owner: n.Owner, Holder: n.Holder, LeftMS: millis(n.Left), Fence: n.Fence, Readers: n.Readers}
		if n.Err != nil {
			one.Error = inFlags(n.Err)
		}
		j.Nodes = append(j.Nodes, one)
	}
	return j
}
