package pool_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/internal/servertest"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// A pair is a master and another server, each of which may be a replica of the other.
type pair struct {
	t       *testing.T
	addrs   []string
	clients []*redis.Client
	node    wire.Node // of the first
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{t: t, addrs: servertest.Start(t, 2, "--repl-diskless-sync-delay", "0", "--repl-backlog-ttl", "1").Addrs()}
	for _, a := range p.addrs {
		c := redis.NewClient(&redis.Options{Addr: a})
		t.Cleanup(func() { c.Close() })
		p.clients = append(p.clients, c)
	}
	p.node = dial(t, p.addrs[0])
	return p
}

// follow makes server i a replica of the other, and waits until it has its data.
func (p *pair) follow(i int) {
	p.t.Helper()
	host, port, err := net.SplitHostPort(p.addrs[1-i])
	if err != nil {
		p.t.Fatal(err)
	}
	p.clients[i].Do(p.t.Context(), "replicaof", host, port)
	p.await(i, "master_link_status", "up")
}

// lead makes server i a master.
func (p *pair) lead(i int) { p.clients[i].Do(p.t.Context(), "replicaof", "no", "one") }

// await waits until INFO replication of server i contains that.
func (p *pair) await(i int, field, value string) {
	p.t.Helper()
	for end := time.Now().Add(patience); infoOf(p.t, p.clients[i], "replication", field) != value; {
		if time.Now().After(end) {
			p.t.Fatalf("%s is not %s", field, value)
		}
		p.clients[i].Do(p.t.Context(), "blpop", "nothing", "0.01")
	}
}

// guarded asks the first server for a lock of that name under the guard.
func (p *pair) guarded(name string) pool.Verdict {
	p.t.Helper()
	r := acquire(keys(p.t, name), alice, 1)
	r.Guard = time.Minute
	return do(p.t, p.node, r).Verdict
}

func (p *pair) bootstrap() {
	p.t.Helper()
	expect(p.t, "bootstrap", do(p.t, p.node, &wire.Request{Verb: pool.Bootstrap, Guard: time.Minute}), pool.OK)
}

func TestTheGuardKeepsAMasterThatFollowedAnotherOutUntilItIsToldOtherwise(t *testing.T) {
	t.Parallel()
	for name, lags := range map[string]bool{"a replica that lagged": true, "one that did not": false} {
		p := newPair(t)
		p.bootstrap()
		p.follow(1)
		if lags {
			p.lead(1) // what the first writes from now on the second does not get
		}
		if v := p.guarded("lost"); v != pool.OK {
			t.Errorf("%s: before the failover: %v", name, v)
		}
		// the second has all data of the first, which can go on from there without a full transfer
		if !lags {
			if err := p.clients[0].Wait(t.Context(), 1, patience).Err(); err != nil {
				t.Fatal(err)
			}
			p.lead(1)
		}
		p.follow(0)
		p.clients[1].Set(t.Context(), "another program's", "1", 0)
		p.clients[1].Wait(t.Context(), 1, patience)
		p.lead(0)
		left := p.clients[0].Exists(t.Context(), "lost").Val()
		if lags != (left == 0) {
			t.Errorf("%s: the test shows nothing: the lock is there: %d", name, left)
		}
		if v := p.guarded("fresh"); v != pool.Quarantined {
			t.Errorf("%s: after the failback: %v", name, v)
		}
		p.bootstrap()
		if v := p.guarded("fresh"); v != pool.OK {
			t.Errorf("%s: after bootstrap: %v", name, v)
		}
	}
}

// Copying a master does not look like having followed another.
func TestTheGuardTakesNoCopyForALoss(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.bootstrap()
	still := func(what string) {
		t.Helper()
		if v := p.guarded(what); v != pool.OK {
			t.Errorf("%s: %v", what, v)
		}
	}
	replid := infoOf(t, p.clients[0], "replication", "master_replid")
	p.follow(1)
	still("its first replica")
	p.lead(1)
	p.follow(1)
	still("a replica that comes again")
	if infoOf(t, p.clients[0], "replication", "master_replid") == replid {
		t.Error("the test shows less than it should: the replication id is the same")
	}
	p.lead(1)
	backup(t, p.addrs[0])
	still("a backup")
	replid = infoOf(t, p.clients[0], "replication", "master_replid")
	for end := time.Now().Add(patience); infoOf(t, p.clients[0], "replication", "master_replid") == replid && time.Now().Before(end); {
		// until the master gives up the backlog for replicas, and its replication id with it
		p.clients[0].Do(t.Context(), "blpop", "nothing", "0.1")
	}
	still("without replicas for long")
	p.clients[0].ConfigResetStat(t.Context())
	still("its statistics set to zero")
}

func TestTheGuardGoesOnFromTheMarkerOfAnOlderProgram(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.follow(0)
	p.lead(0) // it has read something in its life
	p.bootstrap()
	p.clients[0].HDel(t.Context(), "redlock:restart", "read")
	if v := p.guarded("a"); v != pool.OK {
		t.Errorf("with a marker that does not say what was read: %v", v)
	}
	if p.clients[0].HGet(t.Context(), "redlock:restart", "read").Val() == "" {
		t.Error("the marker does not say it now")
	}
	p.clients[0].ConfigResetStat(t.Context())
	if v := p.guarded("b"); v != pool.OK {
		t.Errorf("with the statistics set to zero: %v", v)
	}
	p.follow(0)
	p.lead(0)
	if v := p.guarded("c"); v != pool.Quarantined {
		t.Errorf("after it followed another once more: %v", v)
	}
}

// backup copies the server's data as backup programs do, by acting as a replica.
func backup(t *testing.T, addr string) {
	t.Helper()
	c, err := (&net.Dialer{Timeout: patience}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "PSYNC ? -1\r\n"); err != nil {
		t.Fatal(err)
	}
	var all []byte
	// +FULLRESYNC, the size or a mark of the end, and the data, which begins so
	for b := make([]byte, 4096); ; {
		n, err := c.Read(b)
		if all = append(all, b[:n]...); len(all) > 200 || err != nil {
			break
		}
	}
	if len(all) == 0 {
		t.Fatal("the server gives no copy of its data")
	}
}

// infoOf returns a field of INFO.
func infoOf(t *testing.T, c *redis.Client, section, name string) string {
	t.Helper()
	fields := c.InfoMap(context.Background(), section).Val()
	for _, s := range fields {
		if v, ok := s[name]; ok {
			return v
		}
	}
	return ""
}
