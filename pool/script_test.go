package pool_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

func TestAForeignFencingRegisterIsLeftAsItWas(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	ctx := t.Context()
	for i, value := range []string{"12e4567", "-1", "1.5", "9007199254740992", "12345678901234567", "theirs", ""} {
		k := keys(t, "lock"+strconv.Itoa(i))
		client.Set(ctx, k.Fence, value, 0)
		reply := do(t, n, acquire(k, alice, now()))
		expect(t, value, reply, pool.Refused)
		if !errors.Is(reply.Err, pool.ErrBadFence) {
			t.Errorf("%q: %v", value, reply.Err)
		}
		if got := client.Get(ctx, k.Fence).Val(); got != value {
			t.Errorf("%q became %q", value, got)
		}
		if client.Exists(ctx, k.Lock).Val() != 0 {
			t.Errorf("%q: the lock is left", value)
		}
	}
	k := keys(t, "hash")
	client.HSet(ctx, k.Fence, "a", "b")
	expect(t, "a hash at F", do(t, n, acquire(k, alice, now())), pool.Refused)
	if client.Exists(ctx, k.Lock).Val() != 0 || client.HGet(ctx, k.Fence, "a").Val() != "b" {
		t.Error("a hash at F: something has changed but for the answer")
	}
	k = keys(t, "other")
	client.HSet(ctx, k.Lock, "a", "b")
	expect(t, "a hash at L", do(t, n, acquire(k, alice, now())), pool.Refused)
	expect(t, "a hash at L", do(t, n, by(pool.Release, k, alice, 0)), pool.Gone)
}

func TestARefusalTellsWhetherTheOwnerIsAnotherProgram(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	digits := strings.Repeat("0a", 16)
	for i, owner := range []struct {
		value   string
		foreign bool
		label   string
	}{
		{digits, false, ""},
		{digits + ":", false, ""},
		{digits + ":host/1: a b ", false, "host/1: a b "},
		{"R:somebody", false, ""},
		{"", true, ""},
		{"8gMdaH3CTmWsyzqP0dvX1k", true, ""},
		{digits + "0", true, ""},
		{digits[1:] + "x:label", true, ""},
		{digits + " :label", true, ""},
		{digits + ":" + strings.Repeat("x", 1100), true, ""},
	} {
		k := keys(t, "lock"+strconv.Itoa(i))
		client.Set(t.Context(), k.Lock, owner.value, time.Minute)
		reply := do(t, n, acquire(k, alice, now()))
		expect(t, owner.value, reply, pool.Held)
		if reply.Foreign != owner.foreign || reply.Holder != owner.label || len(reply.Fingerprint) != 16 {
			t.Errorf("%q: %+v", owner.value, reply)
		}
	}
}

func TestAHolderLeavesAForeignFencingRegisterAsItIs(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	ctx := t.Context()
	for i, value := range []string{"12e4567", "-1", "9007194959773696", "12345678901234567", "theirs"} {
		k := keys(t, "lock"+strconv.Itoa(i))
		token := now()
		expect(t, value, do(t, n, acquire(k, alice, token)), pool.OK)
		client.Set(ctx, k.Fence, value, 0)
		if reply := do(t, n, by(pool.Repair, k, alice, token)); !errors.Is(reply.Err, pool.ErrBadFence) {
			t.Errorf("%q: repair: %v %v", value, reply.Verdict, reply.Err)
		}
		expect(t, value, do(t, n, by(pool.Extend, k, alice, token)), pool.OK)
		expect(t, value, do(t, n, by(pool.Rejoin, k, alice, token)), pool.OK)
		if got, life := client.Get(ctx, k.Fence).Val(), client.PTTL(ctx, k.Fence).Val(); got != value || life >= 0 {
			t.Errorf("%q became %q, for %v", value, got, life)
		}
	}
}

func TestAHolderWhoseRegisterIsLostBeginsItAtTheNodesClock(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	for i, verb := range []pool.Verb{pool.Extend, pool.Rejoin, pool.Rejoin} {
		k := keys(t, "lock"+strconv.Itoa(i))
		client.Set(t.Context(), k.Fence, "5", 0) // as low as a clock that was never set
		token := do(t, n, acquire(k, alice, 1)).Token
		client.Del(t.Context(), k.Fence)
		if i == 2 { // the node had lost the lock too
			client.Del(t.Context(), k.Lock)
		}
		began := int64(now())
		expect(t, verb.String(), do(t, n, by(verb, k, alice, token)), pool.OK)
		if f, err := client.Get(t.Context(), k.Fence).Int64(); err != nil || token != 6 || f < began-1_000_000 {
			t.Errorf("%v: the lease has token %d, the register is %d: %v", verb, token, f, err)
		}
	}
}

