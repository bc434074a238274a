package redlock_test

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/servertest"
	"github.com/go-redlock/redlock/internal/wire"
)

// A failing observer passes on the errors of attempts.
type failing chan error

// Observe implements redlock.Observer.
func (f failing) Observe(e redlock.Event) {
	if e, ok := e.(redlock.AttemptEvent); ok && e.Err != nil {
		select {
		case f <- e.Err:
		default: // nobody waits for it any more
		}
	}
}

// lockThrough has a Lock wait on masters that are at fault, mends them once it has failed for want
// of that text, and returns what became of it.
func lockThrough(t *testing.T, addrs []string, text string, mend func()) error {
	t.Helper()
	failed := make(failing)
	locks := dialled(t, addrs, redlock.WithObserver(failed), redlock.WithNodeTimeout(generous))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := locks.Lock(ctx, "job")
		done <- err
	}()
	for seen := 0; seen < 2; {
		select {
		case err := <-failed:
			if strings.Contains(err.Error(), text) {
				seen++
			}
		case err := <-done:
			t.Fatalf("%q: Lock did not wait: %v", text, err)
		}
	}
	mend()
	return <-done
}

// set sends a command to each master, as its administrator.
func set(t *testing.T, addrs []string, command ...string) {
	t.Helper()
	for _, a := range addrs {
		if got := order(t, a, command...); got != "+OK" {
			t.Fatalf("%s: %v: %s", a, command, got)
		}
	}
}

// order sends one command over a connection of its own, and returns the first line of the answer.
func order(t *testing.T, addr string, words ...string) string {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // it has served its purpose
	return command(t, c, words...)
}

func TestAWaitingLockOutlivesMastersWithoutMemory(t *testing.T) {
	t.Parallel()
	addrs := realServers(t, 3).Addrs()
	set(t, addrs, "CONFIG", "SET", "maxmemory", "1")
	if err := lockThrough(t, addrs, "OOM", func() { set(t, addrs, "CONFIG", "SET", "maxmemory", "0") }); err != nil {
		t.Error(err)
	}
}

func TestAWaitingLockOutlivesAScriptOfSomebodyElses(t *testing.T) {
	t.Parallel()
	addrs := realServers(t, 3).Addrs()
	set(t, addrs, "CONFIG", "SET", "lua-time-limit", "1")
	for _, a := range addrs {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", a)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := c.Write([]byte("EVAL \"while true do end\" 0\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	if err := lockThrough(t, addrs, "BUSY", func() { set(t, addrs, "SCRIPT", "KILL") }); err != nil {
		t.Error(err)
	}
}

// A server of a cluster has the connections of the others to make room for, and words of its own
// where there is none left. It hangs up after them, so that they may get lost.
func TestAWaitingLockOutlivesFullClusterNodes(t *testing.T) {
	t.Parallel()
	addrs := servertest.Start(t, 3, "--cluster-enabled", "yes", "--cluster-require-full-coverage", "no", "--maxclients", "5").Addrs()
	set(t, addrs, "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	for _, a := range addrs {
		for order(t, a, "SET", "x", "y") != "+OK" { // it takes a moment until it serves them
			if t.Context().Err() != nil {
				t.Fatal("the cluster does not come up")
			}
		}
	}
	var others []net.Conn
	for _, a := range addrs {
		for full := false; !full; {
			c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", a)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			full = command(t, c, "PING") != "+PONG"
			others = append(others, c)
		}
	}
	err := lockThrough(t, addrs, "no quorum", func() {
		for _, c := range others {
			_ = c.Close()
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// A server applies a new list of users in one step: nobody is refused in passing, so that Lock may
// take such a refusal at its word.
func TestALockIsNotRefusedWhileUsersAreLoadedAnew(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/users.acl"
	users := "user default on nopass ~* &* +@all\nuser locks on >secret ~* &* +@all\n"
	if err := os.WriteFile(file, []byte(users), 0o600); err != nil {
		t.Fatal(err)
	}
	addrs := servertest.Start(t, 3, "--aclfile", file).Addrs()
	admins := addrs
	addrs = make([]string, len(admins))
	for i, a := range admins {
		addrs[i] = "redis://locks:secret@" + a
	}
	locks := dialled(t, addrs, redlock.WithNodeTimeout(generous))
	ctx, cancel := context.WithCancel(t.Context())
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		defer cancel()
		for range 30 {
			set(t, admins, "ACL", "LOAD")
		}
	}()
	for ctx.Err() == nil {
		lease, err := locks.TryLock(t.Context(), "job")
		if err == nil {
			err = lease.Unlock(t.Context())
		}
		if failed, ok := errors.AsType[*redlock.QuorumError](err); ok {
			for _, n := range failed.Nodes {
				if n.Verdict == wire.Refused {
					t.Errorf("%s: %v", n.Node, n.Err)
				}
			}
		}
	}
	<-loaded
}
