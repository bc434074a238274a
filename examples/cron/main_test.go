package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock/redlocktest"
)

func TestOfTenMachinesOneMakesTheReport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := redlocktest.New(t, 5)
		var made atomic.Int32
		night := func() {
			var machines sync.WaitGroup
			for i := range 10 {
				locks := q.Locker()
				machines.Go(func() {
					// their clocks differ; the report takes no time at all
					time.Sleep(time.Duration(i) * 5 * time.Second)
					if err := once(t.Context(), locks, "report", func(context.Context) error { made.Add(1); return nil }); err != nil {
						t.Errorf("machine %d: %v", i, err)
					}
				})
			}
			machines.Wait()
		}
		for n := range int32(3) {
			night()
			if made.Load() != n+1 {
				t.Fatalf("after night %d the report was made %d times", n+1, made.Load())
			}
			time.Sleep(24 * time.Hour)
		}
	})
}

func TestAReportThatFailsIsAnError(t *testing.T) {
	t.Parallel()
	want := errors.New("no paper")
	q := redlocktest.New(t, 3)
	err := once(t.Context(), q.Locker(), "report", func(context.Context) error { return want })
	if !errors.Is(err, want) {
		t.Errorf("once says %v", err)
	}
}
