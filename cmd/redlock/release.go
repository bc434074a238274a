package main

import (
	"bufio"
	"context"
	"crypto/sha1" //nolint:gosec // for fingerprints, as the nodes make them
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/term"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// A releaseCmd is `redlock release`.
type releaseCmd struct {
	connection

	Name  string `arg:"" help:"The lock's name."`
	Force bool   `help:"Take the lock from whoever has it."`
	Yes   bool   `help:"Do not ask." short:"y"`
}

// Help implements kong.HelpProvider.
func (*releaseCmd) Help() string {
	return `Deletes the lock from all nodes, whoever has it, and passes it on to its waiters. A holder that is
alive notices at its next renewal; until then its work overlaps with the next holder's, unless the
fencing token stops it. It is better to end the holder, which then releases the lock itself, or to
wait until the lock runs out.

It shows who has the lock and asks, unless --yes is given; without a terminal --yes is needed. If
the lock changes hands meanwhile, the new owner keeps it.

Exit codes: 0 released or free, 1 not confirmed, 64 bad usage, 69 if fewer nodes than a quorum
answered or released.`
}

// Run asks for confirmation and releases.
func (c *releaseCmd) Run(ctx context.Context, s streams) error {
	if !c.Force {
		return usageError{errors.New("a lock belongs to its holder: say --force to take it away")}
	}
	// long enough to connect to distant masters
	locks, end, err := c.locker(redlock.WithNodeTimeout(time.Second))
	if err != nil {
		return err
	}
	defer end()
	in, err := locks.Inspect(ctx, c.Name)
	if err != nil {
		return err
	}
	fmt.Fprintln(s.out, inspectionText(in, painter(s.out)))
	owners := map[string]bool{}
	for _, n := range in.Nodes {
		if n.Owner != "" {
			owners[n.Owner] = true
		}
	}
	for _, r := range in.Readers {
		owners[r.Owner] = true
	}
	if len(owners) == 0 {
		return nil
	}
	if !c.Yes {
		if err := confirm(s, "Take it away?"); err != nil {
			return err
		}
	}
	released, err := c.release(ctx, s, owners)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "released on %d of %d nodes\n", released, len(in.Nodes))
	if released < in.Needed && taken(in) {
		return code(exitNoQuorum)
	}
	return nil
}

// confirm asks the user, and fails if there is no terminal.
func confirm(s streams, question string) error {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return usageError{errors.New("nobody to ask: say --yes")}
	}
	fmt.Fprintf(s.out, "%s [y/N] ", question)
	answer, _ := bufio.NewReader(os.Stdin).ReadString('\n') // no answer means no
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return code(1)
}

// release releases the lock of those owners, on all nodes at once, and returns on how many nodes
// that succeeded.
func (c *releaseCmd) release(ctx context.Context, s streams, owners map[string]bool) (int, error) {
	keys, err := wire.Keys(c.KeyPrefix, c.Name)
	if err != nil {
		return 0, usageError{err}
	}
	servers, closeAll, err := c.servers()
	if err != nil {
		return 0, err
	}
	defer closeAll()
	ctx, cancel := context.WithTimeout(ctx, c.patience())
	defer cancel()
	results := make(chan error, len(servers))
	for _, one := range servers {
		go func() { results <- releaseOn(ctx, one, keys, owners) }()
	}
	released := 0
	for range servers {
		switch err := <-results; {
		case err == nil:
			released++
		case !errors.Is(err, redis.Nil):
			fmt.Fprintf(s.err, "redlock: %v\n", err)
		}
	}
	return released, nil
}

// releaseOn releases the lock on one node as its owner would, so the lock is passed on to its
// waiters.
func releaseOn(ctx context.Context, one server, keys wire.KeySet, owners map[string]bool) error {
	owner, err := one.Get(ctx, keys.Lock).Result()
	if errors.Is(err, redis.Nil) {
		return redis.Nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", one.addr, err)
	}
	readers, own := "", []string{owner}
	if strings.HasPrefix(owner, wire.SharedValue) {
		readers = wire.ReadersKey(keys.Lock)
		if own, err = one.ZRange(ctx, readers, 0, -1).Result(); err != nil {
			return fmt.Errorf("%s: %w", one.addr, err)
		}
	}
	var calls []wire.Call
	for _, o := range own {
		sum := sha1.Sum([]byte(o)) //nolint:gosec // a fingerprint
		if owners[hex.EncodeToString(sum[:])[:16]] {
			calls = append(calls, wire.Call{Request: &wire.Request{
				Verb: pool.Release, Lock: keys.Lock, Fence: keys.Fence, Readers: readers, Owner: o, Queue: keys.Queue, Reserve: 10 * time.Millisecond,
			}})
		}
	}
	if len(calls) == 0 {
		return fmt.Errorf("%s: the lock has changed hands", one.addr)
	}
	wire.NodeOf(pool.New(one.Client)).Do(ctx, calls)
	err = redis.Nil
	for _, c := range calls {
		switch c.Reply.Verdict {
		case pool.OK:
			err = nil
		case pool.Gone:
		default:
			return fmt.Errorf("%s: %v: %w", one.addr, c.Reply.Verdict, c.Reply.Err)
		}
	}
	return err
}
