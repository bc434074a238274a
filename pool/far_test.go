package pool_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// A far listener is a round trip away from its clients.
type far struct {
	trip   time.Duration
	conns  chan net.Conn
	closed chan struct{}
	dials  atomic.Int64
	lost   atomic.Int64 // how many dials lead nowhere
	forget atomic.Bool  // what is sent is lost, as when a proxy has forgotten a connection
}

// newFar starts a fake at that distance, in the bubble of the test.
func newFar(t *testing.T, trip time.Duration, answer func(command []string) string) (*far, *fake) {
	t.Helper()
	l := &far{trip: trip, conns: make(chan net.Conn), closed: make(chan struct{})}
	return l, newFakeAt(t, l, answer)
}

func (l *far) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *far) Close() error   { close(l.closed); return nil }
func (l *far) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 6379} }

// dial takes a round trip.
func (l *far) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	n := l.dials.Add(1)
	after := time.After(l.trip)
	if n <= l.lost.Load() {
		after = nil
	}
	select {
	case <-after:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	here, there := net.Pipe()
	select {
	case l.conns <- &delayed{Conn: there, far: l}:
		return here, nil
	case <-l.closed:
		return nil, errors.New("connection refused")
	}
}

// A delayed connection delivers an answer a round trip after its request.
type delayed struct {
	net.Conn
	far  *far
	came atomic.Int64 // when it was asked, in nanoseconds
	old  bool         // it was open when connections were forgotten
}

func (d *delayed) Read(b []byte) (int, error) {
	for {
		n, err := d.Conn.Read(b)
		if d.came.Load() == 0 {
			d.old = d.far.forget.Load()
		}
		d.came.Store(time.Now().UnixNano())
		if err != nil || d.old || !d.far.forget.Load() {
			return n, err
		}
	}
}

func (d *delayed) Write(b []byte) (int, error) {
	time.Sleep(time.Until(time.Unix(0, d.came.Load()).Add(d.far.trip)))
	return d.Conn.Write(b)
}

// open makes a node that dials l, and closes it when the test ends.
func (l *far) open(t *testing.T, o redis.Options, opts ...pool.Option) wire.Node {
	t.Helper()
	o.Addr, o.Dialer = l.Addr().String(), l.dial
	user := redis.NewClient(&o)
	n := nodeOf(user, opts...)
	end := n.Open()
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Error(err)
		}
		_ = user.Close()
	})
	return n
}

// in makes the request with a time limit, which only its context's deadline gives, as a Locker
// does.
func in(t *testing.T, n wire.Node, d time.Duration, r *wire.Request) (reply wire.Reply, took time.Duration) {
	t.Helper()
	began := time.Now()
	calls := []wire.Call{{Request: r}}
	n.Do(deadline{t.Context(), began.Add(d)}, calls)
	return calls[0].Reply, time.Since(began)
}
