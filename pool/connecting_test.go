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
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

const ms = time.Millisecond

func granted([]string) string { return bulk("OK 1") }

// A master may be so far away that connecting takes longer than a request may.
func TestAConnectionIsMadeInATimeOfItsOwn(t *testing.T) {
	t.Parallel()
	for _, trip := range []time.Duration{90 * ms, 200 * ms, 600 * ms} {
		synctest.Test(t, func(t *testing.T) {
			l, f := newFar(t, trip, granted)
			n := l.open(t, redis.Options{})
			k := keys(t, "lock")
			began := time.Now()
			for time.Since(began) < 2*trip { // no request takes that long
				own := trip / 4
				reply, took := in(t, n, own, acquire(k, alice, 1))
				expect(t, "while connecting", reply, pool.Unavailable)
				if !reply.Unsent || !errors.Is(reply.Err, pool.ErrConnecting) || took > own {
					t.Fatalf("%v: %+v after %v", trip, reply, took)
				}
			}
			reply, took := in(t, n, trip+trip/8, acquire(k, alice, 1))
			expect(t, "connected", reply, pool.OK)
			if took != trip || l.dials.Load() > 1+int64(2*trip/time.Second) || len(f.commands("evalsha")) != 1 {
				t.Errorf("%v: it took %v, %d connections and %d requests", trip, took, l.dials.Load(), len(f.commands("evalsha")))
			}
			if d, ok := n.(interface{ RoundTrip() time.Duration }); !ok || d.RoundTrip() != trip {
				t.Errorf("%v: the node tells another round trip", trip)
			}
		})
	}
}

func TestARequestWithTimeEnoughWaitsForItsConnection(t *testing.T) {
	t.Parallel()
	const trip = 600 * ms
	for name, test := range map[string]struct {
		options redis.Options
		unknown bool // the script
		flights int
	}{
		"plain":                    {redis.Options{}, false, 2},
		"a name":                   {redis.Options{ClientName: "locks"}, false, 2},
		"scripts are unknown":      {redis.Options{}, true, 3},
		"everything that is asked": {redis.Options{Username: "locks", Password: "secret", DB: 3, ClientName: "locks"}, false, 3},
		"a user's greeting": {redis.Options{DB: 1, OnConnect: func(ctx context.Context, cn *redis.Conn) error {
			return cn.Ping(ctx).Err()
		}}, false, 6},
	} {
		synctest.Test(t, func(t *testing.T) {
			l, f := newFar(t, trip, func(command []string) string {
				switch {
				case command[0] == "evalsha" && test.unknown:
					return "-NOSCRIPT No matching script.\r\n"
				case command[0] == "select", command[0] == "ping":
					return "+OK\r\n"
				}
				return bulk("OK 1")
			})
			n := l.open(t, test.options)
			reply, took := in(t, n, 10*time.Second, acquire(keys(t, "lock"), alice, 1))
			expect(t, name, reply, pool.OK)
			if took != time.Duration(test.flights)*trip || reply.Server != f.run {
				t.Errorf("%s: %v, not %d round trips of %v; server %q", name, took, test.flights, trip, reply.Server)
			}
			if c := f.commands("client"); (len(c) == 1) != (test.options.ClientName != "") {
				t.Errorf("%s: %q", name, c)
			}
		})
	}
}

// The answer could not come in time. The request would cost the connection, and would be given up
// although it is carried out.
func TestARequestIsNotSentOverAConnectionThatComesTooLateForIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const trip = 100 * ms
		l, f := newFar(t, trip, granted)
		n := l.open(t, redis.Options{})
		reply, took := in(t, n, 150*ms, acquire(keys(t, "lock"), alice, 1))
		if !reply.Unsent || !errors.Is(reply.Err, pool.ErrConnecting) || took > 150*ms || len(f.commands("evalsha")) != 0 {
			t.Errorf("%+v after %v", reply, took)
		}
		time.Sleep(trip)
		reply, took = in(t, n, 250*ms, acquire(keys(t, "lock"), alice, 1))
		if expect(t, "the next", reply, pool.OK); took != trip || l.dials.Load() != 1 {
			t.Errorf("it took %v and %d connections", took, l.dials.Load())
		}
	})
}

