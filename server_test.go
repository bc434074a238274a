package redlock_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/redisserver"
	"github.com/go-redlock/redlock/internal/servertest"
	"github.com/go-redlock/redlock/pool"
)

// servers starts real masters.
func servers(t *testing.T, n int, args ...string) *redisserver.Servers {
	t.Helper()
	return servertest.Start(t, n, args...)
}

// dialed makes a Locker of real masters, with a generous node timeout.
func dialed(t *testing.T, addrs []string, opts ...redlock.Option) *redlock.Locker {
	t.Helper()
	locks, err := redlock.New(dial(t, addrs), append(with(redlock.WithNodeTimeout(generous)), opts...)...)
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

func dial(t *testing.T, addrs []string) []pool.Node {
	t.Helper()
	nodes, err := pool.Dial(addrs...)
	if err != nil {
		t.Fatal(err)
	}
	return nodes
}

// connect makes a connection to a server, for the test.
func connect(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// command sends a command and returns the first line of the answer.
func command(t *testing.T, c net.Conn, words ...string) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
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

// order is command, over a connection of its own.
func order(t *testing.T, addr string, words ...string) string {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // it has served its purpose
	return command(t, c, words...)
}

// set sends a command to each master, as its administrator.
func set(t *testing.T, addrs []string, words ...string) {
	t.Helper()
	for _, a := range addrs {
		if got := order(t, a, words...); got != "+OK" {
			t.Fatalf("%s: %v: %s", a, words, got)
		}
	}
}

// silentServers take connections and never answer.
func silentServers(t *testing.T, n int) (addrs []string) {
	t.Helper()
	for range n {
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		all.Go(func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				all.Go(func() { _, _ = io.Copy(io.Discard, conn); _ = conn.Close() })
			}
		})
		t.Cleanup(func() { _ = listener.Close() })
		addrs = append(addrs, listener.Addr().String())
	}
	return addrs
}

// generous is a node timeout that is long enough for a busy machine.
const generous = 2 * time.Second

// patient is far longer than any of these tests needs, and far shorter than what the defaults of a
// go-redis client cost: 5s to read, and three more tries.
const patient = 4 * time.Second

// By default a context's timeout does not bound the I/O of a go-redis client, and its retries and
// dials take seconds. Neither affects a lock, whichever way the client was made.
func TestSilentServersCostALockNothingWhateverTheClient(t *testing.T) {
	t.Parallel()
	addrs := append(servers(t, 3).Addrs(), silentServers(t, 2)...)
	for name, nodes := range map[string]func() []pool.Node{
		"dialed": func() []pool.Node {
			nodes, err := pool.Dial(addrs...)
			if err != nil {
				t.Fatal(err)
			}
			return nodes
		},
		"the user's, by default": func() (nodes []pool.Node) {
			for _, addr := range addrs {
				client := redis.NewClient(&redis.Options{Addr: addr})
				t.Cleanup(func() { _ = client.Close() })
				nodes = append(nodes, pool.New(client))
			}
			return nodes
		},
	} {
		l := over(t, nodes(), redlock.WithNodeTimeout(generous))
		if d := took(func() {
			for range 20 {
				le := mustLock(t, l, "a")
				if err := le.Extend(t.Context()); err != nil {
					t.Errorf("%s: Extend: %v", name, err)
				}
				mustUnlock(t, le)
			}
		}); d > patient {
			t.Errorf("%s: twenty locks took %v", name, d)
		}
	}
}

func TestSilentMajorityIsToldSoonWhateverTheClient(t *testing.T) {
	t.Parallel()
	var nodes []pool.Node
	for _, addr := range silentServers(t, 3) {
		client := redis.NewClient(&redis.Options{Addr: addr})
		t.Cleanup(func() { _ = client.Close() })
		nodes = append(nodes, pool.New(client))
	}
	l := over(t, nodes)
	var err error
	if d := took(func() { _, err = l.TryLock(t.Context(), "a") }); d > patient || !errors.Is(err, redlock.ErrNoQuorum) {
		t.Errorf("TryLock took %v: %v", d, err)
	}
}

// The properties that depend on the scripts hold on real servers too.
func TestRealServersLockExtendReleaseAndPassOn(t *testing.T) {
	t.Parallel()
	s := servers(t, 5)
	one, other := dialed(t, s.Addrs(), redlock.WithHolder("one")), dialed(t, s.Addrs())
	le := mustLock(t, one, "a")
	_, err := other.TryLock(t.Context(), "a")
	if q, ok := errors.AsType[*redlock.QuorumError](err); !ok || !errors.Is(err, redlock.ErrHeld) || q.RetryAfter <= 0 {
		t.Errorf("TryLock: %v", err)
	}
	if in, err := other.Inspect(t.Context(), "a"); err != nil || in.Holder != "one" || in.Fence < le.Fence() {
		t.Errorf("Inspect: %+v, %v", in, err)
	}
	mustExtend(t, le)
	last := le.Fence()
	for range 20 { // by turns, each waiting for the other
		waiting := lockInBackground(t.Context(), other, "a")
		mustUnlock(t, le)
		r := <-waiting
		if r.err != nil || r.lease.Fence() <= last {
			t.Fatalf("%v, token after %d: %v", r.lease, last, r.err)
		}
		last, le = r.lease.Fence(), r.lease
		one, other = other, one
	}
	mustUnlock(t, le)
}