func TestAMissingFencingRegisterTrustsTheHintNearTheNodesClockOnly(t *testing.T) {
	t.Parallel()
	n, _ := real(t)
	const second = 1_000_000
	for name, test := range map[string]struct{ hint, least, most int64 }{
		"in agreement":   {0, 0, 0},
		"half a second":  {-second / 2, -second / 2, -second / 2},
		"ten s behind":   {-10 * second, 0, 10 * second},
		"an hour behind": {-3600 * second, 0, 10 * second},
		"a year ahead":   {365 * 86400 * second, 60 * second, 70 * second},
	} {
		base := int64(now())
		token := int64(do(t, n, acquire(keys(t, name), alice, uint64(base+test.hint))).Token)
		if token-base < test.least || token-base > test.most {
			t.Errorf("%s: the token is %d us from now", name, token-base)
		}
	}
}

func TestTokensRiseWhateverTheHint(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	k := keys(t, "lock")
	last := uint64(0)
	for _, hint := range []uint64{now(), 1, now() + 1_000_000, now() - 5_000_000, now() + 100*365*86400*1_000_000} {
		reply := do(t, n, acquire(k, alice, hint))
		expect(t, "acquire", reply, pool.OK)
		if reply.Token <= last {
			t.Errorf("%d after %d", reply.Token, last)
		}
		last = reply.Token
		again := do(t, n, acquire(k, alice, hint+7)) // the same request, twice
		if again.Verdict != pool.OK || again.Token != last || !again.Again || reply.Again {
			t.Errorf("repeated: %+v after %+v", again, reply)
		}
		expect(t, "release", do(t, n, by(pool.Release, k, alice, 0)), pool.OK)
	}
	client.Set(t.Context(), k.Fence, 1<<53-1<<32-1, 0) // all tokens but one are used
	expect(t, "the last", do(t, n, acquire(k, alice, now())), pool.OK)
	expect(t, "the last", do(t, n, by(pool.Release, k, alice, 0)), pool.OK)
	expect(t, "none left", do(t, n, acquire(k, alice, now())), pool.Refused)
}

func TestAnotherOwnersLockIsNotTouched(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	k := keys(t, "lock")
	f := do(t, n, acquire(k, alice, now())).Token
	held := do(t, n, acquire(k, bob, now()))
	expect(t, "acquire", held, pool.Held)
	if held.Holder != "alice" || held.TTL <= 0 || held.TTL > 10*time.Second || len(held.Fingerprint) != 16 {
		t.Errorf("held: %+v", held)
	}
	expect(t, "rejoin", do(t, n, by(pool.Rejoin, k, bob, f)), pool.Held)
	for _, v := range []pool.Verb{pool.Repair, pool.Extend, pool.Release} {
		expect(t, v.String(), do(t, n, by(v, k, bob, f+5)), pool.Gone)
	}
	expect(t, "repair", do(t, n, by(pool.Repair, k, alice, f+1)), pool.OK)
	expect(t, "lower", do(t, n, by(pool.Repair, k, alice, f)), pool.Raised)
	if got := client.Get(t.Context(), k.Lock).Val(); got != alice {
		t.Errorf("L is %q", got)
	}
	expect(t, "release", do(t, n, by(pool.Release, k, alice, 0)), pool.OK)
	expect(t, "extend does not create", do(t, n, by(pool.Extend, k, alice, f)), pool.Gone)
	if client.Exists(t.Context(), k.Lock).Val() != 0 {
		t.Error("L is back")
	}
	expect(t, "rejoin does", do(t, n, by(pool.Rejoin, k, alice, f+10)), pool.OK)
	if got := do(t, n, &wire.Request{Verb: pool.Inspect, Lock: k.Lock, Fence: k.Fence}); got.Token != f+10 || got.Holder != "alice" {
		t.Errorf("inspect: %+v", got)
	}
}

// A register that was lost between grant and repair may have been greater than the late repair's
// token: the top of a block, for instance.
func TestARepairDoesNotBeginALostRegister(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	k := keys(t, "lock")
	f := do(t, n, acquire(k, alice, now())).Token
	expect(t, "to a block's top", do(t, n, by(pool.Repair, k, alice, f+100)), pool.OK)
	client.Del(t.Context(), k.Fence)
	expect(t, "late", do(t, n, by(pool.Repair, k, alice, f+1)), pool.Raised)
	if client.Exists(t.Context(), k.Fence).Val() != 0 {
		t.Error("F is back")
	}
	expect(t, "a renewal", do(t, n, by(pool.Extend, k, alice, f+1)), pool.OK)
	if got := do(t, n, &wire.Request{Verb: pool.Inspect, Lock: k.Lock, Fence: k.Fence}); got.Token <= f+100 {
		t.Errorf("F begins at %d, which is not the node's clock", got.Token)
	}
}

