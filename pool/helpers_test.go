package pool_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/internal/redisserver"
	"github.com/go-redlock/redlock/internal/servertest"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

const (
	alice = "000102030405060708090a0b0c0d0e0f:alice"
	bob   = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
)

// patience is how long connecting may take on a busy machine.
const patience = 10 * time.Second

// dial makes an open node of an address.
func dial(t testing.TB, addr string) wire.Node {
	t.Helper()
	return dialWith(t, pool.Dialer{Timeout: patience}, addr)
}

func dialWith(t testing.TB, d pool.Dialer, addr string) wire.Node {
	t.Helper()
	nodes, err := d.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	n := wire.NodeOf(nodes[0])
	closeNode := n.Open()
	t.Cleanup(func() {
		if err := closeNode(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// nodeOf makes a node of a client.
func nodeOf(user redis.UniversalClient, opts ...pool.Option) wire.Node {
	return wire.NodeOf(pool.New(user, opts...))
}

// do makes one request, with enough time.
func do(t testing.TB, n wire.Node, r *wire.Request) wire.Reply {
	t.Helper()
	return within(t, n, r, 10*time.Second)
}

func within(t testing.TB, n wire.Node, r *wire.Request, d time.Duration) wire.Reply {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	calls := []wire.Call{{Request: r}}
	n.Do(ctx, calls)
	return calls[0].Reply
}

// real starts a real master, and returns a node of it and a client to inspect it.
func real(t testing.TB, args ...string) (wire.Node, *redis.Client) {
	t.Helper()
	s := servers(t, args...)
	addr := s.Addrs()[0]
	client := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { client.Close() })
	return dial(t, addr), client
}

func servers(t testing.TB, args ...string) *redisserver.Servers {
	t.Helper()
	return servertest.Start(t, 1, args...)
}

// keys returns the keys of the lock of that name.
func keys(t testing.TB, name string) wire.KeySet {
	t.Helper()
	k, err := wire.Keys("", name)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// acquire is a fenced request for the lock.
func acquire(k wire.KeySet, owner string, hint uint64) *wire.Request {
	return &wire.Request{
		Verb: pool.Acquire, Lock: k.Lock, Fence: k.Fence, Owner: owner,
		TTL: 10 * time.Second, Retention: time.Hour, Token: hint,
	}
}

// by is the request of an owner with that token for another verb.
func by(v pool.Verb, k wire.KeySet, owner string, token uint64) *wire.Request {
	r := acquire(k, owner, token)
	r.Verb = v
	if v == pool.Release {
		r.TTL = 0
	}
	return r
}

// reading makes it the request of a reader, who shares the lock.
func reading(r *wire.Request) *wire.Request {
	r.Readers = wire.ReadersKey(r.Lock)
	return r
}

// expect fails the test unless the reply has that verdict.
func expect(t testing.TB, what string, got wire.Reply, want pool.Verdict) {
	t.Helper()
	if got.Verdict != want {
		t.Fatalf("%s: %v (%v), not %v", what, got.Verdict, got.Err, want)
	}
}
