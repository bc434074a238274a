package pool_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

func TestReadersOfOneLockShareACommand(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	k := keys(t, "lock")
	var take, extend, give []*wire.Request
	for i := range 100 {
		owner := fmt.Sprintf("%032x", i)
		take = append(take, reading(acquire(k, owner, now()+uint64(i))))
		extend = append(extend, reading(by(pool.Extend, k, owner, now())))
		give = append(give, reading(release(k, owner)))
	}
	for range 2 { // the second time the scripts are known
		client.ConfigResetStat(t.Context())
		replies := send(t, n, take...)
		for i, reply := range replies {
			if expect(t, take[i].Owner, reply, pool.OK); reply.Again || reply.Token == 0 || reply.Token != replies[0].Token {
				t.Errorf("reader %d: %+v", i, reply)
			}
		}
		for i, reply := range send(t, n, extend...) {
			expect(t, extend[i].Owner, reply, pool.OK)
		}
		for i, reply := range send(t, n, give...) {
			expect(t, give[i].Owner, reply, pool.OK)
		}
		if left := client.Exists(t.Context(), k.Lock, wire.ReadersKey(k.Lock)).Val(); left != 0 {
			t.Errorf("%d keys are left", left)
		}
	}
	if calls := scriptCalls(t, client); calls != 2+2+2+3 { // of 64 and of 36, and three checks
		t.Errorf("%d scripts were run for a hundred readers", calls)
	}
}

func TestEachOfAGroupOfReadersHasItsOwnAnswer(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	k := keys(t, "lock")
	expect(t, "alice", do(t, n, reading(acquire(k, alice, now()))), pool.OK)
	wait := acquire(k, strings.Repeat("c", 32), now())
	wait.Queue, wait.Inbox, wait.Ticket = k.Queue, "redlock:inbox:c", now()
	expect(t, "a waiter", do(t, n, wait), pool.Held)
	replies := send(t, n, reading(acquire(k, alice, now())), reading(acquire(k, bob, now())))
	expect(t, "alice again", replies[0], pool.OK)
	expect(t, "bob, who is kept out", replies[1], pool.Held)
	if r := replies[1]; !replies[0].Again || r.Foreign || r.TTL <= 7*time.Second || r.TTL > 8*time.Second {
		t.Errorf("%+v", replies)
	}
	replies = send(t, n, reading(by(pool.Extend, k, bob, 1)), reading(by(pool.Extend, k, alice, 1)))
	expect(t, "extend bob's", replies[0], pool.Gone)
	expect(t, "extend alice's", replies[1], pool.OK)
	replies = send(t, n, reading(release(k, bob)), reading(release(k, alice)))
	expect(t, "release bob's", replies[0], pool.Gone)
	expect(t, "release alice's", replies[1], pool.OK)

	client.Set(t.Context(), k.Fence, "foreign", 0)
	replies = send(t, n, reading(acquire(k, alice, now())), reading(acquire(k, bob, now())))
	for i := range replies {
		if !errors.Is(replies[i].Err, pool.ErrBadFence) {
			t.Errorf("a foreign register: %v", replies[i].Err)
		}
	}
	if client.Exists(t.Context(), k.Lock, wire.ReadersKey(k.Lock)).Val() != 0 {
		t.Error("the lock is shared all the same")
	}
}

// A server that is out of memory shares nothing more, but those who share a lock go on.
func TestAFullServerExtendsAndReleasesSharesAndGrantsNone(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	k := keys(t, "lock")
	first := do(t, n, reading(acquire(k, alice, now())))
	expect(t, "before", first, pool.OK)
	client.ConfigSet(t.Context(), "maxmemory", "1")
	expect(t, "join", do(t, n, reading(acquire(k, bob, now()))), pool.Unavailable)
	expect(t, "share", do(t, n, reading(acquire(keys(t, "other"), bob, now()))), pool.Unavailable)
	expect(t, "extend", do(t, n, reading(by(pool.Extend, k, alice, first.Token))), pool.OK)
	expect(t, "release", do(t, n, reading(release(k, alice))), pool.OK)
	if left := client.Keys(t.Context(), "*").Val(); len(left) != 1 {
		t.Errorf("%q are left, and not the fencing register alone", left)
	}
}

