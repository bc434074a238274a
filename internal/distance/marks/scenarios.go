//go:build linux

package marks

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/wire"
)

// A site is the place of a scenario: the clients' side of a link.
type site struct {
	scenario Scenario
	addrs    []string
	settings Settings
	scale    float64
	open     func() (Locker, error)
	openIn   func(region int) (Locker, error) // where the scenario has several
}

// patience is how long a Lock may take. If it takes longer, the figure is never.
const patience = 20 * time.Second

// times returns how often something is measured.
func (s *site) times(n int) int { return max(3, int(float64(n)*s.scale)) }

// third returns the address of the third nearest master, for which a majority of five waits.
func (s *site) third() string { return s.addrs[2] }

// admin returns a client for each master, to inspect it.
func (s *site) admin() (clients []*redis.Client) {
	for _, addr := range s.addrs {
		clients = append(clients, redis.NewClient(&redis.Options{
			Addr: addr, TLSConfig: s.settings.TLS, PoolSize: 1, DisableIdentity: true,
		}))
	}
	return clients
}

// A socket is a connection without a client library.
type socket struct {
	conn net.Conn
	in   *bufio.Reader
}

func (s *site) socket(ctx context.Context, addr string) (*socket, error) {
	var d interface {
		DialContext(ctx context.Context, network, addr string) (net.Conn, error)
	} = &net.Dialer{}
	if s.settings.TLS != nil {
		d = &tls.Dialer{Config: s.settings.TLS}
	}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("a bare socket: %w", err)
	}
	return &socket{c, bufio.NewReader(c)}, nil
}

// ping makes one round trip.
func (s *socket) ping() (time.Duration, error) {
	began := time.Now()
	if _, err := io.WriteString(s.conn, "PING\r\n"); err != nil {
		return 0, fmt.Errorf("ping: %w", err)
	}
	_, err := s.in.ReadString('\n')
	return time.Since(began), err
}

// samples are measured times.
type samples []time.Duration

// p50 returns their median, in milliseconds.
func (s samples) p50() float64 { return s.percentile(50) }

// percentile returns a percentile of them by nearest rank, in milliseconds.
func (s samples) percentile(p int) float64 {
	if len(s) == 0 {
		return never
	}
	sorted := slices.Sorted(slices.Values(s))
	return float64(sorted[(len(sorted)*p-1)/100]) / float64(time.Millisecond)
}

// pairs measures Lock and Unlock of a free name, and by turns a PING to the third nearest master.
func pairs(ctx context.Context, s *site) (Figures, error) {
	l, err := s.open()
	if err != nil {
		return nil, err
	}
	defer l.Close()
	bare, err := s.socket(ctx, s.third())
	if err != nil {
		return nil, err
	}
	defer bare.conn.Close()
	var lock, unlock, ping samples
	failed := 0
	for i := range s.times(40) + 3 {
		p, err := bare.ping()
		if err != nil {
			return nil, err
		}
		began := time.Now()
		free, err := lockWithin(ctx, l, "pair")
		if err != nil {
			if failed++; i == 0 {
				return Figures{"ping": float64(p) / 1e6, "lock": never, "unlock": never, "failed": 1}, nil
			}
			continue
		}
		locked := time.Now()
		if err := free(ctx); err != nil {
			failed++
			continue
		}
		if i >= 3 { // the first rounds make the connections
			lock, unlock, ping = append(lock, locked.Sub(began)), append(unlock, time.Since(locked)), append(ping, p)
		}
	}
	return Figures{"ping": ping.p50(), "lock": lock.p50(), "unlock": unlock.p50(), "failed": float64(failed)}, nil
}

func lockWithin(ctx context.Context, l Locker, name string) (func(context.Context) error, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return l.Lock(ctx, name)
}

// votes counts the masters that have granted a lock two seconds after the first request. The Lock
// begins a little more than the longest round trip before that.
func votes(ctx context.Context, s *site) (Figures, error) {
	admin := s.admin()
	for _, c := range admin {
		if err := c.Ping(ctx).Err(); err != nil {
			return nil, fmt.Errorf("ping: %w", err)
		}
	}
	l, err := s.open()
	if err != nil {
		return nil, err
	}
	defer l.Close()
	began := time.Now()
	if free, err := l.TryLock(ctx, "first"); err == nil {
		defer free(ctx)
	}
	time.Sleep(time.Until(began.Add(2*time.Second - 300*time.Millisecond)))
	if free, err := lockWithin(ctx, l, "second"); err == nil {
		defer free(ctx)
	}
	time.Sleep(time.Until(began.Add(2 * time.Second)))
	keys, err := wire.Keys("", "second")
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	var voted atomic.Int64
	var group sync.WaitGroup
	for _, c := range admin {
		group.Go(func() { voted.Add(c.Exists(ctx, keys.Lock).Val()) })
	}
	group.Wait()
	return Figures{"votes": float64(voted.Load())}, nil
}