// A packet that is lost while connecting is sent again by the kernel after 1, 3 and 7 seconds.
func TestANodeThatWasCutOffIsFoundSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, _ := newFar(t, ms, granted)
		l.lost.Store(3) // the first attempts lead nowhere
		n := l.open(t, redis.Options{})
		began := time.Now()
		for {
			reply, _ := in(t, n, 250*ms, acquire(keys(t, "lock"), alice, 1))
			if reply.Verdict == pool.OK {
				break
			}
		}
		if d := time.Since(began); d > 4*time.Second || l.dials.Load() != 4 {
			t.Errorf("after %v, with %d attempts", d, l.dials.Load())
		}
	})
}

func TestOneRequestThatWaitsForLongIsNotLeftToOneAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, _ := newFar(t, ms, granted)
		l.lost.Store(2)
		n := l.open(t, redis.Options{})
		reply, took := in(t, n, 20*time.Second, acquire(keys(t, "lock"), alice, 1))
		if expect(t, "acquire", reply, pool.OK); took > 2*time.Second+3*ms || l.dials.Load() != 3 {
			t.Errorf("after %v, with %d attempts", took, l.dials.Load())
		}
	})
}

// Only the first answer may be late: a packet was lost, or the server was busy.
func TestAConnectionThatWasSlowOnceServesThoseThatWaitForOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, _ := newFar(t, 300*ms, granted)
		n := l.open(t, redis.Options{})
		reply, _ := in(t, n, 2*time.Second, acquire(keys(t, "lock"), alice, 1))
		expect(t, "the first", reply, pool.OK)
		l.trip = 20 * ms
		var all sync.WaitGroup
		for range 40 { // more than the pool may have connections
			all.Go(func() {
				reply, _ := in(t, n, 250*ms, acquire(keys(t, "lock"), alice, 1))
				expect(t, "a later one", reply, pool.OK)
			})
		}
		all.Wait()
	})
}

// A proxy, a balancer or a NAT forgets idle connections, and tells neither side.
func TestTheFirstRequestAfterARestGoesOverAConnectionThatIsAlive(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		rest  time.Duration
		dials int64
		opts  []pool.Option
	}{
		"a short one":             {29 * time.Second, 1, nil},
		"a long one":              {31 * time.Second, 2, nil},
		"long for those settings": {5 * time.Second, 2, []pool.Option{pool.WithMaxIdle(4 * time.Second)}},
	} {
		synctest.Test(t, func(t *testing.T) {
			l, f := newFar(t, ms, granted)
			n := l.open(t, redis.Options{}, test.opts...)
			reply, _ := in(t, n, 50*ms, acquire(keys(t, "lock"), alice, 1))
			expect(t, name, reply, pool.OK)
			time.Sleep(test.rest)
			l.forget.Store(test.dials > 1)
			reply, _ = in(t, n, 50*ms, by(pool.Release, keys(t, "lock"), alice, 0))
			if reply.Verdict == pool.Unavailable || l.dials.Load() != test.dials || len(f.commands("evalsha")) != 2 {
				t.Errorf("%s: %+v over %d connections, %d requests", name, reply, l.dials.Load(), len(f.commands("evalsha")))
			}
		})
	}
}

func TestClosingANodeEndsWhatIsConnecting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		user := redis.NewClient(&redis.Options{Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			ended <- ctx.Err()
			return nil, ctx.Err()
		}})
		defer user.Close()
		n := nodeOf(user)
		end := n.Open()
		waiting := make(chan wire.Reply)
		go func() {
			reply, _ := in(t, n, time.Minute, acquire(keys(t, "lock"), alice, 1))
			waiting <- reply
		}()
		synctest.Wait()
		began := time.Now()
		if err := end(); err != nil {
			t.Error(err)
		}
		if reply := <-waiting; reply.Verdict != pool.Unavailable || !reply.Unsent {
			t.Errorf("who waited: %+v", reply)
		}
		if err := <-ended; !errors.Is(err, context.Canceled) || time.Since(began) != 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// tls.DialWithDialer, which go-redis uses, respects only its timeout.
