package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/clustertest"
	"github.com/go-redlock/redlock/internal/memnode"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

func mustAcquire(t *testing.T, s *redlock.Semaphore) *redlock.Lease {
	t.Helper()
	le, err := s.Acquire(t.Context())
	if err != nil {
		t.Fatalf("Acquire of %v: %v", s, err)
	}
	return le
}

// slotKeys returns the lock keys of a semaphore's slots.
func slotKeys(t *testing.T, name string, permits int) (locks []string) {
	t.Helper()
	slots, err := wire.SlotKeys("", name, permits)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range slots {
		locks = append(locks, k.Lock)
	}
	return locks
}

// bubble runs a test with five masters, one round trip of which takes half a millisecond.
func bubble(t *testing.T, test func(*testing.T, *clustertest.Cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		c.Latency(500 * time.Microsecond)
		test(t, c)
	})
}

func TestASemaphoreHasAsManyPermitsAsItSaysEachWithASlotOfItsOwn(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		s := c.Locker(t).Semaphore("jobs", 3)
		var leases []*redlock.Lease
		seen := map[int]bool{}
		for range 3 {
			le := mustAcquire(t, s)
			if le.Slot() < 0 || le.Slot() > 2 || seen[le.Slot()] || le.Permits() != 3 || le.Fence() == 0 {
				t.Errorf("%v: slot %d of %d", le, le.Slot(), le.Permits())
			}
			seen[le.Slot()] = true
			leases = append(leases, le)
		}
		for _, other := range []*redlock.Semaphore{s, c.Locker(t).Semaphore("jobs", 3)} {
			if _, err := other.TryAcquire(t.Context()); !errors.Is(err, redlock.ErrHeld) {
				t.Errorf("TryAcquire of a full semaphore: %v", err)
			}
		}
		mustUnlock(t, leases[1])
		if le := mustAcquire(t, s); le.Slot() != leases[1].Slot() || le.Fence() <= leases[1].Fence() {
			t.Errorf("slot %d, token %d; want slot %d, a token above %d", le.Slot(), le.Fence(), leases[1].Slot(), leases[1].Fence())
		} else {
			mustUnlock(t, le)
		}
		mustUnlock(t, leases[0])
		mustUnlock(t, leases[2])
		c.WantNoLocks(t)
	})
}

func TestAFreePermitTakesOneRoundTrip(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		s := c.Locker(t).Semaphore("jobs", 16)
		for range 8 {
			began, sent := time.Now(), c.Sent()
			le := mustAcquire(t, s)
			if took := time.Since(began); took != 500*time.Microsecond || c.Sent()-sent != 5 {
				t.Errorf("slot %d took %v and %d requests", le.Slot(), took, c.Sent()-sent)
			}
		}
	})
}

func TestASemaphoreAndALockOfOneNameHaveNothingToDoWithEachOther(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		l := c.Locker(t)
		ctx := t.Context()
		lock := mustTryLock(t, l, "jobs")
		s := l.Semaphore("jobs", 1)
		err := s.TryDo(ctx, func(ctx context.Context, permit *redlock.Lease) error {
			if le, found := l.FromContext(ctx, "jobs"); found {
				t.Errorf("the context of a permit carries the lock %v", le)
			}
			if lock.Permits() != 0 || lock.Slot() != 0 || permit.Permits() != 1 {
				t.Errorf("%d permits for the lock, %d for the permit", lock.Permits(), permit.Permits())
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		mustUnlock(t, lock)
	})
}

func TestBadArgumentsOfASemaphoreAreErrorsOfEachCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := clustertest.New(3).Locker(t)
		var none *redlock.Locker
		for what, s := range map[string]*redlock.Semaphore{
			"permits": l.Semaphore("jobs", 0), "permits ": l.Semaphore("jobs", -1), "permits  ": l.Semaphore("jobs", redlock.MaxPermits+1),
			"name": l.Semaphore("", 3), "name ": l.Semaphore("a:redlock:slot:1", 3), "WithTTL": l.Semaphore("jobs", 3, redlock.WithTTL(-1)),
			"opts[0]": l.Semaphore("jobs", 3, nil), "Locker": none.Semaphore("jobs", 3), "Mutex": {},
		} {
			_, acquire := s.Acquire(t.Context())
			_, try := s.TryAcquire(t.Context())
			do := s.Do(t.Context(), func(context.Context, *redlock.Lease) error { return nil })
			for _, err := range []error{acquire, try, do} {
				bad, ok := errors.AsType[*redlock.OptionError](err)
				if !ok || !slices.Contains([]string{bad.Option, bad.Option + " ", bad.Option + "  "}, what) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if s.Permits() < 0 || s.String() == "" {
				t.Errorf("%s: %v", what, s)
			}
		}
		held := mustAcquire(t, l.Semaphore("jobs", 3))
		if _, err := l.Semaphore("jobs", 4).TryAcquire(t.Context()); err == nil {
			t.Error("one process uses two numbers of permits")
		}
		mustUnlock(t, held)
		if s := l.Semaphore("jobs", 3); s.String() != `redlock.Semaphore("jobs", 3)` || s.Name() != "jobs" {
			t.Errorf("%v", s)
		}
	})
}

