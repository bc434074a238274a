package pool_test

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

func FuzzAddresses(f *testing.F) {
	for _, a := range []string{
		"a:1,b:2 c", "[::1]:6379", "::1", "redis://u:hunter2@h:1/2", "rediss://h", "redis://:hunter2@h:bad", "u:hunter2@h", "redis://h?x=1",
		"h:0", "h:65536", ":1", "[", "redis://[::1]/x", "http://h", "\x00", "redis://%zz:hunter2@h", "redis:///:hunter2@h",
		"[::1%lo]:1", "redis://[::1%25lo]:1", "\ufeffh", "unix:///run/r.sock?db=1", "unix://u:hunter2@/run/r.sock", "unix://:hunter2@h/x?y=:hunter2@", "redis://u@h",
	} {
		f.Add(a)
	}
	f.Fuzz(func(t *testing.T, list string) {
		addrs, err := pool.ParseList(list)
		if err == nil && len(addrs) == 0 {
			t.Fatal("neither an address nor an error")
		}
		if err != nil {
			addrs = []string{list}
		}
		nodes, dialErr := pool.Dial(addrs...)
		if err == nil && dialErr != nil {
			t.Fatalf("ParseList takes what Dial does not: %v", dialErr)
		}
		for _, e := range []error{err, dialErr} {
			if e != nil && strings.Contains(list, ":hunter2@") && strings.Contains(e.Error(), "hunter2") {
				t.Fatalf("the password is told: %v", e)
			}
		}
		for _, n := range nodes {
			if n.Addr() == "" || strings.Contains(n.Addr(), "@") {
				t.Fatalf("address %q", n.Addr())
			}
		}
	})
}

func FuzzKeys(f *testing.F) {
	names := append(slices.Clone(confusable), strings.Repeat("x", 1025))
	for i, n := range names {
		for _, prefix := range []string{"", "p:", "{p}", "{"} {
			f.Add(prefix, n, prefix, "{"+n+"}")
			f.Add(prefix, n, "", names[(i+1)%len(names)])
		}
	}
	f.Fuzz(func(t *testing.T, prefix, name, otherPrefix, otherName string) {
		k, err := wire.Keys(prefix, name)
		if err != nil {
			return
		}
		if k.Lock != prefix+name {
			t.Fatalf("%q", k)
		}
		wantOneSlot(t, k)
		if other, err := wire.Keys(otherPrefix, otherName); err == nil && other.Lock != k.Lock {
			wantApart(t, k, other)
		}
	})
}

// confusable lists names that look like one another's keys, or like keys with a hash tag.
var confusable = []string{
	"a", "{a}", "{{a}", "{{a}}", "{a}}", "{a}b", "x{a}", "x{a}y{b}", "{", "}", "{}", "{}a", "{}{a}", "a{", "a}", "a{b", "{a{b}", "a:", "{a}:", "{a:}", "{a}::",
	":", "::", "{:}", "a:redlock", "{a}:redlock", "a:redlock:", "a:redlock:fence", "a:redlock:queue", "{a}:redlock:fence", "{a}::redlock:queue", "a:redlock:readers", "{a}:redlock:readers", "{a}::redlock:readers", "{a:redlock:fence}",
	"a:redlock:fence:", "{a}:redlock:fencex", ":redlock:fence", "redlock:fence", "redlock:restart", "{redlock:restart}", "redlock:inbox:0123456789abcdef", "ü", "\x00", "\xff", " ", "a b", "a\nb",
}

func TestTheKeysOfALockAreInOneSlotAndNoOtherLocks(t *testing.T) {
	t.Parallel()
	var sets []wire.KeySet
	seen := make(map[string]bool)
	for _, prefix := range []string{"", "a", "{", "{a", "{a}", "p:", "}", "{}"} {
		for _, name := range confusable {
			if k, err := wire.Keys(prefix, name); err == nil && !seen[k.Lock] {
				seen[k.Lock] = true
				sets = append(sets, k)
			}
		}
	}
	for i, k := range sets {
		wantOneSlot(t, k)
		for _, other := range sets[:i] {
			wantApart(t, k, other)
		}
	}
	t.Logf("%d locks", len(sets))
}

