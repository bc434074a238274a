package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock/redlocktest"
)

func TestSeveralMachinesDoEachTenantOnceARound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := redlocktest.New(t, 5)
		var tenants []string
		for i := range 100 {
			tenants = append(tenants, fmt.Sprint("tenant", i))
		}
		var mu sync.Mutex
		done := make(map[string]int)
		job := func(_ context.Context, tenant string) error {
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			done[tenant]++
			return nil
		}
		for n := range 3 {
			var machines sync.WaitGroup
			for range 4 {
				locks := q.Locker()
				machines.Go(func() {
					if err := round(t.Context(), locks, tenants, job); err != nil {
						t.Error(err)
					}
				})
			}
			machines.Wait()
			for tenant, times := range maps.All(done) {
				if times != n+1 {
					t.Fatalf("after round %d the job of %s was done %d times", n+1, tenant, times)
				}
			}
			if len(done) != len(tenants) {
				t.Fatalf("the job was done for %d tenants of %d", len(done), len(tenants))
			}
			time.Sleep(period)
		}
	})
}

func TestOneTenantsFaultDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	broke := errors.New("broke")
	q := redlocktest.New(t, 3)
	err := round(t.Context(), q.Locker(), []string{"ann", "bob", "cat"}, func(_ context.Context, tenant string) error {
		if tenant == "cat" {
			return nil
		}
		return broke
	})
	if text := fmt.Sprint(err); !errors.Is(err, broke) || !strings.Contains(text, "ann") || !strings.Contains(text, "bob") {
		t.Errorf("round says %v", err)
	}
}
