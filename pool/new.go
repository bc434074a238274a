package pool

import (
	"strings"

	"github.com/redis/go-redis/v9"
)

// An Option sets up what [New] makes.
type Option interface{ apply(*client) }

type option func(*client)

func (o option) apply(c *client) { o(c) }

// WithAddr sets the address by which errors, logs and events call the node. The default is the client's own. It must not
// hold credentials.
func WithAddr(addr string) Option { return option(func(c *client) { c.addr = addr }) }

// New makes a node of the user's own client: standalone, a failover client of a sentinel, or a whole cluster as one node. The
// client stays the user's, to set up and to close. Whatever its timeouts and retries: no request is sent twice, and a call that
// outlives its deadline is left to itself, a few at most at a time.
//
// A redis.Ring is no node, for it spreads keys over servers that do not agree: redlock.New refuses it, as it does nil.
func New(user redis.UniversalClient, opts ...Option) Node {
	c := &client{redis: user, addr: address(user)}
	if c.addr == "" {
		return nil
	}
	for _, o := range opts {
		o.apply(c)
	}
	return c
}

// address is what the client calls its server, or "" if it cannot be a node.
func address(user redis.UniversalClient) string {
	switch r := user.(type) {
	case *redis.Client:
		if r != nil {
			return r.Options().Addr
		}
	case *redis.ClusterClient:
		if r != nil {
			return strings.Join(append([]string{"cluster"}, r.Options().Addrs...), " ")
		}
	}
	return ""
}
