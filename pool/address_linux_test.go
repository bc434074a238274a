package pool_test

import (
	"context"
	"encoding/binary"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/go-redlock/redlock/internal/servertest"
	"github.com/go-redlock/redlock/pool"
)

// A name may have two addresses, and the first, an AAAA record, may lead nowhere. Go then tries the
// other one 300 ms later. There must be time for that, however short the time for connecting is.
//
//nolint:paralleltest // it changes how the whole process resolves names
func TestANameWhoseFirstAddressLeadsNowhereConnects(t *testing.T) {
	f := newFake(t, granted)
	_, port, _ := net.SplitHostPort(f.addr)
	swallow(t, f.listen.Addr().(*net.TCPAddr).Port) //nolint:forcetypeassert // it is TCP
	usual := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = usual })
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: nameserver(t)}
	n := dialWith(t, pool.Dialer{Timeout: 250 * ms}, "two-addresses.test:"+port)
	began := time.Now()
	for time.Since(began) < patience {
		if reply, _ := in(t, n, 50*ms, acquire(keys(t, "lock"), alice, 1)); reply.Verdict == pool.OK {
			if d := time.Since(began); d < 250*ms {
				t.Errorf("after %v: the first address was not tried", d)
			}
			return
		}
	}
	t.Error("it never connected")
}

// swallow makes sure that connections to a port of ::1 are neither made nor refused: its listener
// has no room for them.
func swallow(t *testing.T, port int) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET6, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		servertest.Missing(t, err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	addr := &syscall.SockaddrInet6{Port: port, Addr: [16]byte(net.IPv6loopback)}
	for _, err := range []error{
		syscall.SetsockoptInt(fd, syscall.IPPROTO_IPV6, syscall.IPV6_V6ONLY, 1), syscall.Bind(fd, addr), syscall.Listen(fd, 0),
	} {
		if err != nil {
			servertest.Missing(t, err)
		}
	}
	for range 8 { // one fills it
		ctx, cancel := context.WithTimeout(t.Context(), 100*ms)
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp6", (&net.TCPAddr{IP: net.IPv6loopback, Port: port}).String())
		cancel()
		if err != nil {
			return
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the listener has room for all")
}

// nameserver starts a name server that resolves every name to ::1 and 127.0.0.1.
func nameserver(t *testing.T) func(ctx context.Context, network, addr string) (net.Conn, error) {
	t.Helper()
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-ended })
	go func() {
		defer close(ended)
		for query := make([]byte, 1500); ; {
			n, from, err := l.ReadFrom(query)
			if err != nil {
				return
			}
			l.WriteTo(record(query[:n]), from)
		}
	}()
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", l.LocalAddr().String())
	}
}

// record returns the answer to a DNS query, by RFC 1035 and 3596.
func record(query []byte) []byte {
	end := 12 // of the question: a name, a type and a class
	for query[end] != 0 {
		end += 1 + int(query[end])
	}
	end += 5
	kind, address := query[end-4:end-2], []byte{127, 0, 0, 1}
	if binary.BigEndian.Uint16(kind) == 28 { // AAAA
		address = net.IPv6loopback
	}
	answer := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0}, query[12:end]...)
	answer = append(answer, 0xc0, 12, kind[0], kind[1], 0, 1, 0, 0, 0, 60, 0, byte(len(address)))
	return append(answer, address...)
}
