package redlock_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-redlock/redlock"
)

// A failing observer passes on the errors of attempts.
type failing chan error

// Observe implements redlock.Observer.
func (f failing) Observe(e redlock.Event) {
	if e, ok := e.(redlock.AttemptEvent); ok && e.Err != nil {
		select {
		case f <- e.Err:
		default: // the test no longer waits for it
		}
	}
}

// lockThrough calls Lock on faulty masters, repairs the masters after an attempt has failed with
// that text, and returns the result of the Lock.
func lockThrough(t *testing.T, addrs []string, text string, mend func()) error {
	t.Helper()
	failed := make(failing)
	locks := dialed(t, addrs, redlock.WithObserver(failed))
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

func TestAWaitingLockOutlivesMastersWithoutMemory(t *testing.T) {
	t.Parallel()
	addrs := servers(t, 3).Addrs()
	set(t, addrs, "CONFIG", "SET", "maxmemory", "1")
	if err := lockThrough(t, addrs, "OOM", func() { set(t, addrs, "CONFIG", "SET", "maxmemory", "0") }); err != nil {
		t.Error(err)
	}
}

func TestAWaitingLockOutlivesAScriptOfSomebodyElses(t *testing.T) {
	t.Parallel()
	addrs := servers(t, 3).Addrs()
	set(t, addrs, "CONFIG", "SET", "lua-time-limit", "1")
	for _, a := range addrs {
		c := connect(t, a)
		if _, err := c.Write([]byte("EVAL \"while true do end\" 0\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	if err := lockThrough(t, addrs, "BUSY", func() { set(t, addrs, "SCRIPT", "KILL") }); err != nil {
		t.Error(err)
	}
}

// A server of a cluster also has the connections of the other servers, and a different error if
// there is no room left. It hangs up after the error, which may therefore get lost.
func TestAWaitingLockOutlivesFullClusterNodes(t *testing.T) {
	t.Parallel()
	addrs := servers(t, 3, "--cluster-enabled", "yes", "--cluster-require-full-coverage", "no", "--maxclients", "5").Addrs()
	set(t, addrs, "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	for _, a := range addrs {
		for order(t, a, "SET", "x", "y") != "+OK" { // it takes a moment until it serves the slots
			if t.Context().Err() != nil {
				t.Fatal("the cluster does not come up")
			}
		}
	}
	var others []net.Conn
	for _, a := range addrs {
		for full := false; !full; {
			c := connect(t, a)
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