// Neither shares nor what is left of them outlive the lock.
func TestNothingOfReadersIsThereForEver(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	k := keys(t, "lock")
	life := func(key string) time.Duration { return client.PTTL(t.Context(), key).Val() }
	end := func(key string) time.Duration { return client.PExpireTime(t.Context(), key).Val() }
	for i, ttl := range []time.Duration{10 * time.Second, time.Minute, time.Second} {
		r := reading(acquire(k, fmt.Sprintf("%032x", i), now()))
		r.TTL = ttl
		expect(t, "share", do(t, n, r), pool.OK)
		if l, r := end(k.Lock), end(wire.ReadersKey(k.Lock)); l <= 0 || (r-l).Abs() > time.Millisecond {
			t.Errorf("after a share for %v the lock ends at %v, its readers at %v", ttl, l, r)
		}
		if l := life(k.Lock); l < ttl-time.Second {
			t.Errorf("after a share for %v the lock lasts %v", ttl, l)
		}
	}
	short := reading(by(pool.Extend, k, fmt.Sprintf("%032x", 2), 1))
	short.TTL = 5 * time.Second
	if expect(t, "extend the shortest", do(t, n, short), pool.OK); life(k.Lock) < 50*time.Second {
		t.Errorf("a shorter share cut the lock to %v", life(k.Lock))
	}
	expect(t, "release the longest", do(t, n, reading(release(k, fmt.Sprintf("%032x", 1)))), pool.OK)
	if l := life(k.Lock); l > 10*time.Second || l < 8*time.Second {
		t.Errorf("without its longest share the lock lasts %v", l)
	}
	client.Del(t.Context(), wire.ReadersKey(k.Lock)) // by another
	expect(t, "share", do(t, n, reading(acquire(k, bob, now()))), pool.OK)
	if l := life(wire.ReadersKey(k.Lock)); l <= 0 {
		t.Errorf("the readers last %v", l)
	}
}

// Other programs' locks and readers exclude each other, and so do readers and the plain lock.
func TestReadersAndOtherOwnersExcludeEachOther(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	k := keys(t, "lock")
	foreign := func() bool { return client.SetNX(t.Context(), k.Lock, "foreign", time.Minute).Val() }
	plain := acquire(k, bob, now())
	plain.Fence = ""

	expect(t, "share", do(t, n, reading(acquire(k, alice, now()))), pool.OK)
	if foreign() {
		t.Fatal("another program took what a reader has")
	}
	for what, r := range map[string]*wire.Request{"plain": plain, "fenced": acquire(k, bob, now())} {
		if reply := do(t, n, r); reply.Verdict != pool.Held || reply.Foreign || reply.TTL <= 0 || reply.TTL > 10*time.Second {
			t.Errorf("a %s acquire behind a reader: %+v", what, reply)
		}
	}
	expect(t, "release", do(t, n, reading(release(k, alice))), pool.OK)
	if !foreign() {
		t.Fatal("another program did not get what the last reader left")
	}
	if reply := do(t, n, reading(acquire(k, alice, now()))); reply.Verdict != pool.Held || !reply.Foreign {
		t.Errorf("a reader behind another program: %+v", reply)
	}
	client.Del(t.Context(), k.Lock)
	expect(t, "plain", do(t, n, plain), pool.OK)
	if reply := do(t, n, reading(acquire(k, alice, now()))); reply.Verdict != pool.Held || reply.Foreign {
		t.Errorf("a reader behind a plain lock: %+v", reply)
	}
	expect(t, "release", do(t, n, release(k, bob)), pool.OK)
	expect(t, "share again", do(t, n, reading(acquire(k, alice, now()))), pool.OK)
}

// A reader that leaves takes nothing from another. One whose lock was deleted has no share of a
// lock that others share later.
func TestAShareIsItsReadersOwn(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	k := keys(t, "lock")
	expect(t, "alice", do(t, n, reading(acquire(k, alice, now()))), pool.OK)
	expect(t, "bob", do(t, n, reading(acquire(k, bob, now()))), pool.OK)
	expect(t, "alice leaves", do(t, n, reading(release(k, alice))), pool.OK)
	expect(t, "alice leaves again", do(t, n, reading(release(k, alice))), pool.Gone)
	expect(t, "bob extends", do(t, n, reading(by(pool.Extend, k, bob, 1))), pool.OK)
	expect(t, "alice extends", do(t, n, reading(by(pool.Extend, k, alice, 1))), pool.Gone)
	client.Del(t.Context(), k.Lock)
	expect(t, "alice is back", do(t, n, reading(acquire(k, alice, now()))), pool.OK)
	for _, v := range []pool.Verb{pool.Extend, pool.Repair, pool.Release} {
		expect(t, fmt.Sprint("bob's ", v), do(t, n, reading(by(v, k, bob, 1))), pool.Gone)
	}
}