func TestClosingANodeEndsAHandshake(t *testing.T) {
	t.Parallel()
	secured := &tls.Config{MinVersion: tls.VersionTLS12}
	for name, node := range map[string]func(addr string) wire.Node{
		"dialled": func(addr string) wire.Node {
			nodes, err := pool.Dialer{TLS: secured}.Dial(addr)
			if err != nil {
				t.Fatal(err)
			}
			return wire.NodeOf(nodes[0])
		},
		"a client's": func(addr string) wire.Node {
			user := redis.NewClient(&redis.Options{Addr: addr, TLSConfig: secured, DialTimeout: time.Hour})
			t.Cleanup(func() { _ = user.Close() })
			return nodeOf(user)
		},
		"a cluster's": func(addr string) wire.Node {
			user := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{addr}, TLSConfig: secured, DialTimeout: time.Hour})
			t.Cleanup(func() { _ = user.Close() })
			return nodeOf(user)
		},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0") // it takes connections, and never shakes hands
		if err != nil {
			t.Fatal(err)
		}
		began, closed := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(closed)
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			close(began)
			_, _ = io.Copy(io.Discard, c)
		}()
		n := node(l.Addr().String())
		end := n.Open()
		reply, _ := in(t, n, 20*ms, acquire(keys(t, "lock"), alice, 1))
		expect(t, name, reply, pool.Unavailable)
		select {
		case <-began:
		case <-time.After(10 * time.Second):
			t.Errorf("%s: nothing is dialled", name)
		}
		if err := end(); err != nil {
			t.Error(err)
		}
		select {
		case <-closed:
		case <-time.After(10 * time.Second):
			t.Errorf("%s: the handshake goes on", name)
		}
		l.Close()
	}
}

// go-redis dials for such a client, and respects only the client's own timeout.
func TestAFailoverClientsHandshakeEndsWithItsDialTimeout(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // it takes connections, and never shakes hands
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	began, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		close(began)
		_, _ = io.Copy(io.Discard, c)
	}()
	web := httptest.NewTLSServer(nil) // for its certificate
	web.Close()
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	there, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: web.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(l.Addr().String())
	sentinel := newFakeAt(t, there, func([]string) string { return "*2\r\n" + bulk(host) + bulk(port) })
	user := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: "locks", SentinelAddrs: []string{sentinel.addr},
		TLSConfig: &tls.Config{RootCAs: roots}, DialTimeout: 3 * time.Second,
	})
	defer user.Close()
	n := nodeOf(user)
	end := n.Open()
	waiting := make(chan wire.Reply)
	go func() {
		reply, _ := in(t, n, time.Minute, acquire(keys(t, "lock"), alice, 1))
		waiting <- reply
	}()
	<-began
	if err := end(); err != nil {
		t.Error(err)
	}
	if reply := <-waiting; reply.Verdict != pool.Unavailable || !reply.Unsent {
		t.Errorf("%+v", reply)
	}
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("the handshake goes on")
	}
}

// A node may be so far away that a connection waits for the answer for longer than it may be idle.
func TestARoundTripIsNoRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const trip = 200 * ms
		l, _ := newFar(t, trip, func(command []string) string {
			if command[0] == "evalsha" {
				// which is sent then, over the same connection
				return "-NOSCRIPT No matching script.\r\n"
			}
			return bulk("OK 1")
		})
		n := l.open(t, redis.Options{}, pool.WithMaxIdle(150*ms))
		reply, took := in(t, n, 20*time.Second, acquire(keys(t, "lock"), alice, 1))
		if expect(t, "acquire", reply, pool.OK); took != 3*trip || l.dials.Load() != 1 {
			t.Errorf("after %v, over %d connections", took, l.dials.Load())
		}
	})
}

// A proxy may accept a subscription and never answer.
func TestASubscriptionThatIsNotConfirmedEnds(t *testing.T) {
	t.Parallel()
	for timeout, want := range map[time.Duration]time.Duration{time.Second: 10 * time.Second, 15 * time.Second: 15 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			mute := make(chan struct{})
			defer close(mute)
			l, _ := newFar(t, ms, func([]string) string { <-mute; return "" })
			n := l.open(t, redis.Options{}, pool.WithTimeout(timeout))
			began := time.Now()
			err := n.Listen(t.Context(), "inbox", func() { t.Error("confirmed") }, func(wire.Notice) {})
			if took := time.Since(began); err == nil || took != want {
				t.Errorf("timeout %v: %v after %v, not %v", timeout, err, took, want)
			}
		})
	}
}