func TestAPermitIsExtendedRenewedAndLostAsALockIs(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		l := c.Locker(t)
		s := l.Semaphore("jobs", 3, redlock.WithTTL(time.Second))
		keys := slotKeys(t, "jobs", 3)
		le := mustAcquire(t, s)
		time.Sleep(600 * time.Millisecond)
		mustExtend(t, le)
		time.Sleep(600 * time.Millisecond)
		if err := le.Err(); err != nil {
			t.Fatal(err)
		}
		for i, key := range keys {
			if life := c.Masters[0].TTL(key); life > 0 != (i == le.Slot()) {
				t.Errorf("slot %d lives for %v", i, life)
			}
		}
		c.Delete(keys[le.Slot()])
		if err := le.Extend(t.Context()); !errors.Is(err, redlock.ErrLost) {
			t.Errorf("Extend of a slot that is gone: %v", err)
		}
		le = mustAcquire(t, l.Semaphore("jobs", 3, redlock.WithTTL(time.Second), redlock.WithRenewal(redlock.Forever)))
		c.Delete(keys[le.Slot()], 0, 1)
		time.Sleep(10 * time.Second)
		if err := le.Err(); err != nil {
			t.Errorf("a renewed permit: %v", err)
		}
		if c.Masters[0].Owner(keys[le.Slot()]) == "" {
			t.Error("the slot was not taken again where it was lost")
		}
		mustUnlock(t, le)
		c.WantNoLocks(t)
	})
}

// Two attempts at the same time: nodes grant each of them the first free slot, in different orders.
func TestStrayGrantsOfOtherSlotsAreGivenBack(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		c.Jitter(400 * time.Microsecond)
		lockers := c.Lockers(t, 4)
		for range 200 {
			var wg sync.WaitGroup
			var held [4]atomic.Int32
			for _, l := range lockers {
				wg.Go(func() {
					le, err := l.Semaphore("jobs", 4).Acquire(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					if held[le.Slot()].Add(1) > 1 {
						t.Errorf("slot %d is held twice", le.Slot())
					}
					time.Sleep(20 * time.Millisecond)
					owners := 0
					for _, m := range c.Masters {
						if _, _, found := m.Get(slotKeys(t, "jobs", 4)[le.Slot()]); found {
							owners++
						}
					}
					if owners < 3 {
						t.Errorf("%d nodes have slot %d", owners, le.Slot())
					}
					held[le.Slot()].Add(-1)
					mustUnlock(t, le)
				})
			}
			wg.Wait()
			c.WantNoLocks(t)
		}
	})
}

// A releaseCount is a node that counts the releases that name all slots, and the others.
type releaseCount struct {
	wire.Node
	every, one *atomic.Int64
}

func (n *releaseCount) Do(ctx context.Context, calls []wire.Call) {
	for i := range calls {
		switch r := calls[i].Request; {
		case r.Verb != pool.Release:
		case r.Slots != nil:
			n.every.Add(1)
		default:
			n.one.Add(1)
		}
	}
	n.Node.Do(ctx, calls)
}

// Two nodes answer when the permit has been given back already: they are asked to release the slot
// that they have granted, which is less work than to look for it.
func TestOnlyNodesThatDoNotAnswerAreAskedToReleaseAnySlot(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		var every, one atomic.Int64
		var nodes []pool.Node
		for i, m := range c.Masters {
			if i > 2 {
				m.Latency(3 * time.Millisecond)
			}
			nodes = append(nodes, wire.Seal(&releaseCount{m.As(""), &every, &one}))
		}
		s := over(t, nodes).Semaphore("jobs", 16)
		mustUnlock(t, mustAcquire(t, s))
		time.Sleep(time.Second)
		if every.Load() != 0 || one.Load() != 5 {
			t.Errorf("%d releases of any slot, %d of one", every.Load(), one.Load())
		}
		c.Masters[4].DropReply(pool.Acquire, 1)
		mustUnlock(t, mustAcquire(t, s))
		time.Sleep(time.Second)
		if every.Load() == 0 {
			t.Error("a node whose answer was lost was not asked to release any slot")
		}
		c.WantNoLocks(t)
	})
}