// The lock is free when the longest share that is left has ended, by the server's own expiry.
func TestACrashedReadersShareEndsWithItsTTL(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	k := keys(t, "lock")
	crashed := reading(acquire(k, bob, now()))
	crashed.TTL = 300 * time.Millisecond
	began := time.Now()
	expect(t, "crashed", do(t, n, crashed), pool.OK)
	expect(t, "alice", do(t, n, reading(acquire(k, alice, now()))), pool.OK)
	expect(t, "alice extends", do(t, n, reading(by(pool.Extend, k, alice, 1))), pool.OK)
	expect(t, "alice leaves", do(t, n, reading(release(k, alice))), pool.OK)
	for !client.SetNX(t.Context(), k.Lock, "foreign", time.Minute).Val() {
		if time.Since(began) > 5*time.Second {
			t.Fatal("the crashed reader still has the lock")
		}
	}
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("its share ended after %v", took)
	}
	expect(t, "the crashed reader extends", do(t, n, reading(by(pool.Extend, k, bob, 1))), pool.Gone)
}

// A waiter hears from the last reader as it would from a plain owner; a reader behind it, after it.
func TestTheLastReaderNotifiesWaitersOnARealServer(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	k := keys(t, "lock")
	notices := make(chan wire.Notice, 10)
	ready := make(chan struct{})
	const inbox = "redlock:inbox:0"
	go func() {
		_ = n.Listen(t.Context(), inbox, func() { close(ready) }, func(n wire.Notice) { notices <- n })
	}()
	<-ready
	next := func() wire.Notice {
		select {
		case notice := <-notices:
			return notice
		case <-time.After(10 * time.Second):
			t.Fatal("no notice")
			return wire.Notice{}
		}
	}
	expect(t, "share", do(t, n, reading(acquire(k, alice, now()))), pool.OK)
	wait := func(r *wire.Request, inbox string, after uint64) *wire.Request {
		r.Queue, r.Inbox, r.Ticket = k.Queue, inbox, now()+after
		return r
	}
	expect(t, "a writer waits", do(t, n, wait(acquire(k, bob, now()), inbox, 0)), pool.Held)
	expect(t, "a reader waits", do(t, n, wait(reading(acquire(k, bob, now())), wire.ReadersInbox(inbox), 1000)), pool.Held)
	expect(t, "release", do(t, n, reading(release(k, alice))), pool.OK)
	if got := next(); got.Reader || got.Shared || got.Next != 0 || got.Lock != k.Lock {
		t.Errorf("the writer hears %+v", got)
	}
	if got := next(); !got.Reader || got.Next == 0 {
		t.Errorf("the reader hears %+v", got)
	}
	if owner := client.Get(t.Context(), k.Lock).Val(); owner != "R:"+inbox {
		t.Errorf("the lock is %q", owner)
	}

	// A reader that has the lock next lets in the readers before the next writer, which is told
	// too.
	client.Set(t.Context(), k.Lock, "R:redlock:inbox:r1", time.Minute)
	for _, r := range []*wire.Request{
		wait(reading(acquire(k, bob, now())), wire.ReadersInbox("redlock:inbox:dead"), 2000),
		wait(acquire(k, bob, now()), "redlock:inbox:dead", 3000),
		wait(acquire(k, bob, now()), inbox, 4000),
	} {
		expect(t, "wait", do(t, n, r), pool.Held)
	}
	expect(t, "share", do(t, n, wait(reading(acquire(k, alice, now())), "redlock:inbox:r1", 0)), pool.OK)
	if got := next(); !got.Reader || got.Shared || got.Next != 0 {
		t.Errorf("the reader hears %+v", got)
	}
	if got := next(); got.Reader || !got.Shared {
		t.Errorf("the writer hears %+v", got)
	}
	if queue := client.ZRange(t.Context(), k.Queue, 0, -1).Val(); len(queue) != 1 || queue[0] != inbox {
		t.Errorf("%q are in the queue", queue)
	}
}

func TestTheKeysOfReadersAreInOneHashSlotOfACluster(t *testing.T) {
	t.Parallel()
	n, client := real(t, "--cluster-enabled", "yes", "--cluster-require-full-coverage", "no")
	ctx := t.Context()
	if err := client.Do(ctx, "cluster", "addslotsrange", 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	for client.Set(ctx, "x", "y", 0).Err() != nil { // it takes a moment until it serves the slots
		continue
	}
	for _, name := range []string{"file", "{user1}:file", "a{b"} {
		k := keys(t, name)
		expect(t, name, do(t, n, reading(acquire(k, alice, now()))), pool.OK)
		wait := acquire(k, bob, now())
		wait.Queue = k.Queue
		if reply := do(t, n, wait); reply.Verdict != pool.Held || reply.Holder != "alice" {
			t.Errorf("%s: %+v", name, reply)
		}
		if reply := do(t, n, reading(by(pool.Inspect, k, alice, 0))); len(reply.Readers) != 1 || reply.Holder != "alice" {
			t.Errorf("%s: %+v", name, reply)
		}
		for _, v := range []pool.Verb{pool.Repair, pool.Extend, pool.Rejoin, pool.Release} {
			expect(t, fmt.Sprint(name, v), do(t, n, reading(by(v, k, alice, now()))), pool.OK)
		}
	}
}
