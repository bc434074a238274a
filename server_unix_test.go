//go:build unix

package redlock_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock"
)

// A stopped server keeps its connections and does not answer, like a server that swaps or whose
// disk hangs.
func TestStoppedServersCostNothingAndAreCleanedUp(t *testing.T) {
	t.Parallel()
	s := servers(t, 5)
	l := dialed(t, s.Addrs())
	mustUnlock(t, mustLock(t, l, "a"))
	for _, i := range []int{0, 1} {
		if err := s.Process(i).Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	if d := took(func() {
		for range 20 {
			mustUnlock(t, mustLock(t, l, "a"))
		}
	}); d > patient {
		t.Errorf("twenty locks took %v", d)
	}
	for _, i := range []int{0, 1} {
		if err := s.Process(i).Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
	if n := l.Stats().Dropped; n != 0 {
		t.Errorf("%d releases were dropped", n)
	}
	for _, addr := range s.Addrs() {
		client := redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true})
		if n, err := client.Exists(ctx, "a").Result(); n != 0 || err != nil {
			t.Errorf("%s has the lock left: %d, %v", addr, n, err)
		}
		_ = client.Close()
	}
}

// If clocks agree, no register needs a repair: a lock is one request to each server, and so is its
// release. The test counts the requests that the servers saw.
func TestUncontendedFencedLocksTakeOneRoundTrip(t *testing.T) {
	t.Parallel()
	const names, each = 10, 100
	s := servers(t, 5)
	seen := new(recorder)
	l := dialed(t, s.Addrs(), redlock.WithObserver(seen))
	pass := func(times int) {
		for i := range names * times {
			le := mustLock(t, l, fmt.Sprint("name", i%names))
			if le.Fence() == 0 {
				t.Fatal("no token")
			}
			mustUnlock(t, le)
		}
	}
	pass(1) // makes the registers, loads the scripts
	var clients []*redis.Client
	for _, addr := range s.Addrs() {
		c := redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true})
		defer c.Close()
		clients = append(clients, c)
	}
	settle(t, l)
	before := len(eventsOf[redlock.AttemptEvent](seen))
	for _, c := range clients {
		if err := c.ConfigResetStat(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	pass(each)
	settle(t, l)
	locks, repaired := names*each, 0
	attempts := eventsOf[redlock.AttemptEvent](seen)[before:]
	for _, a := range attempts {
		if a.Repairs > 0 || a.Err != nil {
			repaired++
		}
	}
	t.Logf("%d locks in %d attempts, %d of them with a repair", locks, len(attempts), repaired)
	if len(attempts)-locks+repaired > locks/100 {
		t.Errorf("%d locks took %d attempts, %d with a repair or in vain", locks, len(attempts), repaired)
	}
	for i, c := range clients {
		info := c.Info(t.Context(), "commandstats", "stats").Val()
		scripts, reads := number(info, `cmdstat_evalsha:calls=(\d+)`), number(info, `total_reads_processed:(\d+)`)
		t.Logf("server %d: %d scripts in %d reads for %d locks and as many releases", i, scripts, reads, locks)
		if most := 2*locks + locks/100; scripts > most || reads > most+10 {
			t.Errorf("server %d carried out %d scripts in %d reads for %d locks and as many releases", i, scripts, reads, locks)
		}
	}
}

// settle waits until nothing is under way.
func settle(t *testing.T, l *redlock.Locker) {
	t.Helper()
	for l.Stats().Pending > 0 {
		if t.Context().Err() != nil {
			t.Fatal("it goes on and on")
		}
		time.Sleep(time.Millisecond)
	}
}

// number finds a number in a server's INFO.
func number(info, pattern string) int {
	m := regexp.MustCompile(pattern).FindStringSubmatch(info)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// Each lease is compared with a plain timer for the same moment: on a busy machine both are late.
func TestFrozenServersEndALeaseNoLaterThanATimer(t *testing.T) {
	t.Parallel()
	const leases, allowed = 25, 20 * time.Millisecond
	s := servers(t, 5)
	l := over(t, dial(t, s.Addrs()), redlock.WithTTL(3*time.Second))
	var held []*redlock.Lease
	for i := range leases {
		held = append(held, mustLock(t, l, fmt.Sprint("name", i), redlock.WithRenewal(redlock.Forever)))
	}
	for i := range s.Addrs() {
		if err := s.Process(i).Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	late := make(chan time.Duration, leases)
	for _, le := range held {
		timer := make(chan time.Time, 1)
		time.AfterFunc(time.Until(le.Until()), func() { timer <- time.Now() })
		until := le.Until()
		go func() {
			<-le.Done()
			ended := time.Now()
			if ended.Before(until) || !le.Until().Equal(until) {
				t.Errorf("the lease ended %v before its deadline", until.Sub(ended))
			}
			late <- ended.Sub(<-timer)
		}()
	}
	var all []time.Duration
	for range leases {
		all = append(all, <-late)
	}
	slices.Sort(all)
	t.Logf("later than a timer: median %v, the latest %v", all[leases/2], all[leases-1])
	if all[leases/2] > allowed {
		t.Errorf("half of the leases ended more than %v later than a timer", all[leases/2])
	}
}
