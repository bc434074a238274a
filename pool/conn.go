package pool

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9/auth"
)

const (
	// fresh is how long after its last use a connection counts as alive without a check. If it dies
	// within that time, that costs a request: the vote of one node, once.
	fresh = 100 * time.Millisecond
	// slack is how much later than its deadline a request may be given up. Setting a deadline costs
	// more than a microsecond, so close deadlines share one.
	slack = 2 * time.Millisecond
)

var (
	// errStale is the error of a request whose connection was closed by the server, idle for too
	// long, or made with older credentials: nothing was sent.
	errStale = errors.New("the server had closed the connection")
	// errAhead is the error of a connection over which go-redis sends something else than was sent
	// ahead.
	errAhead = errors.New("the server takes no greeting in one")
)

// A conn that has not been used for a while checks before it sends a request whether the server has
// closed it. go-redis would check before each command, which costs a system call and two
// allocations; it cannot do so through this type. If the connection is dead, [client.Do] takes
// another, as go-redis would. A conn that was idle for too long counts as dead: a NAT, a proxy or a
// balancer may have silently dropped it, and a request sent over it would vanish.
//
// With the first command, which is HELLO, it also sends ahead what go-redis will send after the
// answer. When go-redis then writes that, it is not sent again. So the whole greeting of a new
// connection costs one round trip, together with the first request: see earlyData.
//
// One goroutine at a time uses a connection, also one that is subscribed: [client.Listen]
// subscribes and receives in the same goroutine. So one deadline for both reading and writing is
// enough.
type conn struct {
	net.Conn
	used  time.Time // when something was last sent or received
	sent  bool      // nothing was received since
	until time.Time // the deadline that is set
	meter meter

	maxIdle   time.Duration // how long it may have been idle before it carries a request
	ahead     []byte        // sent with the first command, and not yet written by go-redis
	early     earlyData     // gives more to send ahead; nil: nothing
	dialled   time.Duration // how long dialling took
	sentEarly bool          // a request was sent ahead
	trip      time.Duration // the shortest round trip so far; 0: none yet
	// the server's first answer, if that is an error and nothing came after it
	refusal string
	odd     bool  // the server's first answer, which is to HELLO, is an error
	broke   error // the latest error of the network

	unsubscribe auth.UnsubscribeFunc // from the provider of credentials; nil if there is none
	outdated    atomic.Bool          // there are newer credentials
}

// OnNext implements [auth.CredentialsListener].
func (c *conn) OnNext(auth.Credentials) { c.outdated.Store(true) }

// OnError implements [auth.CredentialsListener]. It does nothing: the server refuses credentials
// that are no longer valid.
func (*conn) OnError(error) {}

// Close implements net.Conn.
func (c *conn) Close() error {
	if c.unsubscribe != nil {
		_ = c.unsubscribe()
	}
	return c.Conn.Close() //nolint:wrapcheck // nobody uses it
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error { return c.expire(t) }

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.expire(t) }

// SetDeadline implements net.Conn. go-redis clears the deadlines of a connection that it takes from
// its pool, and sets them before it reads or writes: so there is nothing to clear.
func (c *conn) SetDeadline(t time.Time) error {
	if t.IsZero() {
		return nil
	}
	return c.expire(t)
}

// expire sets the deadline for reading and writing, or keeps the present one if that is close
// enough: go-redis sets both deadlines for each command.
func (c *conn) expire(t time.Time) error {
	if !t.IsZero() {
		if late := c.until.Sub(t); late >= 0 && late <= slack {
			return nil
		}
		t = t.Add(slack)
	}
	c.until = t
	return c.Conn.SetDeadline(t) //nolint:wrapcheck // failure looks at it
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		c.broke = err
	}
	if n > 0 {
		c.came(b[:n])
	}
	if !c.meter.fits(b[:n]) {
		return 0, errTooMuch
	}
	return n, err //nolint:wrapcheck // failure looks at it
}

// came notes that the server has sent something.
func (c *conn) came(b []byte) {
	if c.refusal = ""; c.trip == 0 && b[0] == '-' {
		c.odd = true
		if line, rest, _ := bytes.Cut(b[1:], []byte("\r\n")); len(rest) == 0 {
			c.refusal = string(line)
		}
	}
	at := now()
	if trip := max(at.Sub(c.used), 1); c.sent && (c.trip == 0 || trip < c.trip) {
		c.trip = trip
	}
	c.used, c.sent = at, false
}

// refused returns the server's reason for closing the connection, if it has sent one, and otherwise
// err. A server that is full, or in protected mode, sends that reason whatever the first command
// is; go-redis takes it for the answer to HELLO, and goes on. If err hides the network's error,
// refused returns that error.
func (c *conn) refused(err error) error {
	if c.broke != nil && errors.Is(c.broke, err) {
		err = c.broke
	}
	if hungUp(err) && c.refusal != "" {
		return serverError(c.refusal)
	}
	return err
}

// hungUp reports whether err means that the server has closed the connection.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	if c.used.IsZero() {
		if c.early != nil {
			early := c.early(c.dialled)
			c.ahead, c.sentEarly = slices.Concat(c.ahead, early), len(early) > 0
		}
		c.used, c.sent = now(), true
		_, err := c.Conn.Write(slices.Concat(b, c.ahead))
		c.broke = err
		return len(b), err
	}
	if len(c.ahead) > 0 {
		if !bytes.HasPrefix(c.ahead, b) {
			return 0, errAhead
		}
		c.ahead = c.ahead[len(b):]
		return len(b), nil
	}
	if !c.sent {
		before := c.used
		c.used = now()
		if rest := elapsed(before, c.used); c.outdated.Load() || rest > fresh && (rest > c.maxIdle || dead(c.Conn)) {
			return 0, errStale
		}
	}
	c.sent = true
	return c.Conn.Write(b) //nolint:wrapcheck // failure looks at it
}

// keepsDeadlines reports whether the connection is known to keep deadlines. A user's own type may
// ignore them.
func keepsDeadlines(c net.Conn) bool {
	switch c := c.(type) {
	case *tls.Conn:
		return keepsDeadlines(c.NetConn())
	case *net.TCPConn, *net.UnixConn:
		return true
	default:
		return false
	}
}