// Where servers, or this machine, are too busy to answer in time, a subscription that is given up
// would only be made anew: the same work again.
func TestASubscriptionMayTakeLongerThanARequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, _ := newFar(t, ms, func(command []string) string {
			time.Sleep(5 * time.Second)
			var confirmed strings.Builder
			for i, inbox := range command[1:] {
				fmt.Fprintf(&confirmed, ">3\r\n%s%s:%d\r\n", bulk("subscribe"), bulk(inbox), i+1)
			}
			return confirmed.String()
		})
		n := l.open(t, redis.Options{}, pool.WithTimeout(100*ms))
		ctx, cancel := context.WithCancel(t.Context())
		ready := false
		_ = n.Listen(ctx, "inbox", func() { ready = true; cancel() }, func(wire.Notice) {})
		if !ready {
			t.Error("it was given up")
		}
	})
}

// A stuck connection is not closed too early.
type stuck struct {
	net.Conn
	closes chan<- struct{}
	may    <-chan struct{}
}

func (s stuck) Close() error {
	select {
	case s.closes <- struct{}{}:
	default:
	}
	<-s.may
	return s.Conn.Close()
}

func TestANodeWhoseConnectionDoesNotCloseIsOpenedAgain(t *testing.T) {
	t.Parallel()
	f, closes, may := newFake(t, granted), make(chan struct{}, 1), make(chan struct{})
	user := redis.NewClient(&redis.Options{Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", f.addr)
		return stuck{c, closes, may}, err
	}})
	defer user.Close()
	n := nodeOf(user)
	end := n.Open()
	expect(t, "acquire", do(t, n, acquire(keys(t, "lock"), alice, 1)), pool.OK)
	closed, again := make(chan error), make(chan error)
	go func() { closed <- end() }()
	<-closes
	go func() { again <- n.Open()() }()
	select {
	case <-again:
		close(may)
	case <-time.After(10 * time.Second):
		t.Error("it is not")
		close(may)
		<-again
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

func TestRequestsShareTheConnectionsThatThereMayBe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const trip = 10 * ms
		l, _ := newFar(t, trip, granted)
		n := l.open(t, redis.Options{})
		var all sync.WaitGroup
		for range 40 { // more than the pool may have connections
			all.Go(func() {
				reply, _ := in(t, n, time.Second, acquire(keys(t, "lock"), alice, 1))
				expect(t, "acquire", reply, pool.OK)
			})
		}
		all.Wait()
		if c := l.dials.Load(); c > 16 {
			t.Errorf("%d connections", c)
		}
		for range 16 {
			all.Go(func() { in(t, n, time.Second, acquire(keys(t, "lock"), alice, 1)) })
		}
		synctest.Wait()
		late, _ := in(t, n, trip/2, acquire(keys(t, "lock"), alice, 1))
		all.Wait()
		if late.Err == nil || errors.Is(late.Err, pool.ErrConnecting) || !strings.Contains(late.Err.Error(), "in use") {
			t.Errorf("who found all in use: %+v", late)
		}
	})
}

// A proxy may not know HELLO. Then go-redis sends AUTH, but does not send the request again that
// was sent ahead.
func TestAServerThatKnowsNoGreetingIsAskedOneByOne(t *testing.T) {
	t.Parallel()
	in := newFake(t, func(command []string) string {
		if strings.EqualFold(command[0], "auth") {
			return "+OK\r\n"
		}
		return bulk("OK 1")
	})
	in.hello = "-ERR unknown command 'hello'\r\n"
	n := dialWith(t, pool.Dialer{Password: "secret"}, in.addr)
	for range 3 {
		reply := do(t, n, acquire(keys(t, "lock"), alice, 1))
		expect(t, "acquire", reply, pool.OK)
		if reply.Server != "f00d" {
			t.Errorf("server %q", reply.Server)
		}
	}
	if c := in.connections(); c != 2 {
		t.Errorf("%d connections", c)
	}
}

