package pool_test

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// A countingConn counts the writes that carry many requests.
type countingConn struct {
	net.Conn
	writes *atomic.Int64
}

// Write implements net.Conn.
func (c countingConn) Write(b []byte) (int, error) {
	if len(b) > 1<<10 { // one request is far smaller
		c.writes.Add(1)
	}
	return c.Conn.Write(b) //nolint:wrapcheck // it is the network's
}

// A batch in pieces would cost a system call, and the server a read, for each piece.
func TestABatchLeavesInOneWrite(t *testing.T) {
	t.Parallel()
	f := newFake(t, func([]string) string { return "+OK\r\n" })
	f.info = "redis_version:7.0.0"
	var writes atomic.Int64
	client := redis.NewClient(&redis.Options{Dialer: func(ctx context.Context, network, _ string) (net.Conn, error) {
		cn, err := new(net.Dialer).DialContext(ctx, network, f.addr)
		return countingConn{cn, &writes}, err
	}})
	defer client.Close()
	n := nodeOf(client)
	do(t, n, acquire(keys(t, "first"), alice, 0)) // makes the connection
	calls := make([]wire.Call, 64)
	for i := range calls {
		calls[i].Request = &wire.Request{
			Verb: pool.Acquire, Lock: keys(t, fmt.Sprint("lock", i)).Lock, Owner: alice, TTL: 10 * time.Second,
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	before := writes.Load()
	n.Do(ctx, calls)
	if w := writes.Load() - before; w != 1 {
		t.Errorf("it left in %d writes", w)
	}
	for i := range calls {
		if calls[i].Reply.Verdict != pool.OK {
			t.Fatalf("request %d: %+v", i, calls[i].Reply)
		}
	}
}
