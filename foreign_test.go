package redlock_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/redisserver"
	"github.com/go-redlock/redlock/internal/servertest"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// A foreignLock does what redlock-py does, with its very commands.
type foreignLock struct {
	servers []net.Conn
	value   string
}

const foreignUnlock = `
    if redis.call("get",KEYS[1]) == ARGV[1] then
        return redis.call("del",KEYS[1])
    else
        return 0
    end`

// lock returns on how many masters it got the lock.
func (f *foreignLock) lock(t *testing.T, name string, ttl time.Duration) (granted int) {
	t.Helper()
	for _, s := range f.servers {
		if command(t, s, "SET", name, f.value, "PX", strconv.FormatInt(ttl.Milliseconds(), 10), "NX") == "+OK" {
			granted++
		}
	}
	return granted
}

// unlock returns on how many masters it had the lock.
func (f *foreignLock) unlock(t *testing.T, name string) (deleted int) {
	t.Helper()
	for _, s := range f.servers {
		if command(t, s, "EVAL", foreignUnlock, "1", name, f.value) == ":1" {
			deleted++
		}
	}
	return deleted
}

// command sends one and returns the first line of the answer.
func command(t *testing.T, c net.Conn, args ...string) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := io.WriteString(c, b.String()); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// realServers starts masters, and skips the test where there are none to start.
func realServers(t *testing.T, n int) *redisserver.Servers {
	t.Helper()
	return servertest.Start(t, n)
}

