package integration_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/integration/history"
)

// The leases of a real run with faults are a possible history of a single lock.
func TestTheHistoryOfRealRunsIsThatOfOneLock(t *testing.T) {
	const lockers, workers, length = 4, 3, 6 * time.Second
	servers := start(t, size)
	began := time.Now()
	now := func() int64 { return int64(time.Since(began)) }
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()

	var mu sync.Mutex
	var all []history.Lease
	var running sync.WaitGroup
	for holder := range lockers {
		l := locker(t, servers, redlock.WithTTL(500*time.Millisecond))
		for range workers {
			running.Go(func() {
				for ctx.Err() == nil {
					h := history.Lease{Holder: holder, Name: fmt.Sprintf("history-%d", rand.N(3)), Called: now(), Freed: history.Unknown}
					lease, err := l.Lock(ctx, h.Name)
					if err != nil {
						continue // it had no effect
					}
					h.Locked, h.Token = now(), lease.Fence()
					pause(lease.Context(), rand.N(4*time.Millisecond))
					if rand.N(200) == 0 {
						<-lease.Done() // abandoned
					}
					h.Ended = now()
					h.Ended = min(h.Ended, int64(lease.Until().Sub(began)))
					if lease.Unlock(context.Background()) == nil {
						h.Freed = now()
					}
					mu.Lock()
					all = append(all, h)
					mu.Unlock()
				}
			})
		}
	}
	for ctx.Err() == nil {
		victim := servers[rand.N(size)]
		fault := faults[[]string{"frozen", "cut"}[rand.N(2)]]
		victim.do(t, fault.begin...)
		pause(ctx, rand.N(800*time.Millisecond))
		victim.do(t, fault.end...)
	}
	running.Wait()

	v := history.Check(all)
	t.Logf("%d leases", len(all))
	if len(all) < 100 {
		t.Errorf("only %d leases: that shows nothing", len(all))
	}
	for _, wrong := range append(v.Overlaps, v.Tokens...) {
		t.Error(wrong)
	}
	if len(v.Illegal) > 0 {
		if err := v.Draw("history.html"); err != nil {
			t.Error(err)
		}
		t.Error("no single lock could have had this history: see history.html")
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
