package redlock_test

import (
	"context"
	"errors"
	"io"
	"net"
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
func servers(t *testing.T, n int) *redisserver.Servers {
	t.Helper()
	return servertest.Start(t, n)
}

// dialed makes a Locker over addresses, which is closed at the end of the test.
func dialed(t *testing.T, addrs []string, opts ...redlock.Option) *redlock.Locker {
	t.Helper()
	nodes, err := pool.Dial(addrs...)
	if err != nil {
		t.Fatal(err)
	}
	return over(t, nodes, opts...)
}

func over(t *testing.T, nodes []pool.Node, opts ...redlock.Option) *redlock.Locker {
	t.Helper()
	l, err := redlock.New(nodes, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_ = l.Close(ctx)
	})
	return l
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

// generous is a node timeout that a busy machine keeps to.
const generous = 2 * time.Second

// patient is far more than any of these tests needs, and far less than the defaults of a go-redis
// client cost: 5s to read, three more tries.
const patient = 4 * time.Second

// Timeouts by context do not bound the I/O of a go-redis client by default, and its retries and
// dials take seconds. Neither reaches a lock, whoever made the client.
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

// The properties that rest on the scripts hold on real servers too.
func TestRealServersLockExtendReleaseAndPassOn(t *testing.T) {
	t.Parallel()
	s := servers(t, 5)
	one, other := dialed(t, s.Addrs(), redlock.WithNodeTimeout(generous), redlock.WithHolder("one")), dialed(t, s.Addrs(), redlock.WithNodeTimeout(generous))
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
	for range 20 { // in turn, each waiting for the other
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
