package pool

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/go-redlock/redlock/internal/wire"
)

// A Dialer makes nodes from addresses. The zero Dialer is ready to use; it must not change while it
// is in use. What an address says for itself takes precedence.
type Dialer struct {
	Username string
	Password string
	// Credentials, if set, is asked for the username and password of each new connection. Nodes
	// repeat its errors.
	Credentials func(ctx context.Context) (username, password string, err error)

	// TLS, if set, secures the connections to all addresses. The server's name is the address's
	// unless it is set.
	TLS *tls.Config

	// DB is the number of the database. Two databases of one server are not two nodes: redlock.New
	// takes them for one address.
	DB int

	// ClientName is what CLIENT LIST shows. Where the server does not let the user set it there is
	// none.
	ClientName string

	// Timeout bounds how long making a connection may take, from dialling to the answer to its
	// greeting. That goes on in the background, whatever becomes of the request that was first to
	// need it; so it may be far longer than a node timeout. The default, which is go-redis's, is 5
	// s. Less than a second, or two over TLS, counts as that; and where a request may take longer,
	// so may connecting.
	Timeout time.Duration

	// MaxIdle is how long a connection may rest. One that has rested that long is closed: a proxy,
	// a balancer or a NAT may have forgotten it without a word, and a request sent over it would
	// cost the node's vote. The default is 30 s. It must be less than what is in between allows:
	// HAProxy's examples say 50 s, AWS's balancers 60 to 350 s, Linux's connection tracking days.
	MaxIdle time.Duration

	// PoolSize is how many connections there may be to one node. A Locker uses two at a time, or
	// four if it is the only node, and one more to listen. The default is 16.
	PoolSize int
}

const (
	defaultTimeout = 5 * time.Second
	// a name's first address may lead nowhere (Go tries the next after 300 ms), a SYN be lost (sent
	// again after 1 s).
	leastTimeout    = time.Second
	defaultMaxIdle  = 30 * time.Second
	defaultPoolSize = 16
	// a batch of requests under load: in a smaller buffer it would leave in pieces, each of which
	// costs the client a system call and the server one more read.
	bufferSize = 32 << 10
)

// Dial makes a node of each address, with the zero [Dialer].
func Dial(addrs ...string) ([]Node, error) { return Dialer{}.Dial(addrs...) }

// Dial makes a node of each address. It does not connect; connections are made when they are
// needed, and closed when the last Locker that uses the nodes is.
//
// An address is host:port, a host alone (port 6379), or a URL:
//
//	redis://[user[:password]@]host[:port][/db]
//	rediss://…                                  the same over TLS
//	unix://[user[:password]@]/path[?db=N]       a socket on this machine, always without TLS
//
// A user and a password are each taken from the Dialer where the URL has none of its own. Errors
// name the address and what is wrong with it, without its password.
func (d Dialer) Dial(addrs ...string) ([]Node, error) {
	nodes := make([]Node, 0, len(addrs))
	for i, a := range addrs {
		opt, err := d.options(a)
		if err != nil {
			return nil, fmt.Errorf("pool: address %d: %w", i+1, err)
		}
		nodes = append(nodes, wire.Seal(standalone(*opt, d.Timeout, cmp.Or(d.MaxIdle, defaultMaxIdle))))
	}
	return nodes, nil
}

// Options returns the settings by which [Dialer.Dial] connects to an address, for a go-redis client
// of one's own: it takes the same addresses and gives the same errors.
func (d Dialer) Options(addr string) (*redis.Options, error) {
	opt, err := d.options(addr)
	if err != nil {
		return nil, fmt.Errorf("pool: %w", err)
	}
	opt.OnConnect, opt.ClientName = introduced(opt.ClientName, nil), ""
	opt.DialTimeout = patience(d.Timeout, opt.TLSConfig != nil)
	opt.ReadTimeout, opt.WriteTimeout, opt.PoolTimeout = opt.DialTimeout, opt.DialTimeout, opt.DialTimeout
	return opt, nil
}

// patience is how long making a connection may take, if that was asked for.
func patience(asked time.Duration, secured bool) time.Duration {
	least := leastTimeout
	if secured {
		least *= 2 // one round trip more, with TLS 1.2 two, and work for both ends
	}
	return max(cmp.Or(asked, defaultTimeout), least)
}

// options are the settings for one address.
func (d Dialer) options(addr string) (*redis.Options, error) {
	t, err := d.target(addr)
	if err != nil {
		return nil, err
	}
	switch {
	case d.Timeout < 0:
		return nil, fmt.Errorf("Dialer.Timeout is below zero: %v", d.Timeout)
	case d.MaxIdle < 0:
		return nil, fmt.Errorf("Dialer.MaxIdle is below zero: %v", d.MaxIdle)
	case d.PoolSize < 0:
		return nil, fmt.Errorf("Dialer.PoolSize is below zero: %d", d.PoolSize)
	case t.db < 0:
		return nil, fmt.Errorf("Dialer.DB is below zero: %d", t.db)
	}
	opt := &redis.Options{
		Network:                    t.network,
		Addr:                       t.addr,
		Username:                   t.username,
		Password:                   t.password,
		CredentialsProviderContext: t.credentials,
		DB:                         t.db,
		TLSConfig:                  t.tls,
		ClientName:                 d.ClientName,
	}
	harden(opt, cmp.Or(d.PoolSize, defaultPoolSize))
	return opt, nil
}

// longest is more than any request may take: the deadline of its context is sooner.
const longest = 2 * time.Minute

// harden sets what keeps a node that does not answer from costing more than its vote: a request is
// neither sent nor dialed twice, and keeps to its deadline, whatever that is.
func harden(o *redis.Options, size int) {
	o.MaxRetries = -1
	o.DialTimeout, o.DialerRetries = longest, 1
	o.ReadTimeout, o.WriteTimeout, o.ContextTimeoutEnabled = longest, longest, true
	o.PoolSize, o.PoolTimeout = size, longest
	o.ReadBufferSize, o.WriteBufferSize = bufferSize, bufferSize
	o.DisableIdentity, o.Protocol = true, 2 // of the newer protocol's pushes we want none
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// standalone makes a node of one server, which these options lead to.
func standalone(opt redis.Options, timeout, maxIdle time.Duration) *client {
	c := &client{addr: opt.Addr, secured: opt.TLSConfig != nil, maxIdle: maxIdle}
	c.timeout = patience(timeout, c.secured)
	c.prompt.Store(opt.OnConnect == nil && opt.Limiter == nil &&
		opt.CredentialsProvider == nil && opt.CredentialsProviderContext == nil && opt.StreamingCredentialsProvider == nil)
	c.connector = newConnector(opt)
	c.connector.trip, c.connector.maxIdle = &c.trip, &c.maxIdle
	c.connector.made = func(made net.Conn) {
		if !keepsDeadlines(made) {
			c.prompt.Store(false)
		}
	}
	c.own = func() *connections {
		s := newConnections(c.timeout, c.maxIdle, opt.PoolSize)
		s.connect, s.sentinels = c.connector.connect, opt.Addr == failoverAddr
		s.secured = c.secured
		return s
	}
	return c
}