// A server may be unknown because it was full, or because the password was wrong. It does not count
// as a server that does not know the greeting.
func TestAServerThatRefusedAGreetingOnceIsGreetedInOneTripAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const trip = 100 * ms
		l, f := newFar(t, trip, func(command []string) string {
			if command[0] == "auth" {
				return "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
			}
			return bulk("OK 1")
		})
		f.hello = "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
		n := l.open(t, redis.Options{Password: "secret"})
		reply, _ := in(t, n, 10*time.Second, acquire(keys(t, "lock"), alice, 1))
		expect(t, "refused", reply, pool.Refused)
		f.hello = greeting
		for _, flights := range []int{4, 3} {
			// longer than a failure is kept, and than a connection may be idle
			time.Sleep(time.Minute)
			reply, took := in(t, n, 10*time.Second, acquire(keys(t, "lock"), alice, 1))
			if expect(t, "greeted", reply, pool.OK); took > time.Duration(flights)*trip {
				t.Errorf("after %v, not %d round trips", took, flights)
			}
		}
	})
}

// A server may say why it hangs up before it gets a request.
func TestAServerThatHangsUpWithAReasonIsQuoted(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]pool.Verdict{
		"ERR max number of clients reached":                                            pool.Unavailable,
		"DENIED Redis is running in protected mode because protected mode is enabled.": pool.Refused,
	} {
		for name, d := range map[string]pool.Dialer{"no password": {}, "a password": {Password: "secret"}} {
			f := newFake(t, func([]string) string { return "" })
			f.hello, f.info = "-"+reason+"\r\n", hangsUp
			reply := do(t, dialWith(t, d, f.addr), acquire(keys(t, "lock"), alice, 1))
			expect(t, name, reply, want)
			if reply.Err == nil || reply.Err.Error() != reason || !reply.Unsent {
				t.Errorf("%s: %+v", name, reply)
			}
		}
	}
}

func TestWhatAUsersFunctionSaysWhileConnectingIsTold(t *testing.T) {
	t.Parallel()
	f := newFake(t, granted)
	no := errors.New("the vault is sealed")
	dialler := redis.NewClient(&redis.Options{Dialer: func(context.Context, string, string) (net.Conn, error) { return nil, no }})
	defer dialler.Close()
	nodes := map[string]wire.Node{
		"a dialer": nodeOf(dialler),
		"credentials": dialWith(t, pool.Dialer{Credentials: func(context.Context) (string, string, error) {
			return "", "", no
		}}, f.addr),
	}
	for name, n := range nodes {
		reply := do(t, n, acquire(keys(t, "lock"), alice, 1))
		expect(t, name, reply, pool.Unavailable)
		if !strings.Contains(reply.Err.Error(), no.Error()) || !reply.Unsent {
			t.Errorf("%s: %+v", name, reply)
		}
	}
}

// The sentinels may learn of the master later.
func TestAMasterThatTheSentinelsDoNotKnowMayComeYet(t *testing.T) {
	t.Parallel()
	sentinel := newFake(t, func([]string) string { return "*-1\r\n" })
	user := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "locks", SentinelAddrs: []string{sentinel.addr}})
	defer user.Close()
	reply := do(t, nodeOf(user), acquire(keys(t, "lock"), alice, 1))
	expect(t, "acquire", reply, pool.Unavailable)
	if errors.Is(reply.Err, pool.ErrBadReply) || !strings.Contains(reply.Err.Error(), "sentinels") {
		t.Errorf("%+v", reply)
	}
}

func TestAUsersFunctionThatPanicsWhileConnectingIsAnError(t *testing.T) {
	t.Parallel()
	user := redis.NewClient(&redis.Options{Dialer: func(context.Context, string, string) (net.Conn, error) { panic("no") }})
	defer user.Close()
	reply := do(t, nodeOf(user), acquire(keys(t, "lock"), alice, 1))
	expect(t, "acquire", reply, pool.Unavailable)
	if !reply.Unsent || reply.Err == nil {
		t.Errorf("%+v", reply)
	}
}
