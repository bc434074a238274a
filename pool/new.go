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

// An Option sets up what [New] makes.
type Option interface{ apply(*client) }

type option func(*client)

func (o option) apply(c *client) { o(c) }

// WithAddr sets the address by which errors, logs and events call the node. The default is the
// client's own. It must not hold credentials. Of a client that asks sentinels for its master
// (redis.NewFailoverClient, redis.NewFailoverClusterClient) go-redis tells neither master nor
// sentinels: it is numbered, unless it is given its master's name here.
func WithAddr(addr string) Option { return option(func(c *client) { c.addr = addr }) }

// WithTimeout sets how long making a connection may take, as [Dialer].Timeout does. The default is
// the longer of the client's own DialTimeout and ReadTimeout.
func WithTimeout(d time.Duration) Option {
	return option(func(c *client) { c.timeout = patience(max(d, 0), c.secured) })
}

// WithMaxIdle sets how long a connection may rest, as [Dialer].MaxIdle does.
func WithMaxIdle(d time.Duration) Option {
	return option(func(c *client) { c.maxIdle = cmp.Or(max(d, 0), defaultMaxIdle) })
}

// New makes a node of what the user's own client leads to: a server, the master that a sentinel
// names, or a whole cluster as one node. It takes the client's address, dialer, TLS and
// credentials, and makes connections of its own from them, with the settings that [Dial] uses: so
// it does not matter what retries and pool the client has, and neither can use up the other's
// connections. The client stays the user's, and is neither used nor closed.
//
// A failover client (redis.NewFailoverClient) dials by a function of go-redis's, which over TLS
// heeds the client's DialTimeout alone: a handshake that the master does not answer goes on for so
// long after the node was closed, and without end where the client has none. So give
// FailoverOptions a DialTimeout, or a Dialer that ends with its context.
//
// A redis.Ring is no node, for it spreads keys over servers that do not agree. Of it, and of nil,
// New makes a node that redlock.New refuses, with the reason.
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
		// they are found by a function: perhaps by asking sentinels
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

// unnamed are the numbers of the clients that do not tell what they lead to.
var unnamed struct {
	mu      sync.Mutex
	numbers map[any]int // by a weak pointer to the client
}

// numbered returns an address that is the client's own, and the same each time: one client is one
// node.
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

// introduced tells the server the client's name before it calls a user's function. Where the server
// does not let the user do that there is none.
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
