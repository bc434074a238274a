package pool

import (
	"context"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

// unreached stands for the connection to a node that could not be reached, and fails with the cause once it is used. Told
// of the failure earlier, go-redis would log it, and after as many as its pool has places give the node up for a second,
// in a goroutine that outlives the client.
type unreached struct{ cause error }

// dialer is the one that the options name, or go-redis's own, but for that. It keeps to the dial timeout.
func dialer(o *redis.Options) func(ctx context.Context, network, addr string) (net.Conn, error) {
	dial, timeout := o.Dialer, o.DialTimeout
	if dial == nil {
		dial = redis.NewDialer(o)
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		c, err := dial(ctx, network, addr)
		if err != nil {
			return &unreached{err}, nil
		}
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
