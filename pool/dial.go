package pool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
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

	// ClientName is what CLIENT LIST shows.
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
// An address is host:port, a host alone (port 6379), or a URL: redis://[user[:password]@]host[:port][/db], or rediss:// for
// TLS. Errors name the address and what is wrong with it, without its password.
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
	if timeout < 0 || size < 0 || t.db < 0 {
		return nil, errors.New("a negative timeout, pool size or database")
	}
	opt := &redis.Options{
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
	theirs := punctual(opt.OnConnect)
	c.own = func() redis.UniversalClient {
		o := *opt
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
			return c.greet(ctx, cn)
		}
		return redis.NewClient(&o)
	}
	return c
}

// greet is called with each new connection: it learns which server is at the other end.
func (c *client) greet(ctx context.Context, cn *redis.Conn) error {
	info, err := cn.Info(ctx, "server").Result()
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

// A target is what an address says, with the Dialer's settings where it says nothing.
type target struct {
	addr               string
	username, password string
	credentials        func(context.Context) (string, string, error)
	tls                *tls.Config
	db                 int
}

func (d Dialer) target(addr string) (*target, error) {
	t := &target{username: d.Username, password: d.Password, credentials: d.Credentials, tls: d.TLS, db: d.DB}
	hostport := addr
	if strings.Contains(addr, "://") {
		u, err := url.Parse(addr)
		if err != nil {
			return nil, errors.New("not a URL") // the parser's own words repeat it, password and all
		}
		if strings.Contains(u.Opaque+u.Path, "@") { // then part of a password may be taken for the host
			return nil, errors.New("not a URL: the characters / ? # and @ of a password must be escaped")
		}
		if err := t.url(u); err != nil {
			return nil, fmt.Errorf("%q: %w", u.Scheme+"://"+u.Host+u.Path, err) // a password may stand in all the rest
		}
		hostport = u.Host
	} else if strings.Contains(addr, "@") {
		return nil, errors.New("credentials need a URL: redis://user:password@host:port")
	}
	host, port, err := splitHostPort(hostport)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", hostport, err)
	}
	t.addr = net.JoinHostPort(host, port)
	if t.tls != nil && t.tls.ServerName == "" {
		t.tls = t.tls.Clone()
		t.tls.ServerName = host
	}
	return t, nil
}

// url takes over what the URL says.
func (t *target) url(u *url.URL) error {
	switch u.Scheme {
	case "redis":
	case "rediss":
		if t.tls == nil {
			t.tls = &tls.Config{MinVersion: tls.VersionTLS12}
		}
	default:
		return fmt.Errorf("the scheme is redis or rediss, not %q", u.Scheme)
	}
	if u.User != nil {
		t.username, t.credentials = u.User.Username(), nil
		t.password, _ = u.User.Password()
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return errors.New("parameters are not known: use a Dialer")
	}
	if path := strings.Trim(u.Path, "/"); path != "" {
		db, err := strconv.Atoi(path)
		if err != nil || db < 0 {
			return errors.New("the path is the number of a database")
		}
		t.db = db
	}
	return nil
}

const defaultPort = "6379"

// splitHostPort takes apart host:port, [v6]:port, or a host alone.
func splitHostPort(s string) (host, port string, err error) {
	host, port = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"), defaultPort
	if bare := !strings.Contains(host, ":") || net.ParseIP(host) != nil; !bare {
		if host, port, err = net.SplitHostPort(s); err != nil {
			return "", "", errors.New("not host:port")
		}
	}
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case host == "" || strings.ContainsAny(host, " \t\r\n/\\\"'<>"):
		return "", "", errors.New("the host is missing or not one")
	case err != nil || n == 0:
		return "", "", errors.New("the port is not a number from 1 to 65535")
	}
	return host, port, nil
}

// ParseList splits a list of addresses as people write it in flags, files and the environment: separated by commas, blanks or newlines. It fails if
// there is none, or one is not an address that [Dial] takes.
func ParseList(list string) ([]string, error) {
	addrs := strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })
	if len(addrs) == 0 {
		return nil, errors.New("pool: no address")
	}
	for i, a := range addrs {
		if _, err := (Dialer{}).target(a); err != nil {
			return nil, fmt.Errorf("pool: address %d: %w", i+1, err)
		}
	}
	return addrs, nil
}
