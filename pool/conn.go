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
	// fresh is for how long after it was used a connection is taken to be alive without a look. One
	// that dies within that time costs a request: the vote of one node, once.
	fresh = 100 * time.Millisecond
	// slack is how much later than its deadline a request may be given up. A new deadline costs
	// more than a microsecond.
	slack = 2 * time.Millisecond
)

var (
	// errStale is the fate of a request that found its connection closed by the server, rested for
	// too long, or made with older credentials: nothing of it was sent.
	errStale = errors.New("the server had closed the connection")
	// errAhead is the fate of a connection over which go-redis sends something else than was sent
	// ahead.
	errAhead = errors.New("the server takes no greeting in one")
)

// A conn looks whether the server has hung up before it sends a request, if it has not been used
// for a while. go-redis would look before each command, for a system call and two allocations. It
// does not see through this type, and what it would have done about a dead connection, which is to
// take another, [client.Do] does. So it goes for one that has rested long: a NAT, a proxy or a
// balancer may have forgotten it without a word, and then what is sent over it vanishes.
//
// With the first command, which is HELLO, it sends ahead what go-redis is about to send once that
// is answered, and takes that for sent when it comes. So all that a new connection is asked costs
// one round trip, and the first request with it: see earlyData.
//
// One goroutine at a time uses a connection, also one that is subscribed: [client.Listen]
// subscribes and receives in one. That is why a deadline for reading and writing does.
type conn struct {
	net.Conn
	used  time.Time // when something was last sent, or came
	sent  bool      // the server has not been heard of since
	until time.Time // the deadline that is set
	meter meter

	maxIdle   time.Duration // for how long it may have rested before it carries a request
	ahead     []byte        // what is sent with the first command and was not written since
	early     earlyData     // gives more of that; nil: there is none
	dialled   time.Duration // how long that took
	sentEarly bool          // a request was sent so
	trip      time.Duration // the shortest round trip so far; 0: none yet
	// the server's first answer, where it is an error and nothing came after it
	refusal string
	odd     bool  // the server's first answer, which is to HELLO, is an error
	broke   error // the latest error of the network

	unsubscribe auth.UnsubscribeFunc // from what tells credentials; nil: from nothing
	outdated    atomic.Bool          // there are newer credentials
}

// OnNext implements [auth.CredentialsListener].
func (c *conn) OnNext(auth.Credentials) { c.outdated.Store(true) }

// OnError implements [auth.CredentialsListener]. The server tells when the credentials do no more.
func (*conn) OnError(error) {}

// Close implements net.Conn.
func (c *conn) Close() error {
	if c.unsubscribe != nil {
		_ = c.unsubscribe()
	}
	return c.Conn.Close() //nolint:wrapcheck // nobody looks at it
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

// expire sets the deadline for reading and writing, or leaves it where it will do: go-redis sets
// both for each command.
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

// came notes that the server has been heard of.
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

// refused returns the server's reason to hang up, if it has told one, and else err. A server that
// is full, or protects itself, answers so whatever the first command is; go-redis takes it for an
// answer to HELLO, and goes on. Of an error that wraps another it returns the other.
func (c *conn) refused(err error) error {
	if c.broke != nil && errors.Is(c.broke, err) {
		err = c.broke
	}
	if hungUp(err) && c.refusal != "" {
		return serverError(c.refusal)
	}
	return err
}

// hungUp reports whether err says that the server has closed the connection.
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

// keepsDeadlines reports whether the connection is known to. One of a user's making may take no
// notice of them.
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
