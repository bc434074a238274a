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
	"github.com/go-redlock/redlock/internal/wire"
)

func TestTheHandbooksUserMayDoAllThatLocksNeed(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rule, found := strings.Cut(string(text), "ACL SETUSER ")
	if !found {
		t.Fatal("docs/operations.md has no ACL SETUSER any more")
	}
	rule, _, _ = strings.Cut(rule, "\n")
	keys, err := wire.Keys("app:", "job")
	if err != nil {
		t.Fatal(err)
	}
	addrs := servers(t, 3).Addrs()
	admins := make([]net.Conn, len(addrs))
	for i, a := range addrs {
		c := connect(t, a)
		if got := command(t, c, append([]string{"ACL", "SETUSER"}, strings.Fields(rule)...)...); got != "+OK" {
			t.Fatal(got)
		}
		admins[i] = c
		addrs[i] = "redis://locks:secret@" + a
	}
	locks := dialed(t, addrs, redlock.WithRestartGuard(time.Minute), redlock.WithKeyPrefix("app:"))
	if err := locks.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := dialed(t, addrs, redlock.WithRestartGuard(time.Minute), redlock.WithKeyPrefix("app:"))
	lease, err := locks.Lock(t.Context(), "job")
	if err != nil {
		t.Fatal(err)
	}
	mustExtend(t, lease)
	if _, err := other.Inspect(t.Context(), "job"); err != nil {
		t.Error(err)
	}
	waiting := make(chan error)
	go func() {
		lease, err := other.Lock(t.Context(), "job", redlock.WithWait(time.Minute))
		if err == nil {
			err = lease.Unlock(t.Context())
		}
		waiting <- err
	}()
	// Wait until the release has a waiter to notify. A majority of refusals decides an attempt, so
	// it need not reach the third node.
	for queues := 0; queues < 2; {
		queues = 0
		for _, c := range admins {
			if command(t, c, "ZCARD", keys.Queue) == ":1" {
				queues++
			}
		}
		if t.Context().Err() != nil {
			t.Fatal("nobody waits")
		}
	}
	began := time.Now()
	if err := lease.Unlock(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-waiting; err != nil || time.Since(began) > generous {
		t.Errorf("the waiter was told nothing: %v after %v", err, time.Since(began))
	}
	plain, err := locks.TryLock(t.Context(), "plain", redlock.WithoutFencing(), redlock.WithMinHold(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(plain.Extend(t.Context()), plain.Unlock(t.Context())); err != nil {
		t.Error(err)
	}
}

// If the server stops a script half way, because the user may not use a command, no lock is left
// behind.
func TestAcquireThatFailsHalfWayLeavesNothing(t *testing.T) {
	t.Parallel()
	keys, err := wire.Keys("", "job")
	if err != nil {
		t.Fatal(err)
	}
	addrs := servers(t, 3).Addrs()
	admins := make([]net.Conn, len(addrs))
	for i, a := range addrs {
		c := connect(t, a)
		if got := command(t, c, "ACL", "SETUSER", "locks", "on", ">secret", "~*", "&*", "+@all", "-time"); got != "+OK" {
			t.Fatal(got)
		}
		admins[i], addrs[i] = c, "redis://locks:secret@"+a
	}
	locks := dialed(t, addrs)
	if _, err = locks.TryLock(t.Context(), "job"); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Fatalf("error: %v", err)
	}
	if err := locks.Close(t.Context()); err != nil {
		t.Error(err)
	}
	for _, c := range admins {
		if got := command(t, c, "EXISTS", keys.Lock); got != ":0" {
			t.Errorf("EXISTS: %s", got)
		}
	}
}

// A server applies a new list of users in one step. No request is refused in between, so Lock may
// treat such a refusal as permanent.
func TestALockIsNotRefusedWhileUsersAreLoadedAnew(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/users.acl"
	users := "user default on nopass ~* &* +@all\nuser locks on >secret ~* &* +@all\n"
	if err := os.WriteFile(file, []byte(users), 0o600); err != nil {
		t.Fatal(err)
	}
	addrs := servers(t, 3, "--aclfile", file).Addrs()
	admins := addrs
	addrs = make([]string, len(admins))
	for i, a := range admins {
		addrs[i] = "redis://locks:secret@" + a
	}
	locks := dialed(t, addrs)
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