func TestExtendNeverShortensAndAMinimumHoldLetsTheLockLive(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	k := keys(t, "lock")
	f := do(t, n, acquire(k, alice, now())).Token
	short := by(pool.Extend, k, alice, f)
	short.TTL = time.Second
	expect(t, "extend", do(t, n, short), pool.OK)
	if left := client.PTTL(t.Context(), k.Lock).Val(); left < 5*time.Second {
		t.Errorf("%v left", left)
	}
	client.Persist(t.Context(), k.Lock)
	// has no end, which is longer
	expect(t, "extend", do(t, n, by(pool.Extend, k, alice, f)), pool.OK)
	hold := by(pool.Release, k, alice, 0)
	hold.TTL = 2 * time.Second
	expect(t, "release", do(t, n, hold), pool.OK)
	if left := client.PTTL(t.Context(), k.Lock).Val(); left <= 0 || left > 2*time.Second {
		t.Errorf("%v left of a minimum hold", left)
	}
}

func TestTheGuardKeepsARestartedNodeOutUntilItIsToldOtherwise(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	k := keys(t, "lock")
	guarded := func(v pool.Verb) *wire.Request {
		r := by(v, k, alice, now())
		r.Guard = time.Minute
		return r
	}
	wait := do(t, n, guarded(pool.Acquire))
	expect(t, "first start", wait, pool.Quarantined)
	if wait.TTL < 50*time.Second || wait.TTL > 62*time.Second {
		t.Errorf("for %v", wait.TTL)
	}
	plain := guarded(pool.Acquire)
	plain.Fence, plain.Retention, plain.Token = "", 0, 0
	expect(t, "first start, without a token", do(t, n, plain), pool.Quarantined)
	expect(t, "bootstrap", do(t, n, &wire.Request{Verb: pool.Bootstrap, Lock: k.Lock}), pool.OK)
	expect(t, "after it", do(t, n, guarded(pool.Acquire)), pool.OK)
	client.HSet(t.Context(), "redlock:restart", "run", "another")
	for _, v := range []pool.Verb{pool.Acquire, pool.Repair} {
		expect(t, "restarted: "+v.String(), do(t, n, guarded(v)), pool.Quarantined)
	}
	expect(t, "what it has may be kept", do(t, n, guarded(pool.Rejoin)), pool.OK)
	expect(t, "and released", do(t, n, guarded(pool.Release)), pool.OK)
	expect(t, "but not taken", do(t, n, guarded(pool.Rejoin)), pool.Quarantined)
}

// Old data that came back with a restart looks like any other.
func TestTheGuardsFloorIsAboveOlderRegisters(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	k := keys(t, "lock")
	expect(t, "bootstrap", do(t, n, &wire.Request{Verb: pool.Bootstrap, Lock: k.Lock}), pool.OK)
	floor, err := client.HGet(t.Context(), "redlock:restart", "floor").Uint64()
	if err != nil {
		t.Fatal(err)
	}
	client.Set(t.Context(), k.Fence, floor-3600_000_000, 0)
	r := acquire(k, alice, floor-1800_000_000) // its clock lags, too
	r.Guard = time.Minute
	reply := do(t, n, r)
	expect(t, "acquire", reply, pool.OK)
	if reply.Token <= floor {
		t.Errorf("token %d, the floor is %d", reply.Token, floor)
	}
}

func TestAReleasePassesOverDeadWaiters(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	k := keys(t, "lock")
	expect(t, "acquire", do(t, n, acquire(k, alice, now())), pool.OK)
	waits := func(inbox string, verb pool.Verb) *wire.Request {
		r := by(verb, k, bob, now())
		r.Queue, r.Inbox, r.Ticket, r.Reserve = k.Queue, inbox, now(), 5*time.Second
		return r
	}
	expect(t, "dead", do(t, n, waits("dead", pool.Acquire)), pool.Held)
	expect(t, "live", do(t, n, waits("live", pool.Acquire)), pool.Held)
	sub := client.Subscribe(t.Context(), "live")
	defer sub.Close()
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	release := waits("own", pool.Release)
	release.Owner, release.TTL = alice, 0
	expect(t, "release", do(t, n, release), pool.OK)
	if got := client.Get(t.Context(), k.Lock).Val(); got != "R:live" {
		t.Errorf("reserved: %q", got)
	}
	expect(t, "barging in", do(t, n, waits("other", pool.Acquire)), pool.Held)
	expect(t, "leave", do(t, n, waits("live", pool.Leave)), pool.OK)
	if got := client.Get(t.Context(), k.Lock).Val(); got != "" {
		t.Errorf("after the only one alive left: %q", got)
	}
}

