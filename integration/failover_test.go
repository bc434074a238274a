package integration_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/servertest"
	"github.com/go-redlock/redlock/pool"
)

// plain is a client of one process.
func plain(t *testing.T, addr string) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { c.Close() })
	return c
}

// order sends a command, which must succeed.
func order(t *testing.T, c *redis.Client, words ...any) any {
	t.Helper()
	got, err := c.Do(context.Background(), words...).Result()
	if err != nil {
		t.Fatalf("%v: %v", words, err)
	}
	return got
}

// role returns the role that a server reports.
func role(c *redis.Client) string {
	all, err := c.Do(context.Background(), "ROLE").Slice()
	if err != nil || len(all) == 0 {
		return fmt.Sprint(err)
	}
	return fmt.Sprint(all[0])
}

// synced reports whether a replica has its master's data and goes on receiving it.
func synced(c *redis.Client) bool {
	all, err := c.Do(context.Background(), "ROLE").Slice()
	return err == nil && len(all) > 3 && all[0] == "slave" && all[3] == "connected"
}

// A sentinelSet is a master, its replica, and the sentinel that watches them.
type sentinelSet struct {
	master, replica, sentinel *redis.Client
	node                      pool.Node
}

func newSentinelSet(t *testing.T) *sentinelSet {
	t.Helper()
	addrs := servertest.Start(t, 2, "--repl-diskless-sync-delay", "0").Addrs()
	s := &sentinelSet{master: plain(t, addrs[0]), replica: plain(t, addrs[1])}
	host, port, _ := net.SplitHostPort(addrs[0])
	order(t, s.replica, "REPLICAOF", host, port)
	eventually(t, "the replica follows", func() bool { return synced(s.replica) })
	addr := startSentinel(t, host, port)
	s.sentinel = plain(t, addr)
	eventually(t, "the sentinel knows the replica", func() bool {
		replicas, err := s.sentinel.Do(context.Background(), "SENTINEL", "REPLICAS", "locks").Slice()
		return err == nil && len(replicas) == 1
	})
	user := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "locks", SentinelAddrs: []string{addr}})
	t.Cleanup(func() { user.Close() })
	s.node = pool.New(user)
	return s
}

// startSentinel starts a sentinel that watches the master, and asks it more often than usual.
func startSentinel(t *testing.T, host, port string) (addr string) {
	t.Helper()
	own := freePort(t)
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("port %s\nbind 127.0.0.1\nsentinel monitor locks %s %s 1\n", own, host, port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("redis-server", file, "--sentinel")
	if err := c.Start(); err != nil {
		servertest.Missing(t, err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	addr = "127.0.0.1:" + own
	sentinel := plain(t, addr)
	eventually(t, "the sentinel answers", func() bool { return sentinel.Ping(context.Background()).Err() == nil })
	order(t, sentinel, "SENTINEL", "DEBUG", "info-period", "200", "publish-period", "200")
	return addr
}

// Each set gets another master at the same moment, and the old one becomes its replica. Then the
// nodes lead to the new masters, and locks can be taken as before.
func TestLocksAreHadAfterFailoversOfAllSentinelSetsAtOnce(t *testing.T) {
	sets := []*sentinelSet{newSentinelSet(t), newSentinelSet(t), newSentinelSet(t)}
	var nodes []pool.Node
	for _, s := range sets {
		nodes = append(nodes, s.node)
	}
	l := over(t, nodes, redlock.WithNodeTimeout(2*time.Second)) // a busy machine is no fault
	unlock(t, lock(t, l, "warm"))

	stop := make(chan struct{})
	var load sync.WaitGroup
	for i := range 4 {
		load.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if lease, err := l.TryLock(context.Background(), fmt.Sprintf("load:%d:%d", i, n)); err == nil {
					_ = lease.Unlock(context.Background()) // it may have been lost with its master
				}
			}
		})
	}
	ended := sync.OnceFunc(func() { close(stop); load.Wait() })
	defer ended()

	for _, s := range sets {
		eventually(t, "the sentinel sees a replica to promote", func() bool {
			return s.sentinel.Do(context.Background(), "SENTINEL", "FAILOVER", "locks").Err() == nil
		})
	}
	for _, s := range sets {
		eventually(t, "the replica leads, and the master follows it", func() bool { return role(s.replica) == "master" && synced(s.master) })
	}
	eventually(t, "all nodes serve", func() bool { return l.Check(context.Background()) == nil })
	var took []time.Duration
	for n := range 200 {
		began := time.Now()
		lease, err := l.TryLock(context.Background(), fmt.Sprintf("settled:%d", n))
		if err != nil {
			t.Fatalf("attempt %d: %v (no quorum: %v)", n, err, errors.Is(err, redlock.ErrNoQuorum))
		}
		took = append(took, time.Since(began))
		unlock(t, lease)
	}
	ended()
	m, longest := median(took), slices.Max(took)
	t.Logf("TryLock takes %v, at most %v", m, longest)
	if m > 20*time.Millisecond || longest > time.Second {
		t.Errorf("TryLock takes %v, at most %v", m, longest)
	}
}

