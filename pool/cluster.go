package pool

import (
	"context"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// wholeCluster makes one node of a cluster. go-redis keeps the connections to its servers, and
// would make them while a request waits. To avoid that, one connection of ours stands for a
// connection to each master: making it has go-redis connect to all masters, on a time limit that is
// not the request's.
func wholeCluster(o redis.ClusterOptions) *client {
	c := &client{
		addr:    strings.Join(append([]string{"cluster"}, o.Addrs...), " "),
		secured: o.TLSConfig != nil, maxIdle: defaultMaxIdle,
	}
	c.timeout = patience(max(o.DialTimeout, o.ReadTimeout), c.secured)
	o.MaxRetries = -1
	o.DialerRetries = 1
	o.ReadTimeout, o.WriteTimeout, o.ContextTimeoutEnabled = longest, longest, true
	o.PoolSize, o.PoolTimeout = defaultPoolSize, longest
	o.ReadBufferSize, o.WriteBufferSize = bufferSize, bufferSize
	o.DisableIdentity, o.Protocol = true, 2 // no push messages, which protocol 3 has
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.OnConnect, o.CredentialsProviderContext = introduced(o.ClientName, punctual(o.OnConnect)), punctualCredentials(o.CredentialsProviderContext)
	o.ClientName = ""
	dial := dialer(&redis.Options{Dialer: o.Dialer, TLSConfig: o.TLSConfig})
	c.own = func() *connections {
		copied := o
		copied.DialTimeout, copied.ConnMaxIdleTime = c.timeout, c.maxIdle
		s := newConnections(c.timeout, c.maxIdle, defaultPoolSize)
		copied.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, c.timeout)
			defer cancel()
			defer context.AfterFunc(s.ctx, cancel)()
			return dial(ctx, network, addr)
		}
		client := redis.NewClusterClient(&copied)
		context.AfterFunc(s.ctx, func() { _ = client.Close() })
		s.connect = func(ctx context.Context, _ earlyData) (*connection, error) {
			if err := meet(ctx, s, client); err != nil {
				return nil, err
			}
			return &connection{carrier: client, end: func() {}}, nil
		}
		return s
	}
	return c
}

// meet has go-redis connect to each master of the cluster. It returns once all have answered, but
// does not wait for a master that takes more than twice as long as the first: a slow master must
// not delay the locks of the others.
func meet(ctx context.Context, s *connections, client *redis.ClusterClient) error {
	began, all, first := now(), make(chan error, 1), make(chan time.Duration, 1)
	go func() {
		ctx, cancel := context.WithTimeout(s.ctx, s.timeout)
		defer cancel()
		all <- client.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
			err := master.Ping(ctx).Err()
			if err == nil {
				select {
				case first <- now().Sub(began):
				default:
				}
			}
			return err //nolint:wrapcheck // failure looks at it
		})
	}()
	select {
	case err := <-all:
		if len(first) > 0 {
			return nil
		}
		return err
	case took := <-first:
		ctx, cancel := context.WithTimeout(ctx, took)
		defer cancel()
		select {
		case <-all: //nolint:errcheck // one master that answers is enough
		case <-ctx.Done():
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
