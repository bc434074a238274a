package pool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// A Dialer makes nodes from addresses. The zero Dialer is ready to use; it must not change while it is in use. What an
// address says for itself takes precedence.
type Dialer struct {
	Username string
	Password string
	// Credentials, if set, is asked for the username and password of each new connection.
	Credentials func(ctx context.Context) (username, password string, err error)

	// TLS, if set, secures the connections to all addresses. The server's name is the address's unless it is set.
	TLS *tls.Config

	// DB is the number of the database. Two databases of one server are not two nodes: redlock.New takes them for one address.
	DB int

	// ClientName is what CLIENT LIST shows. Where the server does not let the user set it there is none.
	ClientName string

	// Timeout bounds how long making a connection, and twice that how long waiting for an answer may take, besides the node timeout of
	// the Locker. It should be about the longest node timeout in use: 250 ms unless set.
	Timeout time.Duration

	// PoolSize is how many connections there may be to one node. A Locker uses two at a time, or four if it is the
	// only node, and one more to listen. The default is 16.
	PoolSize int
}

const (
	defaultTimeout  = 250 * time.Millisecond
	defaultPoolSize = 16
	bufferSize      = 4 << 10
)

// Dial makes a node of each address, with the zero [Dialer].
func Dial(addrs ...string) ([]Node, error) { return Dialer{}.Dial(addrs...) }

// Dial makes a node of each address. It does not connect; connections are made when they are needed, and closed when the
// last Locker that uses the nodes is.
//
// An address is host:port, a host alone (port 6379), or a URL:
//
//	redis://[user[:password]@]host[:port][/db]
//	rediss://…                                  the same over TLS
//	unix://[user[:password]@]/path[?db=N]       a socket on this machine, always without TLS
//
// A user and a password are each taken from the Dialer where the URL has none of its own. Errors name
// the address and what is wrong with it, without its password.
func (d Dialer) Dial(addrs ...string) ([]Node, error) {
	nodes := make([]Node, 0, len(addrs))
	for i, a := range addrs {
		opt, err := d.options(a)
		if err != nil {
			return nil, fmt.Errorf("pool: address %d: %w", i+1, err)
		}
		nodes = append(nodes, standalone(opt))
	}
	return nodes, nil
}

// Options returns the settings by which [Dialer.Dial] connects to an address, for a go-redis client of
// one's own: it takes the same addresses and gives the same errors.
func (d Dialer) Options(addr string) (*redis.Options, error) {
	opt, err := d.options(addr)
	if err != nil {
		return nil, fmt.Errorf("pool: %w", err)
	}
	opt.OnConnect, opt.ClientName = introduced(opt.ClientName, nil), ""
	return opt, nil
}

// options are the settings for one address.
func (d Dialer) options(addr string) (*redis.Options, error) {
	t, err := d.target(addr)
	if err != nil {
		return nil, err
	}
	timeout, size := d.Timeout, d.PoolSize
	if timeout == 0 {
		timeout = defaultTimeout
	}
	if size == 0 {
		size = defaultPoolSize
	}
	switch {
	case timeout < 0:
		return nil, fmt.Errorf("Dialer.Timeout is below zero: %v", timeout)
	case size < 0:
		return nil, fmt.Errorf("Dialer.PoolSize is below zero: %d", size)
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
	harden(opt, timeout, size)
	return opt, nil
}

// harden sets what keeps a node that does not answer from costing more than its vote: a request is neither sent nor dialed twice, keeps
// to its deadline, and a connection takes two round trips.
func harden(o *redis.Options, timeout time.Duration, size int) {
	o.MaxRetries = -1
	o.DialTimeout, o.DialerRetries = timeout, 1
	o.ReadTimeout, o.WriteTimeout, o.ContextTimeoutEnabled = 2*timeout, 2*timeout, true
	o.PoolSize, o.PoolTimeout = size, timeout
	o.ReadBufferSize, o.WriteBufferSize = bufferSize, bufferSize
	o.DisableIdentity, o.Protocol = true, 2 // of the newer protocol's pushes we want none
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// standalone makes a node of one server, which these options lead to.
func standalone(opt *redis.Options) *client {
	c := &client{addr: opt.Addr}
	c.prompt.Store(opt.OnConnect == nil && opt.Limiter == nil &&
		opt.CredentialsProvider == nil && opt.CredentialsProviderContext == nil && opt.StreamingCredentialsProvider == nil)
	theirs, name := punctual(opt.OnConnect), opt.ClientName
	c.own = func() redis.UniversalClient {
		o := *opt
		o.ClientName = "" // go-redis would give up the connection where setting it is denied
		o.Dialer = dialer(&o, func(made net.Conn) {
			if !keepsDeadlines(made) {
				c.prompt.Store(false)
			}
		})
		o.CredentialsProviderContext = punctualCredentials(opt.CredentialsProviderContext)
		o.OnConnect = func(ctx context.Context, cn *redis.Conn) error {
			if theirs != nil {
				if err := theirs(ctx, cn); err != nil {
					return err
				}
			}
			return c.greet(ctx, cn, name)
		}
		return redis.NewClient(&o)
	}
	return c
}

// greet is called with each new connection: it learns which server is at the other end, and tells it our
// name if there is one.
func (c *client) greet(ctx context.Context, cn *redis.Conn, name string) error {
	var asked *redis.StringCmd
	_, _ = cn.Pipelined(ctx, func(p redis.Pipeliner) error { // each command has its own error
		asked = p.Info(ctx, "server")
		if name != "" {
			p.ClientSetName(ctx, name) // where that is denied CLIENT LIST shows none
		}
		return nil
	})
	info, err := asked.Result()
	if err != nil {
		if _, answered := errors.AsType[redis.Error](err); answered {
			return c.identify("") // INFO is not allowed, or not now: nobody knows which server this is
		}
		return err //nolint:wrapcheck // failure looks at it
	}
	if tooOld(info) {
		return ErrTooOld
	}
	return c.identify(info)
}

// tooOld reports whether the server is older than what the scripts need.
func tooOld(info string) bool {
	version, least := infoField(info, "valkey_version"), [2]int{7, 2}
	if version == "" {
		version, least = infoField(info, "redis_version"), [2]int{7, 0}
	}
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, errA := strconv.Atoi(major)
	b, errB := strconv.Atoi(minor)
	return errA == nil && errB == nil && (a < least[0] || a == least[0] && b < least[1])
}

// infoField returns a field of what INFO answers, or "".
func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
