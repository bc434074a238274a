// Command fencing shows the classic accident: a holder pauses past its lease, another takes over,
// and the first wakes and writes. A storage that checks fencing tokens refuses the stale write. A
// storage that does not check them loses the newer write. The masters are in memory, so the program
// needs no server.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/memnode"
)

// errStale is the storage's answer to a token that is smaller than one it has seen.
var errStale = errors.New("stale token")

// A storage keeps one value. It checks the token and stores in one step.
type storage struct {
	fenced bool

	mu    sync.Mutex
	token uint64
	value string
}

func (s *storage) write(token uint64, value string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fenced && token < s.token {
		return errStale
	}
	s.token, s.value = token, value
	return nil
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	for _, fenced := range []bool{false, true} {
		if err := accident(ctx, out, &storage{fenced: fenced}); err != nil {
			return err
		}
	}
	return nil
}

func accident(ctx context.Context, out io.Writer, s *storage) (err error) {
	fmt.Fprintf(out, "The storage checks tokens: %v\n", s.fenced)
	_, nodes := memnode.Cluster(5)
	locks, err := redlock.New(nodes, redlock.WithTTL(200*time.Millisecond))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, locks.Close(ctx)) }()

	alice, err := locks.Lock(ctx, "file")
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "  alice locks, sees that her lease is valid, and is paused")
	<-alice.Done() // a paused holder does not look at its lease either

	bob, err := locks.Lock(ctx, "file")
	if err != nil {
		return err
	}
	if err := s.write(bob.Fence(), "bob's"); err != nil {
		return err
	}
	fmt.Fprintln(out, "  bob locks and writes")

	switch err := s.write(alice.Fence(), "alice's"); {
	case err == nil:
		fmt.Fprintln(out, "  alice wakes and writes")
	case errors.Is(err, errStale):
		fmt.Fprintln(out, "  alice wakes and writes, and is refused:", err)
	default:
		return err
	}
	fmt.Fprintf(out, "  the file is %s\n", s.value)
	return bob.Unlock(ctx)
}