// Nodes whose answers are lost or late may have granted any slot.
func TestAnUnansweredRequestForAnySlotLeavesNothing(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		s := c.Locker(t).Semaphore("jobs", 3)
		c.Masters[0].DropReply(pool.Acquire, 1)
		c.Masters[1].Set(slotKeys(t, "jobs", 3)[0], "another", 50*time.Millisecond)
		le := mustAcquire(t, s)
		mustUnlock(t, le)
		for i := range 3 {
			c.Masters[i].DropReply(pool.Acquire, 1)
		}
		if _, err := s.TryAcquire(t.Context()); !errors.Is(err, redlock.ErrNoQuorum) {
			t.Errorf("without a quorum: %v", err)
		}
		time.Sleep(time.Second)
		c.Freeze(0, 1)
		le = mustAcquire(t, s)
		mustUnlock(t, le)
		c.Thaw(0, 1)
		time.Sleep(2 * time.Second)
		c.WantNoLocks(t)
	})
}

// Slots 0 to 2 are held by bare majorities, slot 3 is free everywhere: no majority grants one slot
// at first, whichever is looked at first.
func TestTheOneFreeSlotIsFoundAtOnce(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		for slot, key := range slotKeys(t, "jobs", 4)[:3] {
			c.Hold(key, time.Hour, slot, slot+1, slot+2)
		}
		for _, take := range []func(*redlock.Semaphore, context.Context) (*redlock.Lease, error){
			(*redlock.Semaphore).Acquire, (*redlock.Semaphore).TryAcquire,
		} {
			for range 50 {
				began := time.Now()
				le, err := take(c.Locker(t).Semaphore("jobs", 4), t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); le.Slot() != 3 || took > 30*time.Millisecond {
					t.Errorf("slot %d after %v", le.Slot(), took)
				}
				mustUnlock(t, le)
				time.Sleep(time.Second) // it is free again everywhere
			}
		}
	})
}

func TestAPermitIsFoundWhereOneNodeHasForgottenAll(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		s := c.Locker(t).Semaphore("jobs", 3)
		for range 3 {
			mustAcquire(t, s)
		}
		for _, key := range slotKeys(t, "jobs", 3) {
			c.Delete(key, 4)
		}
		for range 20 {
			if _, err := s.TryAcquire(t.Context()); !errors.Is(err, redlock.ErrHeld) {
				t.Errorf("all permits are held: %v", err)
			}
		}
	})
}

// k crash at once: all k permits are back after a TTL.
func TestThePermitsOfACrashedProcessComeBackAfterTheirTTL(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		const k = 5
		dead := c.LockerAs(t, "dead").Semaphore("jobs", k, redlock.WithTTL(2*time.Second))
		began := time.Now()
		for range k {
			mustAcquire(t, dead)
		}
		c.Cut("dead")
		var wg sync.WaitGroup
		for _, l := range c.Lockers(t, k) {
			wg.Go(func() {
				mustAcquire(t, l.Semaphore("jobs", k))
				if took := time.Since(began); took < 2*time.Second || took > 2200*time.Millisecond {
					t.Errorf("a permit came back after %v", took)
				}
			})
		}
		wg.Wait()
	})
}

func TestProgramsThatDisagreeHoldNoMoreThanTheMostOfThemAllows(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		var few, many atomic.Int32
		var wg sync.WaitGroup
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		var turns [2]atomic.Int32
		for i, l := range c.Lockers(t, 10) {
			k, kind := 3+2*(i%2), i%2
			wg.Go(func() {
				for ctx.Err() == nil {
					le, err := l.Semaphore("jobs", k).Acquire(ctx)
					if err != nil {
						continue
					}
					all := few.Add(int32(1-kind)) + many.Add(int32(kind))
					if all > 5 || few.Load() > 3 || le.Slot() >= k {
						t.Errorf("%d permits are held, slot %d by a program with %d", all, le.Slot(), k)
					}
					turns[kind].Add(1)
					time.Sleep(5 * time.Millisecond)
					few.Add(int32(kind - 1))
					many.Add(int32(-kind))
					mustUnlock(t, le)
				}
			})
		}
		wg.Wait()
		if turns[0].Load() < 200 || turns[1].Load() < 200 {
			t.Errorf("%d turns with 3 permits, %d with 5", turns[0].Load(), turns[1].Load())
		}
	})
}

