package redlock_test

import (
	"errors"
	"flag"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/clustertest"
	"github.com/go-redlock/redlock/internal/memnode"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

func TestTokensRiseOverLockersAndNames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Jitter(time.Millisecond)
		lockers := []*redlock.Locker{c.Locker(t), c.Locker(t), c.Locker(t)}
		var last [2]token
		for i := range 60 {
			le := mustLock(t, lockers[i%3], fmt.Sprint("a", i%2))
			last[i%2].follow(t, le)
			mustUnlock(t, le)
			if le.Fence() != uint64(last[i%2]) {
				t.Error("the token changed at the end of the lease")
			}
		}
	})
}

func TestPlainLeasesHaveNoTokenAndTouchNoRegister(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		le := mustLock(t, c.Locker(t, redlock.WithoutFencing()), "a")
		if le.Fence() != 0 {
			t.Errorf("token %d", le.Fence())
		}
		mustExtend(t, le)
		mustUnlock(t, le)
		if v := c.Masters[0].Fence("a"); v != "" {
			t.Errorf("the register holds %s", v)
		}
	})
}

// If the registers differ, a second round trip raises a majority to one value, the greatest.
func TestTokenIsTheGreatestAndAcceptedByAMajority(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(time.Millisecond)
		ahead := uint64(time.Now().UnixMicro()) + 1e12 //nolint:gosec // above zero
		for i, master := range c.Masters {
			master.SetFence("a", fmt.Sprint(ahead+uint64(i))) //nolint:gosec // above zero
		}
		seen := new(recorder)
		l := c.Locker(t, redlock.WithObserver(seen))
		var le *redlock.Lease
		if d := took(func() { le = mustLock(t, l, "a") }); d != 2*time.Millisecond {
			t.Errorf("Lock took %v, two round trips are 2ms", d)
		}
		if repairs := eventsOf[redlock.AttemptEvent](seen)[0].Repairs; repairs == 0 {
			t.Error("no repair was told")
		}
		time.Sleep(time.Second)
		accepted := 0
		for i, master := range c.Masters {
			if master.Fence("a") == fmt.Sprint(le.Fence()) {
				accepted++
			} else if master.Fence("a") < fmt.Sprint(le.Fence()) {
				t.Errorf("node %d was left at %s, the token is %d", i, master.Fence("a"), le.Fence())
			}
		}
		if accepted < 3 || le.Fence() <= ahead {
			t.Errorf("token %d was accepted by %d", le.Fence(), accepted)
		}
		mustUnlock(t, le)

		// Soon they agree, and the hint follows them although the clock is behind.
		for range 20 {
			mustUnlock(t, mustLock(t, l, "a"))
		}
		for range 3 {
			if d := took(func() { le = mustLock(t, l, "a") }); d != time.Millisecond {
				t.Errorf("Lock took %v once the registers agreed", d)
			}
			mustUnlock(t, le)
		}
	})
}

// A node that grants a lower token after the win is still raised to the lease's token: it then
// counts for blocks, and the tokens of later owners are above it.
func TestALateLowerGrantIsRepairedAfterTheWin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		ahead := uint64(time.Now().UnixMicro()) + 1e12 //nolint:gosec // above zero
		for _, master := range c.Masters[:2] {
			master.SetFence("a", fmt.Sprint(ahead))
		}
		c.Masters[2].Latency(5 * time.Millisecond)
		l := c.Locker(t)
		le := lockEverywhere(t, l, "a")
		time.Sleep(time.Second)
		if got := c.Masters[2].Fence("a"); got != fmt.Sprint(le.Fence()) {
			t.Errorf("the late node was left at %s, the token is %d", got, le.Fence())
		}
		mustUnlock(t, le)
	})
}

func TestTokenNeedsAMajorityThatAcceptsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		for i, master := range c.Masters[:3] {
			master.SetFence("a", fmt.Sprint(1_000_000_000_000_000+i*1000))
		}
		c.Refuse(3, 4)
		for _, master := range c.Masters[:3] {
			master.DropReply(wire.Repair, 1)
		}
		seen := new(recorder)
		clock := new(wallClock)
		clock.step(-40 * 365 * 24 * time.Hour) // so that the registers are ahead of the hint
		l := c.Locker(t, redlock.WithObserver(seen), redlock.WithClock(clock))
		le := mustLock(t, l, "a")
		attempts := eventsOf[redlock.AttemptEvent](seen)
		if attempts[0].Err == nil {
			t.Error("a token that too few nodes accepted was taken")
		}
		if le.Fence() <= 1_000_000_000_002_000 {
			t.Errorf("token %d", le.Fence())
		}
		mustUnlock(t, le)
		time.Sleep(time.Second)
		c.WantNoLocks(t)
	})
}