// newCluster starts a cluster of three shards, each a master and a replica.
func newCluster(t *testing.T) (addrs []string, replicas []*redis.Client) {
	t.Helper()
	addrs = servertest.Start(t, 6, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--repl-diskless-sync-delay", "0").Addrs()
	all := make([]*redis.Client, len(addrs))
	for i, a := range addrs {
		all[i] = plain(t, a)
	}
	for i, first := range []int{0, 5461, 10923} {
		order(t, all[i], "CLUSTER", "ADDSLOTSRANGE", first, []int{5460, 10922, 16383}[i])
		order(t, all[i], "CLUSTER", "SET-CONFIG-EPOCH", i+1)
	}
	for _, a := range addrs[1:] {
		host, port, _ := net.SplitHostPort(a)
		order(t, all[0], "CLUSTER", "MEET", host, port)
	}
	for i, replica := range all[3:] {
		id := order(t, all[i], "CLUSTER", "MYID")
		eventually(t, "the replica knows its master", func() bool {
			return replica.Do(context.Background(), "CLUSTER", "REPLICATE", id).Err() == nil
		})
	}
	for _, c := range all {
		eventually(t, "the cluster is up", func() bool {
			shards, err := c.Do(context.Background(), "CLUSTER", "SLOTS").Slice()
			if err != nil || len(shards) != 3 {
				return false
			}
			for _, s := range shards { // its first slot, its last, and its servers
				if shard, ok := s.([]any); !ok || len(shard) != 4 {
					return false
				}
			}
			return role(c) == "master" || synced(c)
		})
	}
	for _, c := range all {
		eventually(t, "the slots are served", func() bool {
			info, err := c.ClusterInfo(context.Background()).Result()
			return err == nil && len(info) > 16 && info[:16] == "cluster_state:ok"
		})
	}
	return addrs, all[3:]
}

// A lease on a whole cluster, which is one node, is renewed across the failover of every shard.
func TestALeaseOutlivesFailoversOfAllShardsOfACluster(t *testing.T) {
	addrs, replicas := newCluster(t)
	user := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
	t.Cleanup(func() { user.Close() })
	l := over(t, []pool.Node{pool.New(user)}, redlock.WithTTL(5*time.Second))
	lease := lock(t, l, "job", redlock.WithRenewal(redlock.Forever))
	for _, r := range replicas { // one after the other, because the masters vote once in an epoch
		order(t, r, "CLUSTER", "FAILOVER")
		eventually(t, "the replica leads", func() bool { return role(r) == "master" })
	}
	until := lease.Until()
	eventually(t, "the lease is renewed twice, or lost", func() bool { return lease.Err() != nil || lease.Until().Sub(until) > 3*time.Second })
	if err := lease.Err(); err != nil {
		t.Errorf("the lease ended: %v", err)
	}
	unlock(t, lease)
}
