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
// is in use. Settings in an address take precedence over the Dialer's.
type Dialer struct {
	Username string
	Password string
	// Credentials, if set, returns the username and password for each new connection. Nodes pass
	// its errors on.
	Credentials func(ctx context.Context) (username, password string, err error)

	// TLS, if set, secures the connections to all addresses. If its ServerName is empty, the host
	// of the address is used.
	TLS *tls.Config

	// DB is the number of the database. Two databases of one server are not two nodes: redlock.New
	// refuses an address that is given twice, whatever its database.
	DB int

	// ClientName is shown by CLIENT LIST. If the server does not permit the user to set a name, the
	// connections have none.
	ClientName string

	// Timeout bounds how long connecting may take, from dialling to the answer to the greeting.
	// Connecting goes on in the background even after the request that needed it has been given up;
	// so Timeout may be far longer than a node timeout. The default is 5 s, as in go-redis. The
	// least is a second, or two over TLS; a smaller value counts as that. Where a request may take
	// longer than Timeout, so may connecting.
	Timeout time.Duration

	// MaxIdle is how long a connection may be idle before it is closed. A proxy, a balancer or a
	// NAT may silently drop an idle connection, and a request sent over it would cost the node's
	// vote. So MaxIdle must be less than the idle timeout of anything between here and the node:
	// HAProxy's examples have 50 s, AWS's balancers 60 to 350 s, Linux's connection tracking days.
	// The default is 30 s.
	MaxIdle time.Duration

	// PoolSize is the greatest number of connections to one node. A Locker uses two at a time, or
	// four if it has only one node, and one more to listen. The default is 16.
	PoolSize int
}

const (
	defaultTimeout = 5 * time.Second
	// the first address of a name may lead nowhere (Go tries the next after 300 ms), or a SYN may
	// be lost (it is sent again after 1 s).
	leastTimeout    = time.Second
	defaultMaxIdle  = 30 * time.Second
	defaultPoolSize = 16
	// holds a batch of requests under load: from a smaller buffer it would leave in pieces, and
	// each piece costs the client a system call and the server another read.
	bufferSize = 32 << 10
)

// Dial makes a node from each address, with the zero [Dialer].
func Dial(addrs ...string) ([]Node, error) { return Dialer{}.Dial(addrs...) }

// Dial makes a node from each address. It does not connect: connections are made when they are
// needed, and closed when the last Locker that uses the nodes is closed.
//
// An address is host:port, a host alone (port 6379), or a URL:
//
//	redis://[user[:password]@]host[:port][/db]
//	rediss://…                                  the same over TLS
//	unix://[user[:password]@]/path[?db=N]       a socket on this machine, always without TLS
//
// If the URL has no user, or no password, that is taken from the Dialer. Errors name the address,
// without its password, and the reason.
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

// Options returns the settings with which [Dialer.Dial] connects to an address, for use in your own
// go-redis client. It accepts the same addresses and returns the same errors as Dial.
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

// patience returns how long connecting may take: as long as asked, by default defaultTimeout, and
// never less than the least time.
func patience(asked time.Duration, secured bool) time.Duration {
	least := leastTimeout
	if secured {
		least *= 2 // TLS adds a round trip (TLS 1.2: two), and work for both ends
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

// longest is longer than any request may take: its context has an earlier deadline.
const longest = 2 * time.Minute

// harden has go-redis neither send nor dial twice for a request, and always keep the request's
// deadline: so a node that does not answer costs only its vote.
func harden(o *redis.Options, size int) {
	o.MaxRetries = -1
	o.DialTimeout, o.DialerRetries = longest, 1
	o.ReadTimeout, o.WriteTimeout, o.ContextTimeoutEnabled = longest, longest, true
	o.PoolSize, o.PoolTimeout = size, longest
	o.ReadBufferSize, o.WriteBufferSize = bufferSize, bufferSize
	o.DisableIdentity, o.Protocol = true, 2 // no push messages, which protocol 3 has
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// standalone makes a node of the server that the options lead to.
func standalone(opt redis.Options, timeout, maxIdle time.Duration) *client {
	c := &client{addr: opt.Addr, secured: opt.TLSConfig != nil, maxIdle: maxIdle}
	c.timeout = patience(timeout, c.secured)
	c.prompt.Store(opt.OnConnect == nil && opt.Limiter == nil &&
		opt.CredentialsProvider == nil && opt.CredentialsProviderContext == nil && opt.StreamingCredentialsProvider == nil)
	c.connector = newConnector(opt)
	c.connector.trip, c.connector.shown, c.connector.maxIdle = &c.trip, &c.shown, &c.maxIdle
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
