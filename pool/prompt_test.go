package pool_test

import (
	"context"
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// A caller that makes the round trip itself cannot wait for a slow connection.
func TestDoEndsWithItsContextThoughAConnectionIsBeingMade(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // it takes connections, and never shakes hands
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const long = 20 * time.Second
	n := dialWith(t, pool.Dialer{Timeout: long, TLS: &tls.Config{MinVersion: tls.VersionTLS12}}, l.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	calls := []wire.Call{{Request: acquire(keys(t, "lock"), alice, 1)}}
	began := time.Now()
	n.Do(ctx, calls)
	if d := time.Since(began); d > long/2 {
		t.Errorf("it took %v", d)
	}
	expect(t, "acquire", calls[0].Reply, pool.Unavailable)
}

// A user's function may ignore its context.
func TestANodeThatCallsAUsersFunctionsIsNotPrompt(t *testing.T) {
	t.Parallel()
	credentials := func(context.Context) (username, password string, err error) { return "", "", nil }
	greet := func(context.Context, *redis.Conn) error { return nil }
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}})
	defer cluster.Close()
	for name, test := range map[string]struct {
		node   wire.Node
		prompt bool
	}{
		"an address":      {dial(t, "127.0.0.1:1"), true},
		"a client":        {nodeOf(client(t, redis.Options{})), true},
		"credentials":     {dialWith(t, pool.Dialer{Credentials: credentials}, "127.0.0.1:1"), false},
		"its credentials": {nodeOf(client(t, redis.Options{CredentialsProviderContext: credentials})), false},
		"older ones":      {nodeOf(client(t, redis.Options{CredentialsProvider: func() (username, password string) { return "", "" }})), false},
		"its limiter":     {nodeOf(client(t, redis.Options{Limiter: limiter{}})), false},
		"its greeting":    {nodeOf(client(t, redis.Options{OnConnect: greet})), false},
		"a whole cluster": {nodeOf(cluster), false},
	} {
		p, ok := test.node.(interface{ Prompt() bool })
		if !ok || p.Prompt() != test.prompt {
			t.Errorf("%s: prompt: %t", name, !test.prompt)
		}
	}
}

type limiter struct{}

func (limiter) Allow() error       { return nil }
func (limiter) ReportResult(error) {}

// A deaf connection is of a user's own type.
type deaf struct{ net.Conn }

func (deaf) SetDeadline(time.Time) error { return nil }

func TestANodeOverAUsersConnectionsIsNotPrompt(t *testing.T) {
	t.Parallel()
	f := newFake(t, func([]string) string { return bulk("OK 1") })
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"its own": func(c net.Conn) net.Conn { return c },
		"deaf":    func(c net.Conn) net.Conn { return deaf{c} },
	} {
		user := redis.NewClient(&redis.Options{Addr: f.addr, Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			return wrap(c), err
		}})
		defer user.Close()
		n := nodeOf(user)
		defer n.Open()()
		expect(t, "acquire", do(t, n, acquire(keys(t, "lock"), alice, 1)), pool.OK)
		if p, ok := n.(interface{ Prompt() bool }); !ok || p.Prompt() != (name != "deaf") {
			t.Errorf("%s: prompt: %t", name, name == "deaf")
		}
	}
}

// client makes a client that leads nowhere.
func client(t *testing.T, o redis.Options) *redis.Client {
	t.Helper()
	o.Addr = "127.0.0.1:1"
	c := redis.NewClient(&o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}
