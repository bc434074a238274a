package pool_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/go-redlock/redlock/pool"
)

// A server closes connections that are idle for long, and all of them when it restarts. The next lock must not pay for that.
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
					calls := make([]pool.Call, requests)
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
			calls := make([]pool.Call, requests)
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

func TestARequestThatFindsItsConnectionClosedIsNotSentTwice(t *testing.T) {
	t.Parallel()
	k := keys(t, "lock")
	f := newFake(t, func(command []string) string {
		if strings.Contains(strings.Join(command, " "), k.Fence) { // the acquire is read, and not answered
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
