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
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/go-redlock/redlock"
)

// A search finds the locks that the nodes know.
type search struct {
	connection

	Prefix string `help:"List the keys that begin with this, instead of those with a fencing register. This shows locks without fencing too." placeholder:"TEXT"`
}

// The suffixes of a lock's other keys; they are part of the wire format.
const (
	fenceSuffix = ":redlock:fence"
	queueSuffix = ":redlock:queue"
	markerKey   = "redlock:restart"
)

const (
	scanCount = 1000 // keys in one step
	// inspectLimit is how many locks are inspected at the same time. A silent node costs each such
	// number its timeout once.
	inspectLimit = 1024
)

// names finds the names of locks on all nodes that answer. They must be a quorum.
func (c *search) names(ctx context.Context, s streams) ([]string, error) {
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
func (c *search) scan(ctx context.Context, one server, found func(name string)) error {
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

// nameOf returns the name of the lock that a key belongs to. For a slot of a semaphore that is the
// slot's key: see slotOf.
func (c *search) nameOf(key string) (name string, ok bool) {
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
	if _, _, slot := c.slotOf(lock); slot {
		return lock, true
	}
	name, ok = strings.CutPrefix(lock, c.KeyPrefix)
	return name, ok && name != "" && strings.HasPrefix(name, c.Prefix)
}

// inspectAll inspects the locks of these names. What it returns has nil for a name that no lock can
// have. The error is that of the first inspection that failed.
func inspectAll(ctx context.Context, locks *redlock.Locker, names []string) ([]*redlock.Inspection, error) {
	found := make([]*redlock.Inspection, len(names))
	var looking errgroup.Group
	looking.SetLimit(inspectLimit)
	for i, name := range names {
		looking.Go(func() (err error) {
			found[i], err = locks.Inspect(ctx, name)
			if _, foreign := errors.AsType[*redlock.OptionError](err); foreign {
				return nil
			}
			return err
		})
	}
	return found, looking.Wait() //nolint:wrapcheck // it says all
}