// dialled makes a Locker of real masters.
func dialled(t *testing.T, addrs []string, opts ...redlock.Option) *redlock.Locker {
	t.Helper()
	nodes, err := pool.Dial(addrs...)
	if err != nil {
		t.Fatal(err)
	}
	locks, err := redlock.New(nodes, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := locks.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return locks
}

func TestAProgramInAnotherLanguageAndThisOneExcludeEachOther(t *testing.T) {
	t.Parallel()
	const name, ttl = "job", 10 * time.Second
	addrs := realServers(t, 3).Addrs()
	locks := dialled(t, addrs, redlock.WithNodeTimeout(generous))
	foreign := &foreignLock{value: "8gMdaH3CTmWsyzqP0dvX1k"}
	for _, a := range addrs {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", a)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		foreign.servers = append(foreign.servers, c)
	}

	if n := foreign.lock(t, name, ttl); n != 3 {
		t.Fatalf("the foreign lock was granted by %d masters", n)
	}
	_, err := locks.TryLock(t.Context(), name)
	if refused, ok := errors.AsType[*redlock.QuorumError](err); !ok || !errors.Is(err, redlock.ErrHeld) {
		t.Fatalf("while it is held TryLock says %v", err)
	} else if refused.RetryAfter <= 0 || refused.RetryAfter > ttl || refused.Holder != "" {
		t.Errorf("RetryAfter is %v, the holder %q", refused.RetryAfter, refused.Holder)
	}
	if in, err := locks.Inspect(t.Context(), name); err != nil || in.Owner == "" || in.Holder != "" {
		t.Errorf("Inspect says %+v, %v", in, err)
	}
	if strings.Contains(fmt.Sprint(err), foreign.value) {
		t.Errorf("the error gives the foreign owner away: %v", err)
	}
	if n := foreign.unlock(t, name); n != 3 {
		t.Fatalf("our attempt has harmed the foreign lock: %d masters had it", n)
	}

	lease, err := locks.TryLock(t.Context(), name)
	if err != nil {
		t.Fatalf("after its release TryLock says %v", err)
	}
	// our lock is on two already, and may be on its way to the third
	granted := foreign.lock(t, name, ttl)
	if granted > 1 {
		t.Errorf("the foreign lock was granted by %d masters while ours is held", granted)
	}
	if n := foreign.unlock(t, name); n != granted {
		t.Errorf("the foreign release has deleted our lock on %d masters", n-granted)
	}
	if err := lease.Unlock(t.Context()); err != nil {
		t.Fatalf("the foreign attempt has harmed our lock: %v", err)
	}
	// Unlock does not wait for the last one
	if n := foreign.lock(t, name, 500*time.Millisecond); n < 2 {
		t.Errorf("after our release the foreign lock was granted by %d masters", n)
	}

	// It expires, and who waits gets it.
	next, err := locks.Lock(t.Context(), name, redlock.WithWait(10*time.Second))
	if err != nil {
		t.Fatalf("after its end Lock says %v", err)
	}
	if next.Fence() <= lease.Fence() {
		t.Errorf("the tokens are %d and %d", lease.Fence(), next.Fence())
	}
	if err := next.Unlock(t.Context()); err != nil {
		t.Error(err)
	}
}

// The users of node-redlock and others in the style of the first implementation lock with one
// argument order, those of redis-py with another; values may be anything.
func TestAnyForeignValueExcludesUs(t *testing.T) {
	t.Parallel()
	addrs := realServers(t, 1).Addrs()
	locks := dialled(t, addrs, redlock.WithNodeTimeout(generous))
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	for i, value := range []string{"", "0", "12e4567", "null", "a b\r\nc", strings.Repeat("x", 4096), "\x00\xff", strings.Repeat("0", 32) + ":label"} {
		name := fmt.Sprint("job", i)
		if got := command(t, c, "SET", name, value, "NX", "PX", "10000"); got != "+OK" {
			t.Fatal(got)
		}
		if _, err := locks.TryLock(t.Context(), name); !errors.Is(err, redlock.ErrHeld) {
			t.Errorf("with the value %.20q TryLock says %v", value, err)
		}
	}
}

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
	addrs := realServers(t, 3).Addrs()
	var admin net.Conn
	for i, a := range addrs {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", a)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if got := command(t, c, append([]string{"ACL", "SETUSER"}, strings.Fields(rule)...)...); got != "+OK" {
			t.Fatal(got)
		}
		admin = c
		addrs[i] = "redis://locks:secret@" + a
	}
	locks := dialled(t, addrs, redlock.WithRestartGuard(time.Minute), redlock.WithKeyPrefix("app:"), redlock.WithNodeTimeout(generous))
	if err := locks.Bootstrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := dialled(t, addrs, redlock.WithRestartGuard(time.Minute), redlock.WithKeyPrefix("app:"), redlock.WithNodeTimeout(generous))
	lease, err := locks.Lock(t.Context(), "job")
	if err != nil {
		t.Fatal(err)
	}
	mustExtend(t, lease)
	if _, err := other.Inspect(t.Context(), "job"); err != nil {
		t.Error(err)
	}
	began := time.Now()
	waiting := make(chan error)
	go func() {
		lease, err := other.Lock(t.Context(), "job", redlock.WithWait(time.Minute))
		if err == nil {
			err = lease.Unlock(t.Context())
		}
		waiting <- err
	}()
	for command(t, admin, "ZCARD", keys.Queue) != ":1" { // until the release has somebody to tell
		if t.Context().Err() != nil {
			t.Fatal("nobody waits")
		}
	}
	if err := lease.Unlock(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-waiting; err != nil || time.Since(began) > 5*time.Second {
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

// A script that the server stops half way, for a command that the user may not give, leaves no lock
// behind.
func TestAcquireThatFailsHalfWayLeavesNothing(t *testing.T) {
	t.Parallel()
	keys, err := wire.Keys("", "job")
	if err != nil {
		t.Fatal(err)
	}
	addrs := realServers(t, 3).Addrs()
	admins := make([]net.Conn, len(addrs))
	for i, a := range addrs {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", a)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if got := command(t, c, "ACL", "SETUSER", "locks", "on", ">secret", "~*", "&*", "+@all", "-time"); got != "+OK" {
			t.Fatal(got)
		}
		admins[i], addrs[i] = c, "redis://locks:secret@"+a
	}
	locks := dialled(t, addrs, redlock.WithNodeTimeout(generous))
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
