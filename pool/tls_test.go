package pool_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/pool"
)

// certified returns the settings of a server with a certificate and of a client that trusts it, for
// that version of TLS alone.
func certified(t *testing.T, version uint16) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"master"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	server = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		// a ticket is sent without a request, and a pipe has no room for it
		MinVersion: version, MaxVersion: version, SessionTicketsDisabled: true,
	}
	return server, &tls.Config{RootCAs: roots, ServerName: "master", MinVersion: version}
}

// The handshake of TLS 1.3 takes one round trip, that of TLS 1.2 two. Before it comes one of TCP,
// and after it the greeting and the request.
func TestAMasterThatIsFarAwayIsReachedOverTLS(t *testing.T) {
	t.Parallel()
	for version, trips := range map[uint16]int{tls.VersionTLS12: 5, tls.VersionTLS13: 4} {
		for _, trip := range []time.Duration{100 * ms, 250 * ms, 450 * ms} {
			synctest.Test(t, func(t *testing.T) {
				server, trusting := certified(t, version)
				l := &far{trip: trip, conns: make(chan net.Conn), closed: make(chan struct{})}
				f := newFakeAt(t, tls.NewListener(l, server), granted)
				user := redis.NewClient(&redis.Options{
					Addr: l.Addr().String(), TLSConfig: trusting, DialTimeout: time.Second, ReadTimeout: time.Second,
					Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
						under, err := l.dial(ctx, network, addr)
						if err != nil {
							return nil, err
						}
						secured := tls.Client(under, trusting)
						return secured, secured.HandshakeContext(ctx)
					},
				})
				defer user.Close()
				n := nodeOf(user)
				end := n.Open()
				defer end() //nolint:errcheck // nothing to lose
				began := time.Now()
				for { // connecting takes longer than one request may
					reply, took := in(t, n, trip+trip/8, acquire(keys(t, "lock"), alice, 1))
					if reply.Verdict == pool.OK {
						if d := time.Since(began); d > time.Duration(trips)*trip+trip/2 || took > trip || f.connections() > 1+int(d/time.Second) {
							t.Errorf("%s, %v away: after %v, the request %v, %d connections", tls.VersionName(version), trip, d, took, f.connections())
						}
						return
					}
					if d := time.Since(began); d > 20*trip {
						t.Fatalf("%s, %v away: not in %v: %v", tls.VersionName(version), trip, d, reply.Err)
					}
				}
			})
		}
	}
}