// A client whose clock lags gets no token below those that it has seen, nor below others.
func TestTokensRiseThoughTheClientsClockLags(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		clock := new(wallClock)
		good, bad := c.Locker(t), c.Locker(t, redlock.WithClock(clock))
		var last token
		for i := range 20 {
			clock.step(-time.Duration(i) * time.Hour)
			l := good
			if i%3 > 0 {
				l = bad
			}
			le := mustLock(t, l, "a")
			last.follow(t, le)
			mustUnlock(t, le)
		}
	})
}

// A client whose clock shows 2099 cannot raise the register to that year, and one whose clock shows
// 1970 cannot keep it near zero.
func TestWrongClockDoesNotDragANewRegister(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{-50 * 365 * 24 * time.Hour, 70 * 365 * 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(5)
			clock := new(wallClock)
			clock.step(off)
			le := mustLock(t, c.Locker(t, redlock.WithClock(clock)), "a")
			now := time.Now().UnixMicro()
			if f := int64(le.Fence()); f < now-int64(time.Second/time.Microsecond) || f > now+61_000_000 { //nolint:gosec // below 2^53
				t.Errorf("token %d at %d", f, now)
			}
			mustUnlock(t, le)
		})
	}
}

// Tokens still rise when a minority loses its registers: by an expiry, a flush or a restart without
// data.
func TestTokensRiseThoughAMinorityLosesTheirRegisters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t)
		var last token
		for i := range 20 {
			c.Masters[i%5].Restart(false)
			c.Masters[(i+1)%5].Restart(false)
			le := mustLock(t, l, "a")
			last.follow(t, le)
			mustUnlock(t, le)
		}
	})
}

// All happens at one moment, so no clock helps.
func TestALockerRemembersItsTokensThoughAllRegistersAreLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		l := c.Locker(t)
		var last token
		for range 5 {
			for _, master := range c.Masters {
				master.Restart(false)
			}
			le := mustLock(t, l, "a")
			last.follow(t, le)
			mustUnlock(t, le)
		}
	})
}

func TestRegisterOutlivesTheLockByItsRetention(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		mustUnlock(t, lockEverywhere(t, c.Locker(t), "a"))
		mustUnlock(t, lockEverywhere(t, c.Locker(t, redlock.WithFenceRetention(24*time.Hour)), "b"))
		mustUnlock(t, lockEverywhere(t, c.Locker(t, redlock.WithTTL(12*time.Hour)), "c"))
		time.Sleep(time.Hour - time.Second)
		if c.Masters[0].Fence("a") == "" {
			t.Error("the register is gone before its retention")
		}
		time.Sleep(2 * time.Second)
		if v := c.Masters[0].Fence("a"); v != "" {
			t.Errorf("the register outlives its retention: %s", v)
		}
		time.Sleep(22 * time.Hour)
		if c.Masters[0].Fence("b") == "" || c.Masters[0].Fence("c") == "" {
			t.Error("the register is gone before its retention")
		}
	})
}

// If nobody has locked for so long that the registers have expired, tokens rise because of the
// nodes' clocks: neither a client whose clock is behind prevents that, nor one whose clock was
// ahead by less than the retention.
func TestTokensRiseOverTheEndOfTheRetention(t *testing.T) {
	t.Parallel()
	for _, off := range []struct{ before, after time.Duration }{
		{0, 0},
		{0, -3 * time.Hour},
		{50 * time.Minute, -3 * time.Hour},
		{50 * 365 * 24 * time.Hour, -50 * 365 * 24 * time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(5)
			mustUnlock(t, lockEverywhere(t, c.Locker(t), "a"))
			one, other := new(wallClock), new(wallClock)
			one.step(off.before)
			last := lockEverywhere(t, c.Locker(t, redlock.WithClock(one)), "a")
			mustUnlock(t, last)
			time.Sleep(redlock.DefaultFenceRetention + time.Second)
			if f := c.Masters[0].Fence("a"); f != "" {
				t.Errorf("the register is still there: %s", f)
			}
			other.step(off.after)
			le := mustLock(t, c.Locker(t, redlock.WithClock(other)), "a")
			if le.Fence() <= last.Fence() {
				t.Errorf("token %d after %d, with clocks off by %v and %v", le.Fence(), last.Fence(), off.before, off.after)
			}
			mustUnlock(t, le)
		})
	}
}

