package integration_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/pool"
)

func TestAPasswordIsNeededAndNeverShown(t *testing.T) {
	const secret = "correct-horse"
	servers := start(t, 3, "--requirepass", secret)
	right := lockerOf(t, pool.Dialer{Password: secret}, servers)
	unlock(t, lock(t, right, "a"))

	for name, d := range map[string]pool.Dialer{"none": {}, "wrong": {Password: "battery-staple"}} {
		began := time.Now()
		_, err := lockerOf(t, d, servers).Lock(context.Background(), "a")
		if !errors.Is(err, redlock.ErrNoQuorum) {
			t.Errorf("%s: %v, want ErrNoQuorum", name, err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: Lock waited %v for what no waiting mends", name, took)
		}
		if err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "battery")) {
			t.Errorf("%s: a password in %v", name, err)
		}
	}
}

func TestAUserWithoutPermissionIsToldSoAtOnce(t *testing.T) {
	servers := start(t, 3)
	for _, s := range servers {
		s.ours(t)
		if err := s.client(t).Do(context.Background(), "ACL", "SETUSER", "guest", "on", ">pass", "~*", "+@read", "+info").Err(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := lockerOf(t, pool.Dialer{Username: "guest", Password: "pass"}, servers).Lock(context.Background(), "a")
	var quorum *redlock.QuorumError
	if !errors.As(err, &quorum) || !strings.Contains(err.Error(), "NOPERM") {
		t.Fatalf("Lock: %v, want a refusal with NOPERM", err)
	}
	refusals := 0
	for _, n := range quorum.Nodes {
		if n.Verdict == pool.Refused {
			refusals++
		}
	}
	if refusals < quorum.Needed { // the last node's answer is not waited for
		t.Errorf("%d nodes refuse, want a majority: %v", refusals, err)
	}
}

func TestAUserWhoMayNotPublishOrSubscribeLocksAllTheSame(t *testing.T) {
	servers := start(t, 3)
	for _, s := range servers {
		s.ours(t)
		if err := s.client(t).Do(context.Background(), "ACL", "SETUSER", "deaf", "on", ">pass", "~*", "resetchannels", "+@all").Err(); err != nil {
			t.Fatal(err)
		}
	}
	d := pool.Dialer{Username: "deaf", Password: "pass"}
	holder, waiter := lockerOf(t, d, servers), lockerOf(t, d, servers)
	lease := lock(t, holder, "a")
	leases := lockLater(t, waiter, "a")
	unlock(t, lease)
	unlock(t, <-leases)
	wantNoLocks(t, holder, servers)
	wantNoLocks(t, waiter, servers)
}

func TestLocksOverTLS(t *testing.T) {
	cert, key := certificate(t)
	servers := startTLS(t, 3, cert, key)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	l := lockerOf(t, pool.Dialer{TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, Timeout: time.Second}, servers)
	unlock(t, lock(t, l, "a"))

	stranger := lockerOf(t, pool.Dialer{TLS: &tls.Config{MinVersion: tls.VersionTLS12}, Timeout: time.Second}, servers)
	if _, err := stranger.TryLock(context.Background(), "a"); !errors.Is(err, redlock.ErrNoQuorum) {
		t.Errorf("TryLock with a certificate nobody vouches for: %v", err)
	}
}

// certificate makes a certificate for 127.0.0.1.
func certificate(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redlock"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

// A whole Redis Cluster is one node, with one vote.
func TestAClusterIsOneNode(t *testing.T) {
	servers := start(t, 3, "--cluster-enabled", "yes", "--cluster-require-full-coverage", "no")
	ctx := context.Background()
	for i, s := range servers {
		if err := s.client(t).ClusterAddSlotsRange(ctx, i*16384/3, (i+1)*16384/3-1).Err(); err != nil {
			t.Fatal(err)
		}
	}
	c := cluster(t, servers)
	node := pool.New(c)
	l := over(t, []pool.Node{node})
	for _, name := range []string{"a", "b", "c", "{tag}d", "e", "f"} {
		lease := lock(t, l, name)
		if _, err := l.TryLock(ctx, name); !errors.Is(err, redlock.ErrHeld) {
			t.Errorf("%s: TryLock of a held lock: %v", name, err)
		}
		if lease.Fence() == 0 {
			t.Errorf("%s: no token", name)
		}
		unlock(t, lease)
	}
	if _, err := redlock.New([]pool.Node{node}, redlock.WithRestartGuard(time.Minute)); err == nil {
		t.Error("a cluster is taken together with the restart guard")
	}
}

// cluster makes a client that knows which server has which slots. It is told the addresses, because
// containers cannot reach one another by the addresses that this machine uses.
func cluster(t *testing.T, servers []*server) *redis.ClusterClient {
	t.Helper()
	slots := make([]redis.ClusterSlot, len(servers))
	for i, s := range servers {
		slots[i] = redis.ClusterSlot{
			Start: i * 16384 / 3, End: (i+1)*16384/3 - 1, Nodes: []redis.ClusterNode{{Addr: s.addr}},
		}
	}
	c := redis.NewClusterClient(&redis.ClusterOptions{
		ClusterSlots: func(context.Context) ([]redis.ClusterSlot, error) { return slots, nil },
	})
	t.Cleanup(func() { c.Close() })
	return c
}
