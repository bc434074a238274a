package memnode_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/memnode"
)

func TestLocksExcludeEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, nodes := memnode.Cluster(5)
		ctx := context.Background()
		held, sum := 0, 0
		var wg sync.WaitGroup
		for range 8 {
			locks, err := redlock.New(nodes)
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				defer locks.Close(ctx)
				for range 20 {
					lease, err := locks.Lock(ctx, "sum")
					if err != nil {
						t.Error(err)
						return
					}
					if held++; held != 1 {
						t.Error("two have the lock")
					}
					time.Sleep(5 * time.Millisecond)
					sum++
					held--
					if err := lease.Unlock(ctx); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if sum != 160 {
			t.Errorf("sum is %d, want 160", sum)
		}
	})
}

func TestAFrozenNodeDoesWhatWasSentOnceItThaws(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		masters, nodes := memnode.Cluster(1)
		locks, err := redlock.New(nodes)
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		masters[0].Freeze()
		if _, err := locks.TryLock(ctx, "a"); !errors.Is(err, redlock.ErrNoQuorum) {
			t.Errorf("TryLock of a frozen node: %v, want ErrNoQuorum", err)
		}
		masters[0].Thaw()
		if err := locks.Close(ctx); err != nil {
			t.Error(err)
		}
		if keys := masters[0].Keys(); len(keys) != 1 {
			t.Errorf("keys %q, want the fencing register alone", keys)
		}
	})
}
