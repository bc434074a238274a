package pool_test

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// slots are the keys of a semaphore.
func slots(t testing.TB, name string, count int) []wire.KeySet {
	t.Helper()
	keys, err := wire.SlotKeys("", name, count)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// permit is a fenced request for any of the slots.
func permit(slots []wire.KeySet, begin int, owner string) *wire.Request {
	r := acquire(slots[0], owner, now())
	r.Lock, r.Slots = "", &wire.Slots{Keys: slots, Begin: begin}
	return r
}

func TestAPermitIsTheFirstFreeSlotFromTheOneAskedFor(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	keys := slots(t, "jobs", 5)
	client.Set(t.Context(), keys[3].Lock, bob, time.Minute)
	client.Set(t.Context(), keys[4].Lock, bob, time.Minute)
	for i, want := range []struct {
		slot uint8
		free string
	}{{0, "11100"}, {1, "01100"}, {2, "00100"}} {
		owner := strings.Repeat("abc"[i:i+1], 32)
		reply := do(t, n, permit(keys, 3, owner))
		expect(t, "permit", reply, pool.OK)
		if reply.Slot != want.slot || reply.Free != want.free || reply.Token == 0 {
			t.Errorf("%+v, want slot %d of %s", reply, want.slot, want.free)
		}
		if got := client.Get(t.Context(), keys[want.slot].Lock).Val(); got != owner {
			t.Errorf("slot %d is %q's", want.slot, got)
		}
	}
	expect(t, "no slot is free", do(t, n, permit(keys, 3, alice)), pool.Held)
}

func TestARequestForAPermitThatComesTwiceIsOne(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	keys := slots(t, "jobs", 3)
	first := do(t, n, permit(keys, 1, alice))
	client.Set(t.Context(), keys[0].Lock, bob, time.Minute)
	again := do(t, n, permit(keys, 2, alice))
	expect(t, "again", again, pool.OK)
	if !again.Again || again.Slot != 1 || again.Token != first.Token || again.Free != "011" {
		t.Errorf("%+v, after %+v", again, first)
	}
	if client.Exists(t.Context(), keys[2].Lock).Val() != 0 {
		t.Error("it has got a second slot")
	}
}

func TestASemaphoreThatIsFullTellsTheLeastLifeAndQueues(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	keys := slots(t, "jobs", 3)
	for i, life := range []time.Duration{time.Minute, 5 * time.Second, 30 * time.Second} {
		client.Set(t.Context(), keys[i].Lock, bob, life)
	}
	r := permit(keys, 2, alice)
	r.Queue, r.Inbox, r.Ticket = keys[0].Queue, "inbox", now()
	reply := do(t, n, r)
	expect(t, "full", reply, pool.Held)
	if reply.TTL < 4*time.Second || reply.TTL > 5*time.Second {
		t.Errorf("the first owner's life ends in %v", reply.TTL)
	}
	// any slot that is given up is for the first waiter of the one queue
	notices := listen(t, n, "inbox")
	give := by(pool.Release, keys[1], bob, 0)
	give.Queue, give.Reserve = keys[1].Queue, time.Minute
	expect(t, "give", do(t, n, give), pool.OK)
	if got := <-notices; got.Lock != keys[1].Lock {
		t.Errorf("told of %q", got.Lock)
	}
	expect(t, "another", do(t, n, permit(keys, 0, bob)), pool.OK) // bob has slot 0 already
	r = permit(keys, 2, alice)
	r.Queue, r.Inbox, r.Ticket = keys[0].Queue, "inbox", now()
	if reply = do(t, n, r); reply.Verdict != pool.OK || reply.Slot != 1 || reply.Free != "010" {
		t.Errorf("what is reserved: %+v", reply)
	}
}

func TestASlotIsTakenByThatNameTooAndOnlyItsOwnerGivesItUp(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	keys := slots(t, "jobs", 3)
	expect(t, "slot 2", do(t, n, acquire(keys[2], alice, now())), pool.OK)
	expect(t, "slot 0", do(t, n, acquire(keys[0], alice, now())), pool.OK)
	expect(t, "slot 1", do(t, n, acquire(keys[1], bob, now())), pool.OK)
	vacate := func(owner string) wire.Reply {
		r := by(pool.Release, keys[0], owner, 0)
		r.Lock, r.Queue, r.Slots = "", keys[0].Queue, &wire.Slots{Keys: keys}
		return do(t, n, r)
	}
	expect(t, "alice's", vacate(alice), pool.OK)
	expect(t, "alice's again", vacate(alice), pool.Gone)
	if got := client.Exists(t.Context(), keys[0].Lock, keys[2].Lock).Val(); got != 0 {
		t.Errorf("%d of the slots are left", got)
	}
	if got := client.Get(t.Context(), keys[1].Lock).Val(); got != bob {
		t.Errorf("the other's slot is %q's", got)
	}
}

func TestASlotThatIsReservedForAnotherIsPassedOver(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	keys := slots(t, "jobs", 3)
	client.Set(t.Context(), keys[1].Lock, "R:other", time.Minute)
	r := permit(keys, 1, alice)
	r.Queue, r.Inbox, r.Ticket = keys[0].Queue, "inbox", now()
	if reply := do(t, n, r); reply.Verdict != pool.OK || reply.Slot != 2 || reply.Free != "101" {
		t.Errorf("%+v", reply)
	}
}

func TestAWaiterThatLeavesPassesOnWhateverSlotIsReservedForIt(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	keys := slots(t, "jobs", 3)
	client.Set(t.Context(), keys[1].Lock, "R:inbox", time.Minute)
	client.Set(t.Context(), keys[2].Lock, "R:other", time.Minute)
	client.ZAdd(t.Context(), keys[0].Queue, redis.Z{Score: 1, Member: "next"})
	notices := listen(t, n, "next")
	r := &wire.Request{Verb: pool.Leave, Slots: &wire.Slots{Keys: keys}, Queue: keys[0].Queue, Inbox: "inbox", Reserve: time.Minute}
	expect(t, "leave", do(t, n, r), pool.OK)
	if got := <-notices; got.Lock != keys[1].Lock {
		t.Errorf("told of %q", got.Lock)
	}
	if got := client.Get(t.Context(), keys[2].Lock).Val(); got != "R:other" {
		t.Errorf("the other's slot is %q", got)
	}
}

func TestAPermitWithoutATokenTouchesNoRegister(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	keys := slots(t, "jobs", 3)
	r := permit(keys, 1, alice)
	r.Fence = ""
	reply := do(t, n, r)
	expect(t, "permit", reply, pool.OK)
	if reply.Slot != 1 || reply.Token != 0 || client.DBSize(t.Context()).Val() != 1 {
		t.Errorf("%+v, and %d keys", reply, client.DBSize(t.Context()).Val())
	}
}

func TestABrokenAnswerToARequestForAPermitIsNoGrant(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"OK", "OK 1", "OK 1 0", "OK 1 0 11", "OK 1 3 111", "OK 1 0 011", "OK 1 0 1111", "OK 1 0 1x1", "OK x 0 111", "OK 1 -1 111", "OK 1 0 111 1", "AGAIN 1", "GONE"} {
		f := newFake(t, func([]string) string { return bulk(text) })
		if reply := do(t, dial(t, f.addr), permit(slots(t, "jobs", 3), 0, alice)); reply.Verdict != pool.Refused {
			t.Errorf("%q: %+v", text, reply)
		}
	}
}