func TestAWaiterGetsWhicheverSlotIsReleased(t *testing.T) {
	t.Parallel()
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprint("plain=", plain), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, c *clustertest.Cluster) {
				const k = 8
				opts := []redlock.MutexOption{redlock.WithTTL(time.Hour)}
				if plain {
					opts = append(opts, redlock.WithoutFencing())
				}
				holder := c.Locker(t).Semaphore("jobs", k, opts...)
				waiter := c.Locker(t).Semaphore("jobs", k, opts...)
				var held []*redlock.Lease
				for range k {
					held = append(held, mustAcquire(t, holder))
				}
				for i := range 3 * k {
					got := make(chan *redlock.Lease)
					go func() { got <- mustAcquire(t, waiter) }()
					time.Sleep(10 * time.Second)
					slot := held[i%k].Slot()
					began := time.Now()
					mustUnlock(t, held[i%k])
					le := <-got
					if took := time.Since(began); took > 5*time.Millisecond || le.Slot() != slot {
						t.Errorf("slot %d %v after slot %d was released", le.Slot(), took, slot)
					}
					held[i%k] = le
					holder, waiter = waiter, holder
				}
			})
		})
	}
}

// 200 goroutines of one process.
func TestTheTurnsOfAProcessAtASemaphoreAreEven(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		const k = 8
		s := c.Locker(t).Semaphore("jobs", k)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		turns := make([]int, 200)
		var held atomic.Int32
		var wg sync.WaitGroup
		for i := range turns {
			wg.Go(func() {
				for ctx.Err() == nil {
					le, err := s.Acquire(ctx)
					if err != nil {
						continue
					}
					if held.Add(1) > k {
						t.Error("too many permits are held")
					}
					time.Sleep(5 * time.Millisecond)
					turns[i]++
					held.Add(-1)
					mustUnlock(t, le)
				}
			})
		}
		wg.Wait()
		if least, most := slices.Min(turns), slices.Max(turns); float64(least) < 0.9*float64(most) || least == 0 {
			t.Errorf("from %d to %d turns", least, most)
		}
	})
}

func TestProcessesTakeTurnsAtASemaphore(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		const k, processes, hold = 4, 24, 5 * time.Millisecond
		c.Jitter(200 * time.Microsecond)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		turns, longest := make([]int, processes), make([]time.Duration, processes)
		var wg sync.WaitGroup
		for i, l := range c.Lockers(t, processes) {
			wg.Go(func() {
				for ctx.Err() == nil {
					began := time.Now()
					le, err := l.Semaphore("jobs", k).Acquire(ctx)
					if err != nil {
						continue
					}
					turns[i]++
					if turns[i] > 3 { // all have subscribed
						longest[i] = max(longest[i], time.Since(began))
					}
					time.Sleep(hold)
					mustUnlock(t, le)
				}
			})
		}
		wg.Wait()
		all := 0
		for _, n := range turns {
			all += n
		}
		fair := 5 * time.Second * processes / time.Duration(all)
		t.Logf("%d turns, a fair one takes %v, the longest wait %v, %.1f requests a turn", all, fair, slices.Max(longest), float64(c.Sent())/float64(all))
		if slices.Max(longest) > 4*fair || float64(slices.Min(turns)) < 0.9*float64(slices.Max(turns)) {
			t.Errorf("from %d to %d turns; the longest wait was %v, a fair turn takes %v", slices.Min(turns), slices.Max(turns), slices.Max(longest), fair)
		}
		if a := float64(c.Sent()) / float64(all); a > 18 {
			t.Errorf("%.1f requests a turn", a)
		}
		if used := float64(all) * float64(hold) / float64(5*time.Second); used < 3 {
			t.Errorf("%.2f of %d permits were in use", used, k)
		}
	})
}

