package pool_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/pool"
)

// A proxy without a server behind it accepts connections and hangs up, at once or when it gets a
// request. A server that is full says why before it hangs up.
func TestAServerThatHangsUpAtOnceIsDialledFiftyTimesASecondAtMost(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ hello, info string }{
		"on connections": {"", ""},
		"because full":   {"-ERR max number of clients reached\r\n", hangsUp},
		"on a greeting":  {greeting, hangsUp},
		"on requests":    {greeting, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			const callers, span = 8, 10 * time.Second
			l, f := newFar(t, 10*time.Microsecond, func([]string) string { return "" })
			f.hello, f.info = test.hello, test.info
			n := l.open(t, redis.Options{})
			var all sync.WaitGroup
			for range callers {
				all.Go(func() {
					for began := time.Now(); time.Since(began) < span; time.Sleep(ms) {
						reply, _ := in(t, n, time.Second, acquire(keys(t, "lock"), alice, 1))
						expect(t, name, reply, pool.Unavailable)
					}
				})
			}
			all.Wait()
			if d := l.dials.Load(); d > callers+int64(50*span/time.Second) || d < int64(span/time.Second) {
				t.Errorf("%s: %d dials in %v", name, d, span)
			}
		})
	}
}

// An idle connection costs both ends something, and the network may forget it.
func TestAConnectionThatHasRestedForLongIsClosedThoughNoRequestComes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const rest = 10 * time.Second
		l, f := newFar(t, 10*ms, granted)
		n := l.open(t, redis.Options{}, pool.WithMaxIdle(rest))
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { in(t, n, time.Second, acquire(keys(t, "lock"), alice, 1)) })
		}
		all.Wait()
		if f.live.Load() != 3 {
			t.Fatalf("%d connections", f.live.Load())
		}
		time.Sleep(rest / 2)
		reply, _ := in(t, n, time.Second, acquire(keys(t, "lock"), alice, 1))
		expect(t, "one is used", reply, pool.OK)
		for _, step := range []struct {
			until time.Duration
			left  int64
		}{{rest/2 - 100*ms, 3}, {200 * ms, 1}, {rest/2 - 200*ms, 1}, {200 * ms, 0}} {
			time.Sleep(step.until)
			synctest.Wait()
			if c := f.live.Load(); c != step.left {
				t.Errorf("%d connections are left, not %d", c, step.left)
			}
		}
		reply, _ = in(t, n, time.Second, acquire(keys(t, "lock"), alice, 1))
		expect(t, "the next", reply, pool.OK)
	})
}
