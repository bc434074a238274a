package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/pool"
)

// A connection says which nodes to use, and how. Secrets are shown neither in the help nor in
// errors.
type connection struct {
	Nodes        string         `help:"Nodes, separated by commas: host:port, or redis://, rediss:// and unix:// URLs (env REDLOCK_NODES)." placeholder:"ADDR,…" group:"Nodes"`
	NodesFile    string         `help:"File with the nodes, one on each line; # begins a comment." placeholder:"FILE" group:"Nodes"`
	Username     string         `help:"User name, for nodes whose URL has none." placeholder:"NAME" group:"Nodes"`
	PasswordFile string         `help:"File with the password, for nodes whose URL has none (env REDLOCK_PASSWORD: the password itself)." placeholder:"FILE" group:"Nodes"`
	TLS          bool           `help:"Use TLS with all nodes." group:"Nodes"`
	CACert       string         `name:"ca-cert" help:"File with the certificates of the authorities to trust, instead of the system's; implies --tls." placeholder:"FILE" group:"Nodes"`
	Cert         string         `help:"File with the certificate of the client; implies --tls." placeholder:"FILE" group:"Nodes"`
	Key          string         `help:"File with the key of --cert." placeholder:"FILE" group:"Nodes"`
	KeyPrefix    string         `help:"Prefix of each name that makes its key." placeholder:"PREFIX" group:"Nodes"`
	NodeTimeout  *time.Duration `help:"How long one node may take for one request (default: 250ms, for inspect, ls, top and release 1s, for run a tenth of the TTL up to 1s)." placeholder:"TIME" group:"Nodes"`
}

// addresses returns the nodes' addresses.
func (c *connection) addresses() ([]string, error) {
	list := c.Nodes
	switch {
	case list != "" && c.NodesFile != "":
		return nil, usageError{errors.New("--nodes and --nodes-file exclude each other")}
	case c.NodesFile != "":
		text, err := os.ReadFile(c.NodesFile)
		if err != nil {
			return nil, usageError{err}
		}
		var lines []string
		for line := range strings.Lines(string(text)) {
			line, _, _ = strings.Cut(line, "#")
			lines = append(lines, line)
		}
		list = strings.Join(lines, "\n")
	case list == "":
		list = os.Getenv("REDLOCK_NODES")
	}
	if strings.TrimSpace(list) == "" {
		return nil, usageError{errors.New("no nodes: give --nodes, --nodes-file or REDLOCK_NODES (to try it without any: redlock demo)")}
	}
	addrs, err := pool.ParseList(list)
	if err != nil {
		return nil, usageError{err}
	}
	return addrs, nil
}

// dialer returns how to connect.
func (c *connection) dialer() (d pool.Dialer, err error) {
	d = pool.Dialer{Username: c.Username, Password: os.Getenv("REDLOCK_PASSWORD"), ClientName: "redlock"}
	if t := c.NodeTimeout; t != nil {
		if *t < time.Millisecond || *t > time.Minute {
			return d, usageError{fmt.Errorf("--node-timeout=%v: from 1ms to 1m", *t)}
		}
		d.Timeout = *t
	}
	if c.PasswordFile != "" {
		text, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return d, usageError{err}
		}
		// editors put a byte order mark before the text
		d.Password = strings.TrimRight(strings.TrimPrefix(string(text), "\ufeff"), "\r\n")
	}
	if c.TLS || c.CACert != "" || c.Cert != "" {
		d.TLS, err = c.tls()
	}
	return d, err
}

func (c *connection) tls() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CACert != "" {
		text, err := os.ReadFile(c.CACert)
		if err != nil {
			return nil, usageError{err}
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(text) {
			return nil, usageError{fmt.Errorf("%s: no certificate in it", c.CACert)}
		}
	}
	if c.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, usageError{err}
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

// nodes returns the nodes, in lock verbs.
func (c *connection) nodes() ([]pool.Node, error) {
	addrs, err := c.addresses()
	if err != nil {
		return nil, err
	}
	d, err := c.dialer()
	if err != nil {
		return nil, err
	}
	nodes, err := d.Dial(addrs...)
	if err != nil {
		return nil, usageError{err}
	}
	return nodes, nil
}

// locker returns a Locker of the nodes, and a function that closes it.
func (c *connection) locker(opts ...redlock.Option) (*redlock.Locker, func(), error) {
	nodes, err := c.nodes()
	if err != nil {
		return nil, nil, err
	}
	opts = append(opts, redlock.WithKeyPrefix(c.KeyPrefix))
	if c.NodeTimeout != nil {
		opts = append(opts, redlock.WithNodeTimeout(*c.NodeTimeout))
	}
	locks, err := redlock.New(nodes, opts...)
	if err != nil {
		return nil, nil, err
	}
	return locks, func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = locks.Close(ctx) // what is left on a node that does not answer expires
	}, nil
}

// A server is one node, for Redis commands.
type server struct {
	addr string
	*redis.Client
}

// servers returns clients of the nodes, for what has no lock verb, and a function that closes them.
func (c *connection) servers() ([]server, func(), error) {
	addrs, err := c.addresses()
	if err != nil {
		return nil, nil, err
	}
	d, err := c.dialer()
	if err != nil {
		return nil, nil, err
	}
	all := make([]server, len(addrs))
	for i, addr := range addrs {
		opt, err := d.Options(addr)
		if err != nil {
			return nil, nil, usageError{err}
		}
		wait := c.patience()
		opt.DialTimeout, opt.ReadTimeout, opt.WriteTimeout, opt.PoolTimeout = wait, wait, wait, wait
		all[i] = server{opt.Addr, redis.NewClient(opt)}
	}
	return all, func() {
		for _, s := range all {
			_ = s.Close()
		}
	}, nil
}

// serverTimeout is how long a command to a server may take, unless --node-timeout says longer.
const serverTimeout = 2 * time.Second

// patience is how long a command to a server may take.
func (c *connection) patience() time.Duration {
	if c.NodeTimeout == nil {
		return serverTimeout
	}
	return max(serverTimeout, *c.NodeTimeout)
}
