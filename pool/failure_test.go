package pool_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/pool"
)

// A breaking connection fails with err when the request for a lock is written: before it is sent,
// or in place of the answer.
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
			reply := do(t, nodeOf(user), acquire(keys(t, "lock"), alice, 1))
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

// If one side refuses the other's certificate, it will refuse it the next time too.
func TestACertificateThatIsNotAcceptedIsRefusedForGood(t *testing.T) {
	t.Parallel()
	https := httptest.NewTLSServer(nil)
	t.Cleanup(https.Close)
	roots := x509.NewCertPool()
	roots.AddCert(https.Certificate())
	for name, test := range map[string]struct {
		client *tls.Config
		server *tls.Config
		says   string
	}{
		"an unknown authority":           {&tls.Config{MinVersion: tls.VersionTLS12}, &tls.Config{}, "certificate"},
		"another name":                   {&tls.Config{RootCAs: roots, ServerName: "redis.test", MinVersion: tls.VersionTLS12}, &tls.Config{}, "redis.test"},
		"no certificate of ours":         {&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, &tls.Config{ClientAuth: tls.RequireAnyClientCert}, "certificate"},
		"no certificate of ours, TLS1.2": {&tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS12}, &tls.Config{ClientAuth: tls.RequireAnyClientCert}, "handshake failure"},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		conf := test.server.Clone()
		conf.Certificates = https.TLS.Certificates
		f := newFakeAt(t, tls.NewListener(l, conf), func([]string) string { return bulk("OK 1") })
		reply := do(t, dialWith(t, pool.Dialer{Timeout: patience, TLS: test.client}, f.addr), acquire(keys(t, "lock"), alice, 1))
		if reply.Verdict != pool.Refused || !reply.Unsent || !strings.Contains(reply.Err.Error(), test.says) {
			t.Errorf("%s: %v (unsent: %v): %v", name, reply.Verdict, reply.Unsent, reply.Err)
		}
	}
}

func TestAServerThatSpeaksNoTLSIsRefusedForGood(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "-ERR Protocol error: unauthenticated\r\n")
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-served
	})
	d := pool.Dialer{Timeout: patience, TLS: &tls.Config{MinVersion: tls.VersionTLS12}}
	reply := do(t, dialWith(t, d, l.Addr().String()), acquire(keys(t, "lock"), alice, 1))
	if reply.Verdict != pool.Refused || !reply.Unsent || !strings.Contains(reply.Err.Error(), "TLS") {
		t.Errorf("%v (unsent: %v): %v", reply.Verdict, reply.Unsent, reply.Err)
	}
}
