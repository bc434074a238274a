package redlock_test

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-redlock/redlock"
)

// A foreignLock sends the same commands as redlock-py.
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

func TestAProgramInAnotherLanguageAndThisOneExcludeEachOther(t *testing.T) {
	t.Parallel()
	const name, ttl = "job", 10 * time.Second
	addrs := servers(t, 3).Addrs()
	locks := dialed(t, addrs)
	foreign := &foreignLock{value: "8gMdaH3CTmWsyzqP0dvX1k"}
	for _, a := range addrs {
		c := connect(t, a)
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
	// this library's lock is on two already, and may be on its way to the third
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

	// The foreign lock expires, and the waiter gets it.
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

// node-redlock, and others like the first implementation, send the arguments in one order, redis-py
// in another. Values may be anything.
func TestAnyForeignValueExcludesUs(t *testing.T) {
	t.Parallel()
	addrs := servers(t, 1).Addrs()
	locks := dialed(t, addrs)
	c := connect(t, addrs[0])
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
