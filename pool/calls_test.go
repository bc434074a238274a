package pool_test

import (
	"strings"
	"testing"
	"time"

	"github.com/go-redlock/redlock/pool"
)

func TestAFreeFencedLockTakesTwoServerCalls(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	k := keys(t, "lock")
	expect(t, "the first fence", do(t, n, acquire(k, alice, now())), pool.OK)
	expect(t, "the first fence", do(t, n, by(pool.Release, k, alice, 0)), pool.OK)
	ctx := t.Context()
	client.ConfigResetStat(ctx)
	for i := range 10 {
		expect(t, "acquire", do(t, n, acquire(k, alice, now()+uint64(i)*1000)), pool.OK)
		expect(t, "release", do(t, n, by(pool.Release, k, alice, 0)), pool.OK)
	}
	stats := client.Info(ctx, "commandstats").Val()
	if !strings.Contains(stats, "cmdstat_set:calls=20,") {
		t.Errorf("ten locks took other than 20 SETs:\n%s", stats)
	}
	for _, other := range []string{"time", "pexpire", "hmget", "zrange", "publish", "zpopmin"} {
		if strings.Contains(stats, "cmdstat_"+other+":") {
			t.Errorf("%s was called:\n%s", other, stats)
		}
	}
}

// now is a hint, as Lockers give them.
func now() uint64 { return uint64(time.Now().UnixMicro()) }
