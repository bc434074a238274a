package redlock_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/clustertest"
)

// regions are the round trips from four regions to five masters, in milliseconds.
var regions = [][]int{
	{1, 1, 30, 30, 80},
	{30, 30, 1, 30, 80},
	{30, 30, 30, 1, 80},
	{80, 80, 80, 80, 1},
}

// Reservations last long enough for the request of a distant waiter to arrive.
func TestRegionsThatAreFarApartTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Jitter(time.Millisecond)
		var lockers []*redlock.Locker
		for r, trips := range regions {
			name := fmt.Sprint("region", r)
			for i, ms := range trips {
				c.Masters[i].LatencyOf(name, time.Duration(ms)*time.Millisecond)
			}
			l := c.LockerAs(t, name)
			mustUnlock(t, mustLock(t, l, "b")) // this measures how far they are
			time.Sleep(time.Second)
			lockers = append(lockers, l)
		}
		for hold, least := range map[time.Duration]int{0: 10, 5 * time.Millisecond: 10, 200 * time.Millisecond: 3} {
			ct := contest{hold: hold}
			ct.run(t, lockers, time.Minute)
			for r, n := range ct.turns {
				if mean := ct.handOver / len(regions); n < mean*9/10 {
					t.Errorf("hold %v: region %d had %d of %d turns", hold, r, n, ct.handOver)
				}
			}
			if ct.handOver < 60*least {
				t.Errorf("hold %v: %d turns in a minute", hold, ct.handOver)
			}
			time.Sleep(time.Second)
		}
	})
}
