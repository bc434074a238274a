package main

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"github.com/go-redlock/redlock/internal/redisserver"
	"github.com/go-redlock/redlock/internal/servertest"
)

// A pair of Lock and Unlock over five real servers keeps to its budget of allocations, all of this
// process, and of requests.
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
			defer l.close()       //nolint:errcheck // the servers go too
			ours := l.(ourLocker) //nolint:errcheck,forcetypeassert // these two are
			pair := func() {
				h, err := l.lock(ctx, "bench")
				if err == nil {
					err = h.unlock(ctx)
				}
				if err != nil {
					t.Fatal(err)
				}
				for ours.Stats().Pending > 0 { // the next finds the lock free on all nodes
					runtime.Gosched()
				}
			}
			for range pairs {
				pair() // connections, scripts
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
			// five nodes, twice; what the last pairs of the warm-up still had under way may fall
			// into it
			if asked > 10.1 {
				t.Errorf("%.2f requests, want 10", asked)
			}
		})
	}
}

// maxAllocs is what a pair may allocate: half as much again as it does.
const maxAllocs = 45
