package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/go-redlock/redlock"
)

// An lsCmd is `redlock ls`.
type lsCmd struct {
	connection

	Prefix string `help:"List the keys that begin with this, instead of those with a fencing register. This shows locks without fencing too." placeholder:"TEXT"`
	All    bool   `help:"Show free locks too." short:"a"`
	JSON   bool   `name:"json" help:"Print JSON, one object on each line."`
}

// Help implements kong.HelpProvider.
func (*lsCmd) Help() string {
	return `Finds locks by their fencing registers, which the nodes keep for an hour or longer after a lock's
last use. It reads the nodes' keys step by step (SCAN), so it does not block them, but with millions
of keys it takes a while.

Exit codes: 0, or 69 if fewer nodes than a quorum answered.`
}

// The suffixes of a lock's other keys; they are part of the wire format.
const (
	fenceSuffix = ":redlock:fence"
	queueSuffix = ":redlock:queue"
	markerKey   = "redlock:restart"
)

const (
	scanCount    = 1000 // keys in one step
	inspectLimit = 16   // locks that are inspected at the same time
)

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
	found := make([]*redlock.Inspection, len(names))
	var looking errgroup.Group
	looking.SetLimit(inspectLimit)
	for i, name := range names {
		looking.Go(func() (err error) {
			found[i], err = locks.Inspect(ctx, name)
			if _, foreign := errors.AsType[*redlock.OptionError](err); foreign {
				return nil // no lock can have this key
			}
			return err
		})
	}
	if err := looking.Wait(); err != nil {
		return err //nolint:wrapcheck // it says all
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

// names finds the names of locks on all nodes that answer. They must be a quorum.
func (c *lsCmd) names(ctx context.Context, s streams) ([]string, error) {
	servers, closeAll, err := c.servers()
	if err != nil {
		return nil, err
	}
	defer closeAll()
	var mu sync.Mutex
	names, failed := map[string]struct{}{}, 0
	var scans errgroup.Group
	for _, one := range servers {
		scans.Go(func() error {
			err := c.scan(ctx, one, func(name string) {
				mu.Lock()
				defer mu.Unlock()
				names[name] = struct{}{}
			})
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed++
				fmt.Fprintf(s.err, "redlock: %s: %s\n", one.addr, shown(err.Error()))
			}
			return nil
		})
	}
	_ = scans.Wait()
	if quorum := len(servers)/2 + 1; len(servers)-failed < quorum {
		return nil, fmt.Errorf("%w: %d are needed", redlock.ErrNoQuorum, quorum)
	}
	return slices.SortedFunc(maps.Keys(names), cmp.Compare), nil
}

// scan reports the names of the locks on one node.
func (c *lsCmd) scan(ctx context.Context, one server, found func(name string)) error {
	pattern := "*" + fenceSuffix
	if c.Prefix != "" {
		pattern = escape.Replace(c.KeyPrefix+c.Prefix) + "*"
	}
	for cursor := uint64(0); ; {
		step, cancel := context.WithTimeout(ctx, c.patience()+time.Second)
		keys, next, err := one.ScanType(step, cursor, pattern, scanCount, "string").Result()
		cancel()
		if err != nil {
			return err //nolint:wrapcheck // the caller adds the address
		}
		for _, key := range keys {
			if name, ok := c.nameOf(key); ok {
				found(name)
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// escape returns a glob pattern that matches the text only.
var escape = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)

// nameOf returns the name of the lock that a key belongs to.
func (c *lsCmd) nameOf(key string) (name string, ok bool) {
	if strings.HasSuffix(key, queueSuffix) || key == markerKey {
		return "", false
	}
	lock, fence := strings.CutSuffix(key, fenceSuffix)
	if fence { // the rest is {L}, or an L with a hash tag and a colon
		inner, braced := strings.CutPrefix(lock, "{")
		inner, closed := strings.CutSuffix(inner, "}")
		if lock, ok = strings.CutSuffix(lock, ":"); !ok {
			lock, ok = inner, braced && closed
		}
		if !ok {
			return "", false
		}
	}
	name, ok = strings.CutPrefix(lock, c.KeyPrefix)
	return name, ok && name != "" && strings.HasPrefix(name, c.Prefix)
}