func wantOneSlot(t *testing.T, k wire.KeySet) {
	t.Helper()
	if slot := hashTag(k.Lock); hashTag(k.Fence) != slot || hashTag(k.Queue) != slot || hashTag(wire.ReadersKey(k.Lock)) != slot {
		t.Fatalf("%q are in different slots", k)
	}
}

// wantApart fails the test if the two locks, or one of them with itself, have a key in common, or
// one has the restart marker.
func wantApart(t *testing.T, a, b wire.KeySet) {
	t.Helper()
	all := map[string]bool{"redlock:restart": true}
	for _, key := range []string{a.Lock, a.Fence, a.Queue, wire.ReadersKey(a.Lock), b.Lock, b.Fence, b.Queue, wire.ReadersKey(b.Lock)} {
		if all[key] {
			t.Fatalf("%q and %q share %q", a, b, key)
		}
		all[key] = true
	}
}

// hashTag is the part of a key that a cluster hashes, as its specification says.
func hashTag(key string) string {
	if _, tail, open := strings.Cut(key, "{"); open {
		if tag, _, closed := strings.Cut(tail, "}"); closed && tag != "" {
			return tag
		}
	}
	return key
}

// Whatever a server answers, through a real socket, there is no panic, no grant except for the
// answers that grant, and no owner id in errors.
func FuzzAHostileServer(f *testing.F) {
	for _, s := range []string{
		"+OK 1\r\n", "$4\r\nOK 1\r\n", "$-1\r\n", ":1\r\n", "*2\r\n$2\r\nOK\r\n:1\r\n", "-ERR x\r\n", "-NOSCRIPT\r\n", "-MOVED 1 127.0.0.1:1\r\n", "_\r\n",
		"%1\r\n+a\r\n+b\r\n", "!5\r\nERR x\r\n", "=6\r\ntxt:OK\r\n", "$4000000000\r\n", "*4000000000\r\n", "+OK\r\n", "$2\r\nOK\r\n", ",1.5\r\n", "#t\r\n", "(1\r\n", ">2\r\n+a\r\n+b\r\n", "$9223372036854775000\r\n", "*-1\r\n", "\r\n",
		"$19\r\nOK 9999999999999999\r\n", "$31\r\nHELD 10 0123456789abcdef alice\r\n", "$7\r\nWAIT -1\r\n", "|1\r\n+a\r\n+b\r\n+OK 1\r\n", "~1\r\n+x\r\n",
	} {
		for v := pool.Acquire; v <= pool.Check; v++ {
			f.Add(uint8(v), false, s)
			f.Add(uint8(v), true, s)
		}
	}
	var answer atomic.Value
	server := newFake(f, func([]string) string { return answer.Load().(string) })
	k := keys(f, "lock")
	f.Fuzz(func(t *testing.T, verb uint8, plain bool, text string) {
		v := pool.Verb(verb)%pool.Check + 1
		answer.Store(text)
		n := dialWith(t, pool.Dialer{Timeout: 20 * time.Millisecond, PoolSize: 1}, server.addr)
		request := by(v, k, alice, 1)
		if plain && v != pool.Repair && v != pool.Inspect {
			// an Acquire is then a plain SET
			request.Fence, request.Retention = "", 0
		}
		reply := within(t, n, request, 20*time.Millisecond)
		if reply.Verdict == pool.OK && !strings.Contains(text, "OK") && !strings.Contains(text, "FREE") && !strings.Contains(text, "OWNED") {
			t.Fatalf("%v: a grant out of %q", v, text)
		}
		if failed := reply.Verdict == pool.Refused || reply.Verdict == pool.Unavailable; failed != (reply.Err != nil) {
			t.Fatalf("%v: %+v", v, reply)
		}
		if reply.Verdict == pool.Unanswered || reply.TTL < -1 {
			t.Fatalf("%v: %+v", v, reply)
		}
		if reply.Err != nil && strings.Contains(reply.Err.Error(), alice[:32]) {
			t.Fatalf("%v: the owner is told: %v", v, reply.Err)
		}
	})
}
