package redlock_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/pool"
)

// go-redis gives all clients that ask sentinels the same name, and no name to a cluster that a
// function finds.
func TestClientsThatDoNotTellWhatTheyLeadToAreSeveralNodes(t *testing.T) {
	t.Parallel()
	slots := func(context.Context) ([]redis.ClusterSlot, error) { return nil, nil }
	for name, client := range map[string]func(master string) redis.UniversalClient{
		"of a sentinel set": func(master string) redis.UniversalClient {
			return redis.NewFailoverClient(&redis.FailoverOptions{MasterName: master, SentinelAddrs: []string{"127.0.0.1:1"}})
		},
		"of a sentinel set, universal": func(master string) redis.UniversalClient {
			return redis.NewUniversalClient(&redis.UniversalOptions{MasterName: master, Addrs: []string{"127.0.0.1:1"}})
		},
		"of a sentinel set, read from replicas too": func(master string) redis.UniversalClient {
			return redis.NewFailoverClusterClient(&redis.FailoverOptions{MasterName: master, SentinelAddrs: []string{"127.0.0.1:1"}})
		},
		"of a cluster found by a function": func(string) redis.UniversalClient {
			return redis.NewClusterClient(&redis.ClusterOptions{ClusterSlots: slots})
		},
	} {
		clients := []redis.UniversalClient{client("one"), client("two"), client("three")}
		var nodes []pool.Node
		for _, c := range clients {
			t.Cleanup(func() { _ = c.Close() })
			nodes = append(nodes, pool.New(c))
		}
		l, err := redlock.New(nodes)
		if err != nil {
			t.Errorf("clients %s: %v", name, err)
			continue
		}
		t.Cleanup(func() { _ = l.Close(context.Background()) })
		if again := pool.New(clients[1]).Addr(); again != nodes[1].Addr() {
			t.Errorf("clients %s: one of them is %q, and %q", name, nodes[1].Addr(), again)
		}
		if _, err := redlock.New(append(nodes, pool.New(clients[1]))); err == nil {
			t.Errorf("clients %s: one that is given twice has two votes", name)
		}
		if addr := pool.New(clients[0], pool.WithAddr("one")).Addr(); addr != "one" {
			t.Errorf("clients %s: named one, it is %q", name, addr)
		}
	}
}

func TestAClientThatIsNoNodeIsRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}})
	t.Cleanup(func() { _ = ring.Close() })
	for reason, client := range map[string]redis.UniversalClient{
		"spreads keys over servers": ring,
		"the client is nil":         (*redis.Client)(nil),
	} {
		_, err := redlock.New([]pool.Node{pool.New(client)})
		bad, ok := errors.AsType[*redlock.OptionError](err)
		if !ok || bad.Option != "nodes[0]" || !strings.Contains(bad.Reason, reason) {
			t.Errorf("New: %v; want that %q", err, reason)
		}
	}
}
