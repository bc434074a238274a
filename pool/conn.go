package pool

import (
	"errors"
	"net"
	"time"
)

// fresh is for how long after it brought an answer a connection is taken to be alive without a look. One that dies within
// that time costs a request: the vote of one node, once.
const fresh = 100 * time.Millisecond

// errStale is the fate of a request that found its connection closed by the server: nothing of it was sent.
var errStale = errors.New("the server had closed the connection")

// A conn looks whether the server has hung up before it sends a request, if it has not been used for a while. go-redis would
// look before each command, for a system call and two allocations. It does not see through this type, and what it would
// have done about a dead connection, which is to take another, [client.Do] does.
//
// One goroutine at a time uses a connection.
type conn struct {
	net.Conn
	heard time.Time // when the server was last heard of
	sent  bool      // something has been sent since
	meter meter
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.heard, c.sent = now(), false
	}
	if !c.meter.fits(b[:n]) {
		return 0, errTooMuch
	}
	return n, err //nolint:wrapcheck // failure looks at it
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	if !c.sent && !c.heard.IsZero() && now().Sub(c.heard) > fresh && dead(c.Conn) {
		return 0, errStale
	}
	c.sent = true
	return c.Conn.Write(b) //nolint:wrapcheck // failure looks at it
}