func TestAWaiterThatHasLeftIsPassedOver(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	k := keys(t, "lock")
	expect(t, "acquire", do(t, n, acquire(k, alice, now())), pool.OK)
	wait := by(pool.Acquire, k, bob, now())
	wait.Queue, wait.Inbox, wait.Ticket = k.Queue, "gone", now()
	ticket := wait.Ticket
	expect(t, "wait", do(t, n, wait), pool.Held)
	sub := client.Subscribe(t.Context(), "gone") // it listens still, for another lock
	defer sub.Close()
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	leave := by(pool.Leave, k, bob, 0)
	leave.Queue, leave.Inbox, leave.Reserve, leave.Ticket = k.Queue, "gone", 5*time.Second, ticket-1
	expect(t, "leave an earlier place", do(t, n, leave), pool.OK)
	if got := client.ZScore(t.Context(), k.Queue, "gone").Val(); got != float64(ticket) {
		t.Errorf("the place it has now went with an earlier one: %v", got)
	}
	leave = by(pool.Leave, k, bob, 0)
	leave.Queue, leave.Inbox, leave.Reserve, leave.Ticket = k.Queue, "gone", 5*time.Second, ticket
	expect(t, "leave", do(t, n, leave), pool.OK)
	release := by(pool.Release, k, alice, 0)
	release.Queue, release.Inbox, release.Reserve = k.Queue, "own", 5*time.Second
	expect(t, "release", do(t, n, release), pool.OK)
	if got := client.Get(t.Context(), k.Lock).Val(); got != "" {
		t.Errorf("the lock was passed on to one who had left: %q", got)
	}
}

// A reservation lasts as long as the release says, or as long as the waiter needs, which is part of
// its inbox's name. Two waiters are notified, unless the release is quiet.
func TestALockIsReservedForAsLongAsTheFirstWaiterNeeds(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	for _, c := range []struct {
		first string
		quiet bool
		want  time.Duration
	}{{"near", false, 10 * time.Second}, {"far.500000", false, 500 * time.Second}, {"nearer.5000", true, 10 * time.Second}, {"a.b", true, 10 * time.Second}} {
		k := keys(t, "lock "+c.first)
		expect(t, "acquire", do(t, n, acquire(k, alice, now())), pool.OK)
		second := "second " + c.first
		sub := client.Subscribe(t.Context(), c.first, second)
		defer sub.Close()
		for i, inbox := range []string{c.first, second} {
			if _, err := sub.Receive(t.Context()); err != nil {
				t.Fatal(err)
			}
			wait := acquire(k, bob, now())
			wait.Queue, wait.Inbox, wait.Ticket = k.Queue, inbox, now()+uint64(i)
			expect(t, "wait", do(t, n, wait), pool.Held)
		}
		release := by(pool.Release, k, alice, 0)
		release.Queue, release.Inbox, release.Reserve, release.Quiet = k.Queue, "own", 10*time.Second, c.quiet
		expect(t, "release", do(t, n, release), pool.OK)
		if left := client.PTTL(t.Context(), k.Lock).Val(); left > c.want || left < c.want-4*time.Second {
			t.Errorf("%s: it is reserved for another %v, not %v", c.first, left, c.want)
		}
		want := []string{"go " + k.Lock}
		if !c.quiet {
			want = append(want, fmt.Sprintf("next %d %s", c.want.Milliseconds(), k.Lock))
		}
		client.Publish(t.Context(), second, "end")
		for _, w := range append(want, "end") {
			m, err := sub.ReceiveMessage(t.Context())
			if err != nil || m.Payload != w {
				t.Errorf("%s: told was %v (%v), not %q", c.first, m, err, w)
			}
		}
	}
}