// cold measures the first Lock of Lockers that have no connection yet: with scripts that the
// masters know, and without.
func cold(ctx context.Context, s *site) (Figures, error) {
	bare, err := s.socket(ctx, s.third())
	if err != nil {
		return nil, err
	}
	defer bare.conn.Close()
	admin := s.admin()
	var ping, known, flushed samples
	for i := range s.times(10) + 1 {
		for _, flush := range []bool{false, true} {
			for _, c := range admin {
				if flush {
					if err := c.ScriptFlush(ctx).Err(); err != nil {
						return nil, fmt.Errorf("script flush: %w", err)
					}
				}
			}
			p, err := bare.ping()
			if err != nil {
				return nil, err
			}
			took, err := s.first(ctx, i)
			if err != nil {
				return Figures{"ping": float64(p) / 1e6, "lock": never, "flushed": never}, nil
			}
			switch {
			case flush: // its masters know the scripts from then on
				flushed = append(flushed, took)
			case i > 0:
				known, ping = append(known, took), append(ping, p)
			}
		}
	}
	return Figures{"ping": ping.p50(), "lock": known.p50(), "flushed": flushed.p50()}, nil
}

// first returns how long a new Locker's first Lock takes.
func (s *site) first(ctx context.Context, i int) (time.Duration, error) {
	l, err := s.open()
	if err != nil {
		return 0, err
	}
	defer l.Close()
	began := time.Now()
	free, err := lockWithin(ctx, l, "cold "+strconv.Itoa(i))
	took := time.Since(began)
	if err != nil {
		return 0, err
	}
	return took, free(ctx)
}

// connections counts how many connections to a master one caller opens in 20 s.
func connections(ctx context.Context, s *site) (Figures, error) {
	admin := s.admin()
	before, err := received(ctx, admin)
	if err != nil {
		return nil, err
	}
	l, err := s.open()
	if err != nil {
		return nil, err
	}
	defer l.Close()
	locks := 0
	for end := time.Now().Add(time.Duration(20 * max(s.scale, 0.5) * float64(time.Second))); time.Now().Before(end); {
		if free, err := lockWithin(ctx, l, "one caller"); err == nil && free(ctx) == nil {
			locks++
		}
	}
	after, err := received(ctx, admin)
	if err != nil {
		return nil, err
	}
	most := 0.0
	for i := range after {
		most = max(most, after[i]-before[i])
	}
	return Figures{"most": most, "locks": float64(locks)}, nil
}

func received(ctx context.Context, admin []*redis.Client) (all []float64, err error) {
	for _, c := range admin {
		info, err := c.Info(ctx, "stats").Result()
		if err != nil {
			return nil, fmt.Errorf("info: %w", err)
		}
		_, rest, _ := strings.Cut(info, "total_connections_received:")
		value, _, _ := strings.Cut(rest, "\r\n")
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("info: %w", err)
		}
		all = append(all, n)
	}
	return all, nil
}

// loss counts the TryLocks of free names that fail, and why. Those that found no quorum because of
// a pause count apart, if they are few.
func loss(ctx context.Context, s *site) (Figures, error) {
	const callers = 20
	l, err := s.open()
	if err != nil {
		return nil, err
	}
	defer l.Close()
	if free, err := lockWithin(ctx, l, "warm"); err != nil || free(ctx) != nil {
		return nil, fmt.Errorf("the first: %w", err)
	}
	var held, other atomic.Int64
	var mu sync.Mutex
	var noQuorum []span
	var group sync.WaitGroup
	// a shorter one leaves much of the node timeout of 250 ms
	stop := watchPauses(150 * time.Millisecond)
	each := s.times(20000) / callers
	for i := range callers {
		group.Go(func() {
			for j := range each {
				began := time.Now()
				free, err := l.TryLock(ctx, fmt.Sprintf("%d/%d", i, j))
				switch {
				case err == nil:
					_ = free(ctx) // its answer may be lost
				case errors.Is(err, redlock.ErrNoQuorum):
					mu.Lock()
					noQuorum = append(noQuorum, span{began, time.Now()})
					mu.Unlock()
				case errors.Is(err, redlock.ErrHeld):
					held.Add(1)
				default:
					other.Add(1)
				}
			}
		})
	}
	group.Wait()
	failed, paused := stop().excuse(noQuorum, each*callers/50)
	return Figures{
		"tries": float64(each * callers), "no quorum": float64(failed), "paused": float64(paused),
		"held": float64(held.Load()), "other": float64(other.Load()),
	}, nil
}

// rest counts the first TryLocks that fail after an idle time, at the end of which the network has
// forgotten all connections.
func rest(ctx context.Context, s *site) (Figures, error) {
	l, err := s.open()
	if err != nil {
		return nil, err
	}
	defer l.Close()
	failed, n := 0, s.times(10)
	for i := range n + 1 {
		free, err := l.TryLock(ctx, "rest "+strconv.Itoa(i))
		switch {
		case err == nil:
			_ = free(ctx) // its answer may come late
		case i > 0: // the Locker was idle before
			failed++
		}
		if i < n {
			time.Sleep(2 * time.Second)
		}
	}
	return Figures{"rests": float64(n), "failed": float64(failed)}, nil
}
