package pool

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// unreached stands for the connection to a node that could not be reached, and fails with the cause once it is used. Told
// of the failure earlier, go-redis would log it, and after as many as its pool has places give the node up for a second,
// in a goroutine that outlives the client.
type unreached struct {
	cause error
	when  time.Time
}

// redialPause is for how long the failure to reach a node answers for further requests. A node that refuses connections would
// cost a dial for each; one that is back is found out this much later.
const redialPause = 20 * time.Millisecond

// dialer is the one that the options name, or go-redis's own, but for that. It keeps to the dial timeout, and shows each connection that it has made.
func dialer(o *redis.Options, show func(net.Conn)) func(ctx context.Context, network, addr string) (net.Conn, error) {
	dial, timeout := o.Dialer, o.DialTimeout
	if dial == nil {
		dial = redis.NewDialer(o)
	}
	var last atomic.Pointer[unreached]
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if u := last.Load(); u != nil && now().Sub(u.when) < redialPause {
			return u, nil
		}
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		c, err := dial(ctx, network, addr)
		if err != nil {
			u := &unreached{err, now()}
			last.Store(u)
			return u, nil
		}
		show(c)
		return &conn{Conn: c}, nil
	}
}

// Error implements error.
func (u *unreached) Error() string { return u.cause.Error() }

// Unwrap returns the cause.
func (u *unreached) Unwrap() error { return u.cause }

// Read implements net.Conn.
func (u *unreached) Read([]byte) (int, error) { return 0, u }

// Write implements net.Conn.
func (u *unreached) Write([]byte) (int, error) { return 0, u }

// Close implements net.Conn.
func (*unreached) Close() error { return nil }

// LocalAddr implements net.Conn.
func (*unreached) LocalAddr() net.Addr { return &net.TCPAddr{} }

// RemoteAddr implements net.Conn.
func (*unreached) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// SetDeadline implements net.Conn.
func (*unreached) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (*unreached) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (*unreached) SetWriteDeadline(time.Time) error { return nil }