// Nodes have passed two slots on to two waiters in different orders.
func TestTwoWaitersExchangeTheSlotsThatAreReservedForThem(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	keys := slots(t, "jobs", 4)
	client.Set(t.Context(), keys[0].Lock, "R:other", time.Minute)
	client.Set(t.Context(), keys[1].Lock, "R:inbox", time.Minute)
	client.Set(t.Context(), keys[2].Lock, "R:inbox", time.Minute)
	client.Set(t.Context(), keys[3].Lock, bob, time.Minute)
	client.ZAdd(t.Context(), keys[0].Queue, redis.Z{Score: 1, Member: "third"})
	others, thirds := listen(t, n, "other"), listen(t, n, "third")
	only := func(slot int) *wire.Request {
		r := permit(keys, slot, alice)
		r.Queue, r.Inbox, r.Ticket, r.Reserve, r.Slots.Only = keys[0].Queue, "inbox", now(), time.Minute, true
		return r
	}
	expect(t, "only slot 0", do(t, n, only(0)), pool.OK)
	if got := (<-others).Lock; got != keys[1].Lock {
		t.Errorf("the other was told of %q", got)
	}
	if got := (<-thirds).Lock; got != keys[2].Lock { // which no waiter wants any more
		t.Errorf("the third was told of %q", got)
	}
	for i, want := range []string{alice, "R:other", "R:third", bob} {
		if got := client.Get(t.Context(), keys[i].Lock).Val(); got != want {
			t.Errorf("slot %d is %q's, want %q", i, got, want)
		}
	}
	expect(t, "only a slot that is held", do(t, n, only(3)), pool.Held)
	if client.ZScore(t.Context(), keys[0].Queue, "inbox").Err() != nil {
		t.Error("it was not queued")
	}
}

func TestAllSlotsOfASemaphoreAreInOneHashSlotOfACluster(t *testing.T) {
	t.Parallel()
	n, client := real(t, "--cluster-enabled", "yes", "--cluster-require-full-coverage", "no")
	ctx := t.Context()
	if err := client.Do(ctx, "cluster", "addslotsrange", 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	for client.Set(ctx, "x", "y", 0).Err() != nil { // it takes a moment until it serves the slots
		continue
	}
	for _, name := range []string{"jobs", "{jobs}:7", "a{b"} {
		keys := slots(t, name, 5)
		r := permit(keys, 2, alice)
		r.Queue, r.Inbox, r.Ticket = keys[0].Queue, "inbox", now()
		if reply := do(t, n, r); reply.Verdict != pool.OK || reply.Slot != 2 {
			t.Errorf("%s: %+v", name, reply)
		}
	}
}
