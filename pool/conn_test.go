package pool_test

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// A deadlined is a connection that records the deadline of each Write.
type deadlined struct {
	net.Conn
	mu     sync.Mutex
	until  time.Time
	writes []time.Time
	sets   int
}

func (d *deadlined) SetDeadline(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.until = t
	d.sets++
	return d.Conn.SetDeadline(t)
}

func (d *deadlined) Write(b []byte) (int, error) {
	d.mu.Lock()
	d.writes = append(d.writes, d.until)
	d.mu.Unlock()
	return d.Conn.Write(b)
}

func TestEachRequestHasItsOwnDeadlineOnAConnectionThatManyUse(t *testing.T) {
	t.Parallel()
	f := newFake(t, func([]string) string { return bulk("OK") })
	var seen *deadlined
	user := redis.NewClient(&redis.Options{Addr: f.addr, Dialer: func(_ context.Context, network, addr string) (net.Conn, error) {
		c, err := net.Dial(network, addr)
		seen = &deadlined{Conn: c}
		return seen, err
	}})
	t.Cleanup(func() { user.Close() })
	n := nodeOf(user)
	defer n.Open()() //nolint:errcheck // nothing to lose
	release := func(until time.Time) (was time.Time) {
		calls := []wire.Call{{Request: by(pool.Release, keys(t, "lock"), alice, 0)}}
		n.Do(deadline{t.Context(), until}, calls)
		expect(t, "release", calls[0].Reply, pool.OK)
		return seen.writes[len(seen.writes)-1]
	}
	// sooner than the client allows by itself
	in := func(ms int) time.Time { return time.Now().Add(time.Duration(ms) * time.Millisecond) }
	// is sent with the greeting, which has another deadline
	release(in(10000))
	for _, ms := range []int{2300, 2400, 2250, 2251, 2252, 2400, 2300} {
		until := in(ms)
		if late := release(until).Sub(until); late < 0 || late > 2*time.Millisecond {
			t.Errorf("the deadline was set %v late", late)
		}
	}
	until := in(2400)
	release(until)
	before := seen.sets
	for range 50 {
		release(until)
	}
	if n := seen.sets - before; n > 0 {
		t.Errorf("%d times the deadline was set that was set already", n)
	}
	if c := f.connections(); c != 1 {
		t.Errorf("%d connections", c)
	}
}

// A pause of the process may let a request's time run out just before it is sent. The idle
// connections are still good.
func TestARequestThatComesTooLateCostsOneConnectionAtMost(t *testing.T) {
	t.Parallel()
	const many = 8
	var together sync.WaitGroup
	together.Add(many)
	f := newFake(t, func(command []string) string {
		if slices.Contains(command, "together") {
			together.Done()
			together.Wait() // so each has a connection of its own
		}
		return bulk("OK")
	})
	n := dial(t, f.addr)
	var all sync.WaitGroup
	for range many {
		all.Go(func() { do(t, n, by(pool.Release, keys(t, "lock"), "together", 0)) })
	}
	all.Wait()
	time.Sleep(110 * time.Millisecond) // then no connection counts as fresh
	calls := []wire.Call{{Request: by(pool.Release, keys(t, "lock"), alice, 0)}}
	n.Do(deadline{t.Context(), time.Now().Add(-5 * time.Millisecond)}, calls)
	expect(t, "too late", calls[0].Reply, pool.Unavailable)
	together.Add(many)
	for range many {
		all.Go(func() { do(t, n, by(pool.Release, keys(t, "lock"), "together", 0)) })
	}
	all.Wait()
	if c := f.connections(); c > many+1 {
		t.Errorf("%d connections, %d would do", c, many+1)
	}
}