func TestAUserWhoMayNotPublishReleasesAllTheSame(t *testing.T) {
	t.Parallel()
	_, client := real(t)
	client.ACLSetUser(t.Context(), "quiet", "on", ">pw", "~*", "+@all", "resetchannels")
	n := dial(t, "redis://quiet:pw@"+client.Options().Addr)
	k := keys(t, "lock")
	expect(t, "acquire", do(t, n, acquire(k, alice, now())), pool.OK)
	wait := acquire(k, bob, now())
	wait.Queue, wait.Inbox, wait.Ticket = k.Queue, "inbox", now()
	expect(t, "wait", do(t, n, wait), pool.Held)
	release := by(pool.Release, k, alice, 0)
	release.Queue, release.Inbox, release.Reserve = k.Queue, "own", time.Second
	expect(t, "release", do(t, n, release), pool.OK)
	if client.Exists(t.Context(), k.Lock).Val() != 0 {
		t.Error("L is left")
	}
}

func TestScriptsSurviveScriptFlush(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	k := keys(t, "lock")
	expect(t, "before", do(t, n, acquire(k, alice, now())), pool.OK)
	client.ScriptFlush(t.Context())
	expect(t, "after", do(t, n, by(pool.Release, k, alice, 0)), pool.OK)
}

// A release with a minimum hold leaves the lock in place. Requests that the owner sent before, and
// that arrive after it, must not find the owner's lock.
func TestALockThatIsLeftToLiveIsItsOwnersNoMore(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	k := keys(t, "lock")
	expect(t, "acquire", do(t, n, acquire(k, alice, 1)), pool.OK)
	before := client.Get(t.Context(), k.Lock).Val()
	release := by(pool.Release, k, alice, 0)
	release.TTL, release.Queue = 5*time.Second, k.Queue
	expect(t, "release", do(t, n, release), pool.OK)
	again := by(pool.Release, k, alice, 0)
	again.TTL = time.Minute
	for what, r := range map[string]*wire.Request{
		"extend": by(pool.Extend, k, alice, 1), "repair": by(pool.Repair, k, alice, 1<<50), "release": by(pool.Release, k, alice, 0), "the same release": again,
	} {
		expect(t, what, do(t, n, r), pool.Gone)
	}
	for what, r := range map[string]*wire.Request{"rejoin": by(pool.Rejoin, k, alice, 1), "acquire": acquire(k, alice, 1), "another's acquire": acquire(k, bob, 1)} {
		reply := do(t, n, r)
		if expect(t, what, reply, pool.Held); reply.Holder != "alice" || reply.Foreign || reply.TTL > 5*time.Second {
			t.Errorf("%s: %+v", what, reply)
		}
	}
	if after := client.Get(t.Context(), k.Lock).Val(); after == before || len(after) != len(before) {
		t.Errorf("%q became %q", before, after)
	}
}

func TestTheFirstTwoWhoListenAreToldHowLongALockIsLeftToLive(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	k := keys(t, "lock")
	expect(t, "acquire", do(t, n, acquire(k, alice, 1)), pool.OK)
	told := make(map[string]<-chan *redis.Message)
	for i, inbox := range []string{"first", "gone", "second", "third"} {
		if inbox != "gone" {
			sub := client.Subscribe(t.Context(), inbox)
			t.Cleanup(func() { sub.Close() })
			if _, err := sub.Receive(t.Context()); err != nil {
				t.Fatal(err)
			}
			told[inbox] = sub.Channel()
		}
		client.ZAdd(t.Context(), k.Queue, redis.Z{Score: float64(i), Member: inbox})
	}
	release := by(pool.Release, k, alice, 0)
	release.TTL, release.Queue, release.Reserve = 5*time.Second, k.Queue, 15*time.Millisecond
	expect(t, "release", do(t, n, release), pool.OK)
	for inbox, want := range map[string]string{"first": "next 5000 lock", "second": "next 5015 lock", "third": ""} {
		client.Publish(t.Context(), inbox, "end")
		got := (<-told[inbox]).Payload
		if got == "end" {
			got = ""
		}
		if got != want {
			t.Errorf("%s is told %q, not %q", inbox, got, want)
		}
	}
	if n := client.ZCard(t.Context(), k.Queue).Val(); n != 4 {
		t.Errorf("%d are left in the queue", n)
	}
}

func TestANodeTellsWhatItsServersClockShows(t *testing.T) {
	t.Parallel()
	n, _ := real(t)
	node, ok := n.(interface{ Time() (time.Time, bool) })
	if !ok {
		t.Fatal("it cannot")
	}
	if shows, known := node.Time(); known {
		t.Errorf("before a connection was made it tells %v", shows)
	}
	expect(t, "acquire", do(t, n, acquire(keys(t, "lock"), alice, now())), pool.OK)
	for range 3 {
		before := time.Now()
		shows, known := node.Time()
		if off := shows.Sub(before); !known || off.Abs() > time.Second {
			t.Errorf("it is off by %v (known: %v)", off, known)
		}
	}
}