// A resource that compares tokens does not notice a lease without one.
func TestNamesAreNotInUseWithAndWithoutTokensAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		l := c.Locker(t)
		for i, opts := range [][]redlock.MutexOption{nil, {redlock.WithoutFencing()}} {
			other := [][]redlock.MutexOption{{redlock.WithoutFencing()}, nil}[i]
			le := mustLock(t, l, "a", opts...)
			refused, err := l.Lock(t.Context(), "a", other...)
			if o, ok := errors.AsType[*redlock.OptionError](err); !ok || o.Option != "WithoutFencing" {
				t.Errorf("Lock of the other kind: %v, %v", refused, err)
			}
			mustUnlock(t, mustLock(t, l, "b", other...)) // another name
			mustUnlock(t, le)
			mustUnlock(t, mustLock(t, l, "a", other...))
		}
	})
}

// An unexpected value is reported and left as it is; other libraries panic.
func TestForeignRegisterIsToldAndLeftAlone(t *testing.T) {
	t.Parallel()
	for _, foreign := range []string{"text", "-1", "1.5", "12345678901234567", "9007199254740992", " 1", "0x10", ""} {
		synctest.Test(t, func(t *testing.T) {
			c := clustertest.New(3)
			for _, master := range c.Masters {
				master.SetFence("a", foreign)
			}
			l := c.Locker(t)
			_, err := l.TryLock(t.Context(), "a")
			if !errors.Is(err, pool.ErrBadFence) {
				t.Errorf("%q: TryLock: %v", foreign, err)
			}
			synctest.Wait()
			c.WantNoLocks(t)
			for _, master := range c.Masters {
				if v := master.Fence("a"); v != foreign {
					t.Errorf("%q is %q now", foreign, v)
				}
			}
		})
	}
}

// Tokens of successive holders inside a process rise too, in the order of the holders of all
// processes.
func TestTokensRiseOverHandOvers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Jitter(time.Millisecond)
		lockers := []*redlock.Locker{c.Locker(t), c.Locker(t)}
		var mu sync.Mutex
		var last token
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				for range 10 {
					le := mustLock(t, lockers[i%2], "a")
					mu.Lock()
					last.follow(t, le)
					mu.Unlock()
					time.Sleep(100 * time.Microsecond)
					mustUnlock(t, le)
				}
			})
		}
		all.Wait()
	})
}

// turning is how long two goroutines take turns. Ten minutes take a minute of real time.
var turning = flag.Duration("turning", 5*time.Second, "how long, in virtual time, two goroutines take turns at a name")

// Two goroutines that want one name take turn after turn, with a hand-over in each. The tokens that
// are reserved for the turns must not add up: if the registers are lost, a token that is ahead of
// all clocks is above those of later locks.
func TestTokensOfShortTurnsStayNearTheClocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const longest = time.Second // a TTL
		masters, nodes := memnode.Cluster(3, memnode.WithNetwork(func(memnode.Message) memnode.Fate {
			return memnode.Fate{Delay: 100 * time.Microsecond, DelayBack: 100 * time.Microsecond}
		}))
		opts := []redlock.Option{redlock.WithTTL(longest), redlock.WithRestartGuard(longest)}
		l, other := over(t, nodes, opts...), over(t, nodes, opts...)
		if err := l.Bootstrap(t.Context()); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		var mu sync.Mutex
		var last uint64
		var ahead, leases int64
		end := time.Now().Add(*turning)
		// one goroutine returns too late to be handed the lock
		for _, rest := range []time.Duration{0, 300 * time.Microsecond} {
			all.Go(func() {
				for time.Now().Before(end) {
					le := mustLock(t, l, "a")
					mu.Lock()
					leases, last = leases+1, le.Fence()
					ahead = max(ahead, int64(last)-time.Now().UnixMicro()) //nolint:gosec // a time of day
					mu.Unlock()
					time.Sleep(10 * time.Microsecond)
					mustUnlock(t, le)
					time.Sleep(rest)
				}
			})
		}
		all.Wait()
		t.Logf("%d leases, their tokens %d µs ahead of the clocks at most", leases, ahead)
		if ahead > 10_000 {
			t.Errorf("a token was %d µs ahead of the clocks", ahead)
		}
		for _, n := range masters { // no register is left at the end
			n.Restart(false)
			_, _ = other.TryLock(t.Context(), "b") // the guard begins with the first request
			time.Sleep(longest + longest/100 + time.Second)
		}
		if le := mustLock(t, other, "a"); le.Fence() <= last {
			t.Errorf("token %d, and after three restarts %d", last, le.Fence())
		}
	})
}
