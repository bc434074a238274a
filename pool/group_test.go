package pool_test

import (
	"context"
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

// send makes all the requests in one round trip, when there is a connection.
func send(t testing.TB, n wire.Node, requests ...*wire.Request) []wire.Reply {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	n.Do(ctx, []wire.Call{{Request: &wire.Request{Verb: pool.Inspect, Lock: "nothing"}}})
	calls := make([]wire.Call, len(requests))
	for i, r := range requests {
		calls[i].Request = r
	}
	n.Do(ctx, calls)
	replies := make([]wire.Reply, len(calls))
	for i := range calls {
		replies[i] = calls[i].Reply
	}
	return replies
}

// release is what a Locker sends whose lease is unlocked.
func release(k wire.KeySet, owner string) *wire.Request {
	return &wire.Request{Verb: pool.Release, Lock: k.Lock, Queue: k.Queue, Owner: owner, Reserve: 15 * time.Millisecond}
}

// several returns the keys of n locks.
func several(t testing.TB, n int) []wire.KeySet {
	t.Helper()
	all := make([]wire.KeySet, n)
	for i := range all {
		all[i] = keys(t, "lock"+strconv.Itoa(i))
	}
	return all
}

// scriptCalls returns how often the server was asked to run a script.
func scriptCalls(t testing.TB, client *redis.Client) (calls int) {
	t.Helper()
	for line := range strings.Lines(client.Info(t.Context(), "commandstats").Val()) {
		for _, name := range []string{"cmdstat_evalsha:calls=", "cmdstat_eval:calls="} {
			if rest, ok := strings.CutPrefix(line, name); ok {
				count, _, _ := strings.Cut(rest, ",")
				n, err := strconv.Atoi(count)
				if err != nil {
					t.Fatal(err)
				}
				calls += n
			}
		}
	}
	return calls
}

func TestRequestsAlikeShareACommand(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	locks := several(t, 100)
	var take, give []*wire.Request
	for i, k := range locks {
		owner := fmt.Sprintf("%032x", i)
		take, give = append(take, acquire(k, owner, now()+uint64(i))), append(give, release(k, owner))
	}
	for range 2 { // the second time the scripts are known
		client.ConfigResetStat(t.Context())
		for i, reply := range send(t, n, take...) {
			expect(t, take[i].Lock, reply, pool.OK)
			if f := client.Get(t.Context(), take[i].Fence).Val(); f != strconv.FormatUint(reply.Token, 10) || f == "0" {
				t.Errorf("lock %d: token %d, the register says %s", i, reply.Token, f)
			}
			if life := client.PTTL(t.Context(), take[i].Fence).Val(); life < time.Hour-time.Minute {
				t.Errorf("lock %d: the register lives for %v", i, life)
			}
			if reply.Server == "" {
				t.Errorf("lock %d: nobody knows which server answered", i)
			}
		}
		for i, reply := range send(t, n, give...) {
			expect(t, give[i].Lock, reply, pool.OK)
		}
		if left := client.Exists(t.Context(), locks[0].Lock, locks[63].Lock, locks[64].Lock, locks[99].Lock).Val(); left != 0 {
			t.Errorf("%d locks are left", left)
		}
	}
	if calls := scriptCalls(t, client); calls != 2+2+2 { // of 64 and of 36, and two checks
		t.Errorf("%d scripts were run for a hundred locks", calls)
	}
}

func TestEachOfAGroupHasItsOwnAnswer(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	ctx, locks := t.Context(), several(t, 6)
	const label = "two\nlines\n"
	expect(t, "another's", do(t, n, acquire(locks[1], bob+":"+label, 1)), pool.OK)
	client.HSet(ctx, locks[2].Lock, "a", "b")
	client.Set(ctx, locks[3].Fence, "foreign", 0)
	// ahead of the hint
	client.Set(ctx, locks[4].Fence, strconv.FormatUint(now()+5_000_000, 10), time.Hour)
	var take, give []*wire.Request
	hint := now()
	for _, k := range locks {
		take, give = append(take, acquire(k, alice, hint)), append(give, release(k, alice))
	}
	client.ConfigResetStat(ctx)
	replies := send(t, n, take...)
	for i, want := range []pool.Verdict{pool.OK, pool.Held, pool.Refused, pool.Refused, pool.OK, pool.OK} {
		expect(t, locks[i].Lock, replies[i], want)
		if replies[i].Server == "" {
			t.Errorf("lock %d: nobody knows which server answered", i)
		}
	}
	if calls := scriptCalls(t, client); calls != 2+1 { // a check, with an unknown script
		t.Errorf("%d scripts were run", calls)
	}
	if r := replies[1]; r.Holder != "two lines " || r.TTL <= 0 || len(r.Fingerprint) != 16 {
		t.Errorf("the refusal says %+v", r)
	}
	if r := replies[2]; !strings.HasPrefix(r.Err.Error(), "WRONGTYPE") {
		t.Errorf("a hash at the lock: %v", r.Err)
	}
	if r := replies[3]; !errors.Is(r.Err, pool.ErrBadFence) {
		t.Errorf("a foreign register: %v", r.Err)
	}
	if replies[0].Token != hint || replies[4].Token <= hint+1_000_000 || replies[5].Token != hint {
		t.Errorf("tokens %d, %d and %d for the hint %d", replies[0].Token, replies[4].Token, replies[5].Token, hint)
	}
	replies = send(t, n, give...)
	for i, want := range []pool.Verdict{pool.OK, pool.Gone, pool.Gone, pool.Gone, pool.OK, pool.OK} {
		expect(t, locks[i].Lock, replies[i], want)
	}
	if client.Get(ctx, locks[1].Lock).Val() != bob+":"+label {
		t.Error("another's lock was released")
	}
}

// Renewals that are due together are one command, with a token or without, and each has its own
// answer.
func TestExtensionsShareACommand(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	ctx := t.Context()
	extension := func(k wire.KeySet, fence string, token uint64) *wire.Request {
		r := by(pool.Extend, k, alice, token)
		r.Fence, r.Retention, r.TTL = fence, 2*time.Hour, time.Minute
		return r
	}
	for _, plain := range []bool{false, true} {
		locks := several(t, 6)
		var requests []*wire.Request
		for i, k := range locks {
			owner, fence := alice, k.Fence
			if i == 1 {
				owner = bob
			}
			if plain {
				fence = ""
			}
			taken := do(t, n, acquire(k, owner, now()))
			expect(t, "acquire", taken, pool.OK)
			requests = append(requests, extension(k, fence, taken.Token+7))
		}
		client.Del(ctx, locks[2].Lock)
		client.Del(ctx, locks[3].Lock)
		client.HSet(ctx, locks[3].Lock, "a", "b")
		client.Del(ctx, locks[4].Fence)
		send(t, n, requests...) // the script is known by then
		client.ConfigResetStat(ctx)
		replies := send(t, n, requests...)
		if calls := scriptCalls(t, client); calls != 1+1 { // a look
			t.Errorf("plain=%v: %d scripts were run", plain, calls)
		}
		for i, want := range []pool.Verdict{pool.OK, pool.Gone, pool.Gone, pool.Gone, pool.OK, pool.OK} {
			expect(t, fmt.Sprintf("plain=%v: lock %d", plain, i), replies[i], want)
			life, register := client.PTTL(ctx, locks[i].Lock).Val(), client.Get(ctx, locks[i].Fence).Val()
			if extended := life > 50*time.Second; extended != (want == pool.OK) {
				t.Errorf("plain=%v: lock %d lives for %v", plain, i, life)
			}
			kept := register == strconv.FormatUint(requests[i].Token, 10)
			if i != 4 && kept != (want == pool.OK && !plain) {
				t.Errorf("plain=%v: the register of lock %d says %s", plain, i, register)
			}
			client.Del(ctx, locks[i].Lock, locks[i].Fence)
		}
	}
}

func TestReleasesGoBeforeAttemptsOfTheSameRoundTrip(t *testing.T) {
	t.Parallel()
	n, _ := real(t)
	locks := several(t, 2)
	for _, k := range locks {
		do(t, n, release(k, alice)) // so that the script is known
		expect(t, "before", do(t, n, acquire(k, alice, now())), pool.OK)
	}
	for _, reply := range send(t, n, acquire(locks[0], bob, now()), acquire(locks[1], bob, now()), release(locks[0], alice), release(locks[1], alice)) {
		expect(t, "all", reply, pool.OK)
	}
}

// listen subscribes to an inbox until the test is over.
func listen(t testing.TB, n wire.Node, inbox string) <-chan wire.Notice {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ready, notices, ended := make(chan struct{}), make(chan wire.Notice, 10), make(chan struct{})
	go func() {
		defer close(ended)
		_ = n.Listen(ctx, inbox, func() { close(ready) }, func(n wire.Notice) { notices <- n })
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	select {
	case <-ready:
	case <-ended:
		t.Fatal("no subscription")
	}
	return notices
}

func TestAGroupPassesItsLocksOn(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	ctx, notices := t.Context(), listen(t, n, "inbox")
	locks := several(t, 3)
	var give []*wire.Request
	for i, k := range locks {
		expect(t, "take", do(t, n, acquire(k, alice, now())), pool.OK)
		if i != 1 {
			r := acquire(k, bob, now())
			r.Queue, r.Inbox, r.Ticket = k.Queue, "inbox", now()
			expect(t, "wait", do(t, n, r), pool.Held)
		}
		r := release(k, alice)
		r.Reserve = time.Minute
		give = append(give, r)
	}
	for _, reply := range send(t, n, give...) {
		expect(t, "give", reply, pool.OK)
	}
	for i, k := range locks {
		if got := client.Get(ctx, k.Lock).Val(); (got == "R:inbox") != (i != 1) {
			t.Errorf("lock %d: %q", i, got)
		}
	}
	for _, i := range []int{0, 2} {
		if got := <-notices; got.Lock != locks[i].Lock {
			t.Errorf("told of %q, want %q", got.Lock, locks[i].Lock)
		}
	}
}

func TestAGroupDoesNotPassALockOnToItsReleaser(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	listen(t, n, "inbox")
	var give []*wire.Request
	for _, k := range several(t, 2) {
		expect(t, "take", do(t, n, acquire(k, alice, now())), pool.OK)
		client.ZAdd(t.Context(), k.Queue, redis.Z{Score: 1, Member: "inbox"})
		r := release(k, alice)
		r.Inbox = "inbox"
		give = append(give, r)
	}
	for i, reply := range send(t, n, give...) {
		expect(t, "give", reply, pool.OK)
		if client.Exists(t.Context(), give[i].Lock, give[i].Queue).Val() != 0 {
			t.Errorf("lock %d or its queue is left", i)
		}
	}
}

func TestMinimumHoldsAreKeptByReleasesOfOneRoundTrip(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	var give []*wire.Request
	for i, k := range several(t, 12) {
		expect(t, "take", do(t, n, acquire(k, alice, now())), pool.OK)
		r := release(k, alice)
		r.TTL = time.Duration(1+i/2) * time.Second
		give = append(give, r)
	}
	for i, reply := range send(t, n, give...) {
		expect(t, "give", reply, pool.OK)
		if life := client.PTTL(t.Context(), give[i].Lock).Val(); life > give[i].TTL || life <= give[i].TTL-time.Second {
			t.Errorf("lock %d lives for %v, not %v", i, life, give[i].TTL)
		}
	}
}

func TestTheRestartGuardHoldsForAGroup(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	before := now()
	ask := func() []wire.Reply {
		var take []*wire.Request
		for _, k := range several(t, 3) {
			r := acquire(k, alice, before-uint64(time.Minute.Microseconds()))
			r.Guard = 10 * time.Second
			take = append(take, r)
		}
		return send(t, n, take...)
	}
	for _, reply := range ask() {
		expect(t, "at first", reply, pool.Quarantined)
		if reply.TTL < 9*time.Second || reply.TTL > 11*time.Second {
			t.Errorf("for %v", reply.TTL)
		}
	}
	expect(t, "bootstrap", do(t, n, &wire.Request{Verb: pool.Bootstrap, Guard: 10 * time.Second}), pool.OK)
	// as if restored: below the hint, which is below what the node may have given
	for _, k := range several(t, 3) {
		client.Set(t.Context(), k.Fence, before-2*uint64(time.Minute.Microseconds()), time.Hour)
	}
	for _, reply := range ask() {
		expect(t, "after it", reply, pool.OK)
		if reply.Token <= before {
			t.Errorf("token %d is not above the floor, which is above %d", reply.Token, before)
		}
	}
}

func TestAnAttemptThatFailsHalfWayIsNotTheOthersInItsGroup(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	ctx, locks := t.Context(), several(t, 3)
	expect(t, "take", do(t, n, acquire(locks[0], alice, now())), pool.OK)
	// A missing register begins at the server's time, which the user may not ask for.
	if err := client.Do(ctx, "acl", "setuser", "default", "-time").Err(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		replies := send(t, n, acquire(locks[1], bob, 5), acquire(locks[0], alice, now()), acquire(locks[2], bob, 5))
		for i, want := range []pool.Verdict{pool.Refused, pool.OK, pool.Refused} {
			expect(t, "take", replies[i], want)
		}
		client.Del(ctx, locks[1].Lock, locks[1].Fence, locks[2].Lock, locks[2].Fence)
	}
}

func TestAReleaseThatFailsHalfWayIsNotTheOthersInItsGroup(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	ctx, locks := t.Context(), several(t, 3)
	listen(t, n, "inbox")
	var give []*wire.Request
	for i, k := range locks {
		owner := alice
		if i == 1 {
			owner = bob
		}
		expect(t, "take", do(t, n, acquire(k, owner, now())), pool.OK)
		client.ZAdd(ctx, k.Queue, redis.Z{Score: 1, Member: "inbox"})
		give = append(give, release(k, alice))
	}
	if err := client.Do(ctx, "acl", "setuser", "default", "-del", "-set").Err(); err != nil {
		t.Fatal(err)
	}
	for i, reply := range send(t, n, give...) {
		expect(t, give[i].Lock, reply, []pool.Verdict{pool.Refused, pool.Gone, pool.Refused}[i])
	}
}

func TestAnErrorForAllIsToldOfEachAndNothingIsAskedTwice(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]pool.Verdict{
		"BUSY Redis is busy running a script of " + bob: pool.Unavailable,
		"NOAUTH who is " + alice:                        pool.Refused,
	} {
		f := newFake(t, func([]string) string { return "-" + text + "\r\n" })
		for _, reply := range send(t, dial(t, f.addr), release(keys(t, "a"), alice), release(keys(t, "b"), bob)) {
			expect(t, text, reply, want)
			if strings.Contains(reply.Err.Error(), alice[:32]) || strings.Contains(reply.Err.Error(), bob) {
				t.Errorf("the error holds an owner id: %v", reply.Err)
			}
		}
		if asked := len(f.commands("evalsha")); asked != 2 { // one is a look
			t.Errorf("%q: asked %d times", text, asked)
		}
	}
}

func TestEachAnswerTellsWhichServerGaveIt(t *testing.T) {
	t.Parallel()
	n, _ := real(t)
	plain := []*wire.Request{acquire(keys(t, "a"), alice, 1), acquire(keys(t, "b"), alice, 1)}
	for _, r := range plain {
		r.Fence = ""
	}
	// the last one runs a script, because the lock is taken
	replies := append(send(t, n, plain...), send(t, n, plain[0])...)
	replies = append(replies, send(t, n, acquire(keys(t, "c"), alice, 1))...)
	for i, reply := range replies {
		expect(t, "acquire", reply, pool.OK)
		if reply.Server == "" || reply.Server != replies[0].Server {
			t.Errorf("answer %d is said to be of server %q", i, reply.Server)
		}
	}
}

func TestCallsCanBeUsedAgain(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	locks := several(t, 2)
	send(t, n, release(locks[0], alice))
	ctx := deadline{t.Context(), time.Now().Add(time.Minute)}
	calls := []wire.Call{{Request: acquire(locks[0], alice, now())}, {Request: acquire(locks[1], alice, now())}}
	n.Do(ctx, calls)
	client.Del(ctx, locks[1].Lock)
	calls[0].Request = release(locks[0], alice)
	n.Do(ctx, calls[:1])
	expect(t, "the first alone", calls[0].Reply, pool.OK)
	calls[0].Request = acquire(locks[0], bob, now())
	n.Do(ctx, calls[:1])
	expect(t, "the first alone", calls[0].Reply, pool.OK)
	if client.Exists(ctx, locks[1].Lock).Val() != 0 {
		t.Error("the second was sent too")
	}
}

func TestALockThatMayNotBeTouchedIsNoneOfTheOthersBusiness(t *testing.T) {
	t.Parallel()
	_, client := real(t)
	ctx := t.Context()
	if err := client.Do(ctx, "acl", "setuser", "default", "resetkeys", "~lock*", "~{lock*", "~nothing*").Err(); err != nil {
		t.Fatal(err)
	}
	n := dial(t, client.Options().Addr)
	locks := append(several(t, 2), keys(t, "forbidden"))
	for range 2 {
		replies := send(t, n, acquire(locks[0], alice, now()), acquire(locks[2], alice, now()), acquire(locks[1], alice, now()))
		for i, want := range []pool.Verdict{pool.OK, pool.Refused, pool.OK} {
			expect(t, "take", replies[i], want)
		}
		replies = send(t, n, release(locks[0], alice), release(locks[2], alice), release(locks[1], alice))
		for i, want := range []pool.Verdict{pool.OK, pool.Refused, pool.OK} {
			expect(t, "give", replies[i], want)
		}
	}
}

func TestAServerOfAClusterIsAskedLockByLock(t *testing.T) {
	t.Parallel()
	n, client := real(t, "--cluster-enabled", "yes", "--cluster-require-full-coverage", "no")
	ctx := t.Context()
	if err := client.Do(ctx, "cluster", "addslotsrange", 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	for { // it takes a moment until it serves the slots
		if err := client.Set(ctx, "x", "y", 0).Err(); err == nil {
			break
		} else if !strings.HasPrefix(err.Error(), "CLUSTERDOWN") {
			t.Fatal(err)
		}
	}
	locks := several(t, 3)
	for range 2 {
		for _, reply := range send(t, n, acquire(locks[0], alice, now()), acquire(locks[1], alice, now()), acquire(locks[2], alice, now())) {
			expect(t, "take", reply, pool.OK)
		}
		client.ConfigResetStat(ctx)
		for _, reply := range send(t, n, release(locks[0], alice), release(locks[1], alice), release(locks[2], alice)) {
			expect(t, "give", reply, pool.OK)
		}
	}
	for line := range strings.Lines(client.Info(ctx, "commandstats").Val()) {
		// one is a look
		if strings.HasPrefix(line, "cmdstat_evalsha:") && (!strings.Contains(line, ":calls=4,") || !strings.Contains(line, "rejected_calls=0")) {
			t.Errorf("it was asked for several locks at once again: %s", line)
		}
	}
}

func TestAServerThatIsNotKnownIsAskedLockByLock(t *testing.T) {
	t.Parallel()
	_, client := real(t)
	ctx := t.Context()
	if err := client.Do(ctx, "acl", "setuser", "default", "-info").Err(); err != nil {
		t.Fatal(err)
	}
	n, locks := dial(t, client.Options().Addr), several(t, 2)
	for _, reply := range send(t, n, acquire(locks[0], alice, now()), acquire(locks[1], alice, now())) {
		expect(t, "take", reply, pool.OK)
	}
	client.Do(ctx, "acl", "setuser", "default", "+info")
	if calls := scriptCalls(t, client); calls != 1+1+2+2 { // each script is unknown at first
		t.Errorf("%d scripts were run", calls)
	}
}

func TestABrokenAnswerToAGroupIsNoGrant(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "OK", "OK 1", "OK 1\n", "OK 1\nOK 2", "OK 1\nOK 2\nOK 3\n", "OK 1\nOK 2\nOK 3\nOK 4", "\n\n", "-\n-\n-", "OK\nOK\nOK", "x\ny\nz"} {
		f := newFake(t, func([]string) string { return bulk(text) })
		n := dial(t, f.addr)
		for _, reply := range send(t, n, acquire(keys(t, "a"), alice, 1), acquire(keys(t, "b"), alice, 1), acquire(keys(t, "c"), alice, 1)) {
			if want := map[bool]pool.Verdict{true: pool.Unavailable, false: pool.Refused}[strings.HasPrefix(text, "-")]; reply.Verdict != want {
				t.Errorf("%q: %v", text, reply.Verdict)
			}
			if reply.Err == nil || reply.Err.Error() == "" {
				t.Errorf("%q: no cause", text)
			}
		}
		if asked := len(f.commands("evalsha")); asked != 2 { // one is a look
			t.Errorf("%q: asked %d times", text, asked)
		}
	}
}

func TestTheErrorOfOneIsToldOfThatOne(t *testing.T) {
	t.Parallel()
	f := newFake(t, func([]string) string { return bulk("OK 1\n-OOM no memory for " + bob + "\n-ERR what is " + alice) })
	replies := send(t, dial(t, f.addr), acquire(keys(t, "a"), alice, 1), acquire(keys(t, "b"), bob, 1), acquire(keys(t, "c"), alice, 1))
	for i, want := range []pool.Verdict{pool.OK, pool.Unavailable, pool.Unavailable} {
		expect(t, "group", replies[i], want)
		if err := replies[i].Err; err != nil && (strings.Contains(err.Error(), alice[:32]) || strings.Contains(err.Error(), bob)) {
			t.Errorf("the error holds an owner id: %v", err)
		}
	}
}

func TestALostAnswerToAGroupLeavesAllUnknown(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(c []string) string {
		if c[2] == "4" {
			return "" // hangs up
		}
		return bulk("OK 1")
	})
	for _, reply := range send(t, dial(t, f.addr), acquire(keys(t, "a"), alice, 1), acquire(keys(t, "b"), alice, 1)) {
		expect(t, "group", reply, pool.Unavailable)
		if reply.Unsent {
			t.Error("it is said to be unsent")
		}
	}
}

func TestAGroupWhoseScriptIsUnknownIsSentInFull(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	locks := several(t, 2)
	send(t, n, acquire(locks[0], alice, now()))
	if err := client.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	for _, reply := range send(t, n, acquire(locks[0], alice, now()), acquire(locks[1], alice, now())) {
		expect(t, "group", reply, pool.OK)
	}
}
