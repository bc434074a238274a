package main

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"github.com/go-redlock/redlock/internal/redisserver"
	"github.com/go-redlock/redlock/internal/servertest"
)

// A Lock and its Unlock on five real servers keep within a budget of allocations, counting the
// whole process, and of requests.
func TestAPairKeepsToItsAllocationsAndRequests(t *testing.T) {
	srv, err := startServers()
	if errors.Is(err, redisserver.ErrNone) {
		servertest.Missing(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer srv.stop()
	for _, c := range named(fenced, plain) {
		t.Run(c.name, func(t *testing.T) {
			const pairs = 200
			ctx := context.Background()
			l, err := c.open(ctx, srv.Addrs())
			if err != nil {
				t.Fatal(err)
			}
			defer l.close()       //nolint:errcheck // the servers are stopped too
			ours := l.(ourLocker) //nolint:errcheck,forcetypeassert // both are ours
			pair := func() {
				h, err := l.lock(ctx, "bench")
				if err == nil {
					err = h.unlock(ctx)
				}
				if err != nil {
					t.Fatal(err)
				}
				for ours.Stats().Pending > 0 { // so the next pair finds all nodes free
					runtime.Gosched()
				}
			}
			for range pairs {
				pair() // makes the connections, loads the scripts
			}
			before, err := srv.bill(ctx)
			if err != nil {
				t.Fatal(err)
			}
			perPair := testing.AllocsPerRun(pairs, pair)
			after, err := srv.bill(ctx)
			if err != nil {
				t.Fatal(err)
			}
			asked := after.minus(before, 1).reads / (pairs + 1) // AllocsPerRun warms up once
			t.Logf("%.0f allocations and %.2f requests", perPair, asked)
			if perPair > maxAllocs {
				t.Errorf("%.0f allocations, want at most %d", perPair, maxAllocs)
			}
			// five nodes, twice; requests of the last pairs of the warm-up may be counted too
			if asked > 10.1 {
				t.Errorf("%.2f requests, want 10", asked)
			}
		})
	}
}

// maxAllocs is how many allocations a pair may make: half as many again as it makes.
const maxAllocs = 45
