package pool_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// A server closes connections that are idle for a long time, and all connections when it restarts.
// That must not delay the next lock.
func TestConnectionsThatTheServerClosedCostNoVote(t *testing.T) {
	t.Parallel()
	for name, requests := range map[string]int{"alone": 1, "in a batch": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, client := real(t)
			var using sync.WaitGroup
			ctx := t.Context()
			for range 8 { // several connections
				using.Go(func() {
					calls := make([]wire.Call, requests)
					for i := range calls {
						calls[i].Request = by(pool.Inspect, keys(t, "lock"), "", 0)
					}
					n.Do(ctx, calls)
				})
			}
			using.Wait()
			if err := client.Do(ctx, "client", "kill", "skipme", "yes").Err(); err != nil {
				t.Fatal(err)
			}
			client.Do(ctx, "blpop", "nothing", "0.15") // until no connection counts as fresh
			calls := make([]wire.Call, requests)
			for i := range calls {
				calls[i].Request = acquire(keys(t, strings.Repeat("l", i+1)), alice, 1)
			}
			n.Do(ctx, calls)
			for i := range calls {
				expect(t, "acquire", calls[i].Reply, pool.OK)
			}
		})
	}
}

// TLS announces the end before the connection ends.
func TestConnectionUnderTLSThatTheServerClosedCostsNoVote(t *testing.T) {
	t.Parallel()
	web := httptest.NewTLSServer(nil) // for its certificate
	web.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: web.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	f := newFakeAt(t, l, func([]string) string { return bulk("OK 1") })
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	n := dialWith(t, pool.Dialer{Timeout: patience, TLS: &tls.Config{RootCAs: roots}}, f.addr)
	const rest = 110 * time.Millisecond // then no connection counts as fresh
	for range 3 {
		expect(t, "acquire", do(t, n, acquire(keys(t, "lock"), alice, 1)), pool.OK)
		time.Sleep(rest)
	}
	if c := f.connections(); c != 1 {
		t.Errorf("%d connections for one request after the other", c)
	}
	f.hangUp()
	time.Sleep(rest)
	expect(t, "acquire", do(t, n, acquire(keys(t, "lock"), alice, 1)), pool.OK)
}

func TestARequestThatFindsItsConnectionClosedIsNotSentTwice(t *testing.T) {
	t.Parallel()
	k := keys(t, "lock")
	f := newFake(t, func(command []string) string {
		// the acquire is read but not answered
		if strings.Contains(strings.Join(command, " "), k.Fence) {
			return ""
		}
		return bulk("OK")
	})
	n := dial(t, f.addr)
	expect(t, "release", do(t, n, by(pool.Release, k, alice, 0)), pool.OK)
	reply := do(t, n, acquire(k, alice, 1))
	expect(t, "acquire", reply, pool.Unavailable)
	if reply.Unsent || len(f.commands("evalsha")) != 2 {
		t.Errorf("unsent: %v; %d requests were read", reply.Unsent, len(f.commands("evalsha")))
	}
}
