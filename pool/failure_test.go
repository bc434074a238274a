package pool_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/pool"
)

// A breaking connection fails with err once the request for a lock is written: before it is sent, or in place of the answer.
type breaking struct {
	net.Conn
	err   error
	write bool
	sent  bool
}

func (b *breaking) Write(p []byte) (int, error) {
	b.sent = b.sent || strings.Contains(strings.ToLower(string(p)), "evalsha")
	if b.sent && b.write {
		return 0, b.err
	}
	return b.Conn.Write(p)
}

func (b *breaking) Read(p []byte) (int, error) {
	if b.sent {
		return 0, b.err
	}
	return b.Conn.Read(p)
}

func TestABrokenConnectionIsNotTakenForAnAnswerWithoutSense(t *testing.T) {
	t.Parallel()
	f := newFake(t, func([]string) string { return bulk("OK 1") })
	reset := os.NewSyscallError("read", syscall.ECONNRESET)
	for name, err := range map[string]error{
		"an error of the system, bare":         syscall.ECONNRESET,
		"an error of a system call":            reset,
		"the same wrapped":                     fmt.Errorf("a proxy of the user's: %w", reset),
		"the same in an error of package net":  &net.OpError{Op: "read", Net: "tcp", Err: reset},
		"a pipe whose other end is closed":     os.NewSyscallError("write", syscall.EPIPE),
		"a host that cannot be reached":        os.NewSyscallError("read", syscall.EHOSTUNREACH),
		"a deadline":                           os.ErrDeadlineExceeded,
		"a context's deadline":                 context.DeadlineExceeded,
		"a closed connection":                  net.ErrClosed,
		"a closed pipe in memory":              io.ErrClosedPipe,
		"the end":                              io.EOF,
		"an end in the middle":                 io.ErrUnexpectedEOF,
		"a name that cannot be resolved":       &net.DNSError{Err: "no such host", Name: "redis"},
		"an alert of TLS":                      tls.AlertError(40),
		"a plain server where TLS is expected": tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"},
		"TLS that was shut down":               errors.New("tls: protocol is shutdown"),
	} {
		for _, write := range []bool{false, true} {
			user := redis.NewClient(&redis.Options{Addr: f.addr, Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
				c, dialErr := new(net.Dialer).DialContext(ctx, network, addr)
				return &breaking{Conn: c, err: err, write: write}, dialErr
			}})
			t.Cleanup(func() { user.Close() })
			reply := do(t, pool.New(user), acquire(keys(t, "lock"), alice, 1))
			if reply.Verdict != pool.Unavailable || errors.Is(reply.Err, pool.ErrBadReply) || !strings.Contains(reply.Err.Error(), err.Error()) {
				t.Errorf("%s (write: %v): %v, %v", name, write, reply.Verdict, reply.Err)
			}
			if reply.Unsent {
				t.Errorf("%s (write: %v): a request that may have been sent counts as unsent", name, write)
			}
		}
	}
}

func TestAnAnswerThatCannotBeReadIsNotTakenForABrokenConnection(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"\r\n", "?what\r\n", "$x\r\n", "*x\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n"} {
		f := newFake(t, func([]string) string { return text })
		reply := do(t, dial(t, f.addr), acquire(keys(t, "lock"), alice, 1))
		if reply.Err == nil || !errors.Is(reply.Err, pool.ErrBadReply) {
			t.Errorf("%q: %v, %v", text, reply.Verdict, reply.Err)
		}
	}
}