// Processors that are short of time make hand-overs slow, and a semaphore has more of them in the
// same time than a lock. Where time costs nothing a slot changes hands as fast as a lock.
func TestASlotChangesHandsAsFastAsALock(t *testing.T) {
	t.Parallel()
	const k, processes, hold, lasts = 4, 32, 5 * time.Millisecond, 4 * time.Second
	gap := func(slots int, acquire func(*redlock.Locker) func(context.Context) (*redlock.Lease, error)) (gap time.Duration) {
		bubble(t, func(t *testing.T, c *clustertest.Cluster) {
			c.Jitter(200 * time.Microsecond)
			ctx, cancel := context.WithTimeout(t.Context(), lasts)
			defer cancel()
			var turns atomic.Int64
			var wg sync.WaitGroup
			for _, l := range c.Lockers(t, processes) {
				take := acquire(l)
				wg.Go(func() {
					for le, err := take(ctx); err == nil; le, err = take(ctx) {
						turns.Add(1)
						time.Sleep(hold)
						mustUnlock(t, le)
					}
				})
			}
			wg.Wait()
			gap = lasts*time.Duration(slots)/time.Duration(turns.Load()) - hold
		})
		return gap
	}
	lock := gap(1, func(l *redlock.Locker) func(context.Context) (*redlock.Lease, error) {
		return l.Mutex("jobs").Lock
	})
	slot := gap(k, func(l *redlock.Locker) func(context.Context) (*redlock.Lease, error) {
		return l.Semaphore("jobs", k).Acquire
	})
	t.Logf("a lock is idle for %v between two holders, a slot for %v", lock, slot)
	if slot > lock*11/10 {
		t.Errorf("a slot is idle for %v between two holders, a lock for %v", slot, lock)
	}
}

// The goroutine that contends for its process is not overtaken by those behind it.
func TestTheTurnsOfAProcessAreEvenBesideOthers(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		const k, processes, each = 3, 4, 6
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		turns := make([]int, processes*each)
		lockers := c.Lockers(t, processes)
		var wg sync.WaitGroup
		for i := range turns {
			wg.Go(func() {
				for ctx.Err() == nil {
					le, err := lockers[i%processes].Semaphore("jobs", k).Acquire(ctx)
					if err != nil {
						continue
					}
					turns[i]++
					time.Sleep(2 * time.Millisecond)
					mustUnlock(t, le)
				}
			})
		}
		wg.Wait()
		all := 0
		for _, n := range turns {
			all += n
		}
		t.Logf("%v turns, %.1f requests each", turns, float64(c.Sent())/float64(all))
		for i := range processes {
			var own []int
			for j := i; j < len(turns); j += processes {
				own = append(own, turns[j])
			}
			if float64(slices.Min(own)) < 0.9*float64(slices.Max(own)) {
				t.Errorf("process %d: from %d to %d turns", i, slices.Min(own), slices.Max(own))
			}
		}
		if float64(slices.Min(turns)) < 0.5*float64(slices.Max(turns)) {
			t.Errorf("from %d to %d turns", slices.Min(turns), slices.Max(turns))
		}
		if asked := float64(c.Sent()) / float64(all); asked > 6 {
			t.Errorf("%.1f requests a turn", asked)
		}
	})
}

func TestSimultaneousTryAcquiresUseWhatIsFree(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		c.Jitter(200 * time.Microsecond)
		lockers := c.Lockers(t, 6)
		for _, k := range []int{1, 2, 3} {
			all := 0
			const rounds = 200
			for range rounds {
				var got, wrong atomic.Int32
				var wg sync.WaitGroup
				for _, l := range lockers {
					wg.Go(func() {
						le, err := l.Semaphore("jobs", k).TryAcquire(t.Context())
						if err == nil {
							got.Add(1)
							time.Sleep(time.Second)
							mustUnlock(t, le)
						} else if !errors.Is(err, redlock.ErrHeld) && !errors.Is(err, redlock.ErrNoQuorum) {
							wrong.Add(1)
						}
					})
				}
				wg.Wait()
				if n := int(got.Load()); n < 1 || n > k || wrong.Load() > 0 {
					t.Errorf("%d of %d permits were taken, %d wrong errors", n, k, wrong.Load())
				}
				all += int(got.Load())
				time.Sleep(time.Second)
				c.WantNoLocks(t)
			}
			t.Logf("%d permits: %.2f taken on average", k, float64(all)/rounds)
			if float64(all) < 0.9*rounds*float64(k) {
				t.Errorf("of %d permits only %.2f were taken on average", k, float64(all)/rounds)
			}
		}
	})
}

