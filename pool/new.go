package pool

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"
	"weak"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/internal/wire"
)

// An Option sets up a node that [New] makes.
type Option interface{ apply(*client) }

type option func(*client)

func (o option) apply(c *client) { o(c) }

// WithAddr sets the address that names the node in errors, logs and events. The default is the
// client's own. It must not hold credentials. go-redis does not reveal the master or the sentinels
// of a client that asks sentinels for its master (redis.NewFailoverClient,
// redis.NewFailoverClusterClient): such a node is called by a number, unless you set its master's
// name here.
func WithAddr(addr string) Option { return option(func(c *client) { c.addr = addr }) }

// WithTimeout sets how long connecting may take, as [Dialer].Timeout does. The default is the
// longer of the client's own DialTimeout and ReadTimeout.
func WithTimeout(d time.Duration) Option {
	return option(func(c *client) { c.timeout = patience(max(d, 0), c.secured) })
}

// WithMaxIdle sets how long a connection may be idle, as [Dialer].MaxIdle does.
func WithMaxIdle(d time.Duration) Option {
	return option(func(c *client) { c.maxIdle = cmp.Or(max(d, 0), defaultMaxIdle) })
}

// New makes a node from the user's own client: of a server, of the master that a sentinel names, or
// of a whole cluster as one node. It takes the client's address, dialer, TLS and credentials, and
// makes separate connections with them, under the settings that [Dial] uses. So the client's
// retries and pool do not matter, and node and client cannot exhaust each other's connections. New
// neither uses nor closes the client.
//
// A failover client (redis.NewFailoverClient) dials by a function of go-redis that over TLS obeys
// only the client's DialTimeout. If the master does not answer the handshake, that function runs
// until the DialTimeout even though the node was closed, and for ever if there is none. So give
// FailoverOptions a DialTimeout, or a Dialer that ends with its context.
//
// A redis.Ring cannot be a node, because it spreads keys over servers that do not agree. From a
// Ring, and from nil, New makes a node that redlock.New refuses, with the reason.
func New(user redis.UniversalClient, opts ...Option) Node {
	var c *client
	switch r := user.(type) {
	case *redis.Client:
		if r == nil {
			return wire.Seal(&unfit{"nil", errNil})
		}
		o := *r.Options()
		harden(&o, defaultPoolSize)
		c = standalone(o, max(r.Options().DialTimeout, r.Options().ReadTimeout), defaultMaxIdle)
		if o.Addr == failoverAddr {
			c.addr = numbered(failoverAddr, weak.Make(r))
		}
	case *redis.ClusterClient:
		if r == nil {
			return wire.Seal(&unfit{"nil", errNil})
		}
		c = wholeCluster(*r.Options())
		// a function finds the masters, perhaps by asking sentinels
		if len(r.Options().Addrs) == 0 {
			c.addr = numbered(c.addr, weak.Make(r))
		}
	case nil:
		return wire.Seal(&unfit{"nil", errNil})
	case *redis.Ring:
		return wire.Seal(&unfit{"Ring", errRing})
	default:
		return wire.Seal(&unfit{fmt.Sprintf("%T", user), errFormal})
	}
	for _, o := range opts {
		o.apply(c)
	}
	return wire.Seal(c)
}

// failoverAddr is what go-redis calls every client that asks sentinels for its master.
const failoverAddr = "FailoverClient"

// unnamed numbers the clients that do not reveal where they lead.
var unnamed struct {
	mu      sync.Mutex
	numbers map[any]int // by a weak pointer to the client
}

// numbered returns an address for the client that no other client has, and always the same one: one
// client is one node.
func numbered(addr string, client any) string {
	unnamed.mu.Lock()
	defer unnamed.mu.Unlock()
	n, known := unnamed.numbers[client]
	if !known {
		if unnamed.numbers == nil {
			unnamed.numbers = make(map[any]int)
		}
		n = len(unnamed.numbers) + 1
		unnamed.numbers[client] = n
	}
	return fmt.Sprintf("%s %d", addr, n)
}

// introduced returns a function that tells the server the client's name and then calls a user's
// function. If the server does not permit the name, the connection has none.
func introduced(name string, then func(context.Context, *redis.Conn) error) func(context.Context, *redis.Conn) error {
	if name == "" {
		return then
	}
	return func(ctx context.Context, cn *redis.Conn) error {
		_ = cn.ClientSetName(ctx, name).Err()
		if then == nil {
			return nil
		}
		return then(ctx, cn)
	}
}