func TestAWaiterForAPermitThatGivesUpIsPassedOver(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		const k = 3
		lockers := c.Lockers(t, 3)
		holder, quitter, waiter := lockers[0].Semaphore("jobs", k), lockers[1].Semaphore("jobs", k), lockers[2].Semaphore("jobs", k)
		var held []*redlock.Lease
		for range k {
			held = append(held, mustAcquire(t, holder))
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := quitter.Acquire(ctx); !errors.Is(err, context.Canceled) || !errors.Is(err, redlock.ErrHeld) {
				t.Errorf("the one that gives up: %v", err)
			}
		})
		time.Sleep(time.Second)
		wg.Go(func() {
			began := time.Now()
			le := mustAcquire(t, waiter)
			if took := time.Since(began); took > time.Second+10*time.Millisecond {
				t.Errorf("the other waited for %v", took)
			}
			mustUnlock(t, le)
		})
		time.Sleep(999 * time.Millisecond)
		cancel()
		time.Sleep(time.Millisecond)
		mustUnlock(t, held[1])
		wg.Wait()
		mustUnlock(t, held[0])
		mustUnlock(t, held[2])
		c.WantNoLocks(t)
	})
}

func TestAPermitStaysForItsMinimumHold(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		s := c.Locker(t).Semaphore("jobs", 2, redlock.WithMinHold(time.Second))
		began := time.Now()
		mustUnlock(t, mustAcquire(t, s))
		mustUnlock(t, mustAcquire(t, s))
		if _, err := s.TryAcquire(t.Context()); !errors.Is(err, redlock.ErrHeld) {
			t.Errorf("during the hold: %v", err)
		}
		mustUnlock(t, mustAcquire(t, s))
		if took := time.Since(began); took < time.Second || took > 1100*time.Millisecond {
			t.Errorf("the third permit came after %v", took)
		}
	})
}

func TestClosingEndsTheWaitForAPermit(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		l := c.Locker(t)
		s := l.Semaphore("jobs", 2)
		mustAcquire(t, s)
		held := mustAcquire(t, s)
		for range 3 {
			go func() {
				if _, err := s.Acquire(t.Context()); !errors.Is(err, redlock.ErrClosed) {
					t.Errorf("Acquire: %v", err)
				}
			}()
		}
		time.Sleep(time.Second)
		mustClose(t, l)
		if err := held.Err(); !errors.Is(err, redlock.ErrClosed) {
			t.Errorf("a permit: %v", err)
		}
		time.Sleep(time.Second)
	})
}

func TestInspectTellsWhoHasWhichSlot(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, c *clustertest.Cluster) {
		l := c.Locker(t)
		le := mustAcquire(t, l.Semaphore("jobs", 4, redlock.WithHolder("host/7")))
		time.Sleep(time.Second)
		slots, err := l.InspectSemaphore(t.Context(), "jobs", 4)
		if err != nil || len(slots) != 4 {
			t.Fatalf("%d slots, %v", len(slots), err)
		}
		for i, in := range slots {
			if want := map[bool]string{true: "host/7"}[i == le.Slot()]; in.Holder != want || in.Owner != "" != (want != "") || in.Name != "jobs" {
				t.Errorf("slot %d: %+v", i, in)
			}
			if i == le.Slot() && in.OwnerFence != le.Fence() {
				t.Errorf("slot %d has token %d, not %d", i, in.OwnerFence, le.Fence())
			}
		}
		c.Freeze(0, 1, 2)
		if slots, err = l.InspectSemaphore(t.Context(), "jobs", 4); !errors.Is(err, redlock.ErrNoQuorum) || len(slots) != 4 {
			t.Errorf("without a quorum: %d slots, %v", len(slots), err)
		}
		if slots, err = l.InspectSemaphore(t.Context(), "jobs", 0); err == nil || slots != nil {
			t.Errorf("of no permits: %v, %v", slots, err)
		}
	})
}

// A permit is inspected by the keys of its own slot: a user may have no others.
func TestAPermitIsInspectedByItsOwnKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var inspected atomic.Int64
		_, nodes := memnode.Cluster(3, memnode.WithNetwork(func(m memnode.Message) memnode.Fate {
			for _, r := range m.Requests {
				if r.Verb == wire.Inspect {
					inspected.Add(1)
					if r.Readers != "" {
						t.Errorf("%q is inspected with the readers %q", r.Lock, r.Readers)
					}
				}
			}
			return memnode.Fate{}
		}))
		if _, err := over(t, nodes).Semaphore("jobs", 2).Inspect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := inspected.Load(); n != 6 {
			t.Errorf("%d slots were inspected on the nodes", n)
		}
	})
}
