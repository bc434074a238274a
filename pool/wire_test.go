package pool

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-redlock/redlock/internal/wire"
)

// golden compares what the package sends and stores with testdata. Programs of other versions and
// languages rely on it, so it changes in a major version only. Then delete the file and run the
// test, which writes it anew.
func golden(t *testing.T, file, got string) {
	t.Helper()
	file = "testdata/" + file
	want, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Fatalf("%s was missing, and is written now", file)
	}
	if err != nil || got != string(want) {
		t.Errorf("%s is not what it was (%v):\n%s", file, err, got)
	}
}

func TestTheKeysAreTheWireFormat(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, name := range []string{
		"a", "invoice:42", "{user1}", "{user1}:cart", "{{user1}}", "x{y}z", "a{b", "{a{b}", "{}", "{}a", "a}", "}{", "ü", " ", "a:redlock:fence", "a:redlock:queue",
		"a:redlock:readers", "a:redlock:slot:3", "redlock:restart", "", strings.Repeat("n", 1025),
	} {
		keys, err := wire.Keys("app:", name)
		if len(name) > 100 {
			name = "(1025 bytes)"
		}
		readers := ""
		if err == nil {
			readers = wire.ReadersKey(keys.Lock)
		}
		fmt.Fprintf(&b, "%q\n  L %q\n  F %q\n  W %q\n  R %q\n", name, keys.Lock, keys.Fence, keys.Queue, readers)
		if err != nil {
			fmt.Fprintf(&b, "  %v\n", err)
		}
	}
	golden(t, "keys.golden", b.String())
}

func TestTheKeysOfSlotsAreTheWireFormat(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, name := range []string{"a", "{user1}:jobs", "a{b", "a}", "a:redlock:slot:3", ""} {
		slots, err := wire.SlotKeys("app:", name, 11)
		fmt.Fprintf(&b, "%q %v\n", name, err)
		for i, keys := range slots {
			if i%5 == 0 {
				fmt.Fprintf(&b, "  %d\n    L %q\n    F %q\n    W %q\n", i, keys.Lock, keys.Fence, keys.Queue)
			}
			if got := wire.KeysOfSlot(keys.Lock); got != keys {
				t.Errorf("%q: %+v, want %+v", keys.Lock, got, keys)
			}
			if _, err := wire.Keys("", keys.Lock); err == nil {
				t.Errorf("%q: it can be the name of a lock", keys.Lock)
			}
		}
	}
	golden(t, "slots.golden", b.String())
}

func TestTheCommandsAreTheWireFormat(t *testing.T) {
	t.Parallel()
	const owner = "0123456789abcdef0123456789abcdef:host/1"
	keys, err := wire.Keys("", "a")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for v := Acquire; v <= Check; v++ {
		for _, guard := range []time.Duration{0, time.Minute} {
			for _, fence := range []string{"", keys.Fence} {
				r := &wire.Request{
					Verb: v, Lock: keys.Lock, Fence: fence, Queue: keys.Queue, Inbox: "inbox", Owner: owner, Ticket: 5, Age: time.Millisecond,
					Reserve: 15 * time.Millisecond, TTL: 8 * time.Second, Retention: time.Hour, Token: 1 << 50, Guard: guard,
				}
				fmt.Fprintf(&b, "%v guard %v fence %q:%s\n", v, guard, fence, spelled(newCall(r, usual).evalsha(nil)))
			}
		}
	}
	r := &wire.Request{Verb: Acquire, Lock: keys.Lock, Owner: owner, TTL: 8 * time.Second}
	fmt.Fprintf(&b, "acquire with neither fence, queue nor guard:%s\n", spelled(usualWords(r)))
	r = &wire.Request{Verb: Release, Lock: keys.Lock, Queue: keys.Queue, Owner: owner, Reserve: 15 * time.Millisecond}
	fmt.Fprintf(&b, "release by one who waits for nothing:%s\n", spelled(usualWords(r)))
	r = &wire.Request{Verb: Release, Lock: keys.Lock, Queue: keys.Queue, Owner: owner, Inbox: "inbox", Reserve: 15 * time.Millisecond, Quiet: true}
	fmt.Fprintf(&b, "release that tells the first waiter:%s\n", spelled(usualWords(r)))
	golden(t, "commands.golden", b.String())
}

func TestTheCommandsOfSemaphoresAreTheWireFormat(t *testing.T) {
	t.Parallel()
	slots, err := wire.SlotKeys("", "a", 3)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, r := range []*wire.Request{
		{Verb: Acquire},
		{Verb: Acquire, Fence: slots[0].Fence, Queue: slots[0].Queue, Inbox: "inbox", Guard: time.Minute},
		{Verb: Release, Queue: slots[0].Queue, Quiet: true},
		{Verb: Leave, Queue: slots[0].Queue, Inbox: "inbox"},
	} {
		r.Owner, r.Ticket, r.Age, r.Reserve = "0123456789abcdef0123456789abcdef:host/1", 5, time.Millisecond, 15*time.Millisecond
		r.Slots, r.Token = &wire.Slots{Keys: slots, Begin: 2}, 1<<50
		if r.Verb == Acquire {
			r.TTL, r.Retention = 8*time.Second, time.Hour
		}
		fmt.Fprintf(&b, "%v:%s\n", r.Verb, spelled(usualWords(r)))
	}
	golden(t, "slot_commands.golden", b.String())
}

func TestTheCommandsOfReadersAreTheWireFormat(t *testing.T) {
	t.Parallel()
	keys, err := wire.Keys("", "a")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for v := Acquire; v <= Inspect; v++ {
		for _, full := range []bool{false, true} {
			r := &wire.Request{
				Verb: v, Lock: keys.Lock, Readers: wire.ReadersKey(keys.Lock), Owner: "0123456789abcdef0123456789abcdef:host/1", Token: 1 << 50,
				TTL: 8 * time.Second, Retention: time.Hour, Reserve: 15 * time.Millisecond,
			}
			if full {
				r.Fence, r.Queue, r.Inbox, r.Ticket, r.Age, r.Guard = keys.Fence, keys.Queue, "inbox", 5, time.Millisecond, time.Minute
			}
			if v == Release && full {
				r.TTL, r.Quiet = 0, true
			}
			fmt.Fprintf(&b, "%v:%s\n", v, spelled(usualWords(r)))
			if other := *newCall(r, usual); grouping(r) { //nolint:govet // a copy of a call that was never sent
				both := newCall(r, usual)
				both.also = &other
				fmt.Fprintf(&b, "%v of two:%s\n", v, spelled(both.evalsha(nil)))
			}
		}
	}
	golden(t, "reader_commands.golden", b.String())
}

// spelled returns a command as it is sent.
func spelled(command []any) string {
	var b strings.Builder
	for i, arg := range command {
		switch a := arg.(type) {
		case *string:
			arg = *a
		case *uint64:
			arg = *a
		}
		if i == 1 && command[0] == "evalsha" {
			arg = "(sha)"
		}
		fmt.Fprintf(&b, " %v", arg)
	}
	return b.String()
}

// If the text of a script changes, check that the script still does with the keys what older
// programs expect.
func TestTheScriptsAreThoseThatWereLookedAt(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for what, known := range []map[Verb][2]*script{scripts, slotScripts, readerScripts} {
		for _, v := range slices.Sorted(maps.Keys(known)) {
			for i, s := range known[v] {
				sum := sha256.Sum256([]byte(s.text.(string)))
				fmt.Fprintf(&b, "%s%v %d %s\n", []string{"", "slots ", "readers "}[what], v, i, hex.EncodeToString(sum[:8]))
			}
		}
	}
	golden(t, "scripts.golden", b.String())
}

func TestRequestsAreAlikeOnlyIfTheyDifferInNothingButTheirLocks(t *testing.T) {
	t.Parallel()
	for _, verb := range []Verb{Acquire, Release, Extend} {
		one := func() *wire.Request {
			r := &wire.Request{Verb: verb, Lock: "a", Fence: "f", Owner: "o", Reserve: time.Second, Inbox: "i", TTL: time.Second, Retention: time.Hour, Token: 5}
			if verb == Release {
				r.Queue, r.TTL = "q", 0
			}
			return r
		}
		same := one()
		same.Lock, same.Fence, same.Owner, same.Token = "b", "g", "p", 6
		if !grouping(one()) || !alike(one(), same) {
			t.Errorf("%v: another lock is another kind", verb)
		}
		for what, change := range map[string]func(*wire.Request){
			"the verb": func(r *wire.Request) {
				r.Verb = map[Verb]Verb{Acquire: Extend, Extend: Release, Release: Acquire}[r.Verb]
			},
			"the TTL":           func(r *wire.Request) { r.TTL++ },
			"the retention":     func(r *wire.Request) { r.Retention++ },
			"the guard":         func(r *wire.Request) { r.Guard++ },
			"the reservation":   func(r *wire.Request) { r.Reserve++ },
			"the inbox":         func(r *wire.Request) { r.Inbox = "j" },
			"having a queue":    func(r *wire.Request) { r.Queue = "q"[len(r.Queue):] },
			"not to be fenced":  func(r *wire.Request) { r.Fence, r.Queue = "", "" },
			"being a reader":    func(r *wire.Request) { r.Readers = "r" },
			"having no set TTL": func(r *wire.Request) { r.TTL += time.Hour },
		} {
			other := one()
			if change(other); alike(one(), other) && (verb != Extend || other.Queue == "") {
				t.Errorf("%v: %s makes no difference", verb, what)
			}
		}
	}
}

func TestRequestsOfReadersAreAlikeOnlyIfTheyShareOneLock(t *testing.T) {
	t.Parallel()
	for _, verb := range []Verb{Acquire, Release, Extend} {
		one := func() *wire.Request {
			r := &wire.Request{Verb: verb, Lock: "a", Fence: "f", Readers: "r", Owner: "o", TTL: time.Second, Retention: time.Hour, Token: 5}
			if verb == Release {
				r.Queue, r.TTL = "q", 0
			}
			return r
		}
		same := one()
		same.Owner, same.Token = "p", 6
		if !grouping(one()) || !alike(one(), same) {
			t.Errorf("%v: another owner is another kind", verb)
		}
		for what, change := range map[string]func(*wire.Request){
			"the lock":         func(r *wire.Request) { r.Lock, r.Readers = "b", "s" },
			"being alone":      func(r *wire.Request) { r.Readers = "" },
			"not to be fenced": func(r *wire.Request) { r.Fence = "" },
			"the TTL":          func(r *wire.Request) { r.TTL++ },
		} {
			other := one()
			if change(other); alike(one(), other) {
				t.Errorf("%v: %s makes no difference", verb, what)
			}
		}
	}
}

func TestRepliesOfABrokenServerAreNeverAGrant(t *testing.T) {
	t.Parallel()
	for v := Acquire; v <= Check; v++ {
		for _, text := range []string{
			"", " ", "ok", "OKAY", "OK ", "OK -1", "OK 9007199254740992", "OK 1 2", "OK x", "HELD", "HELD 1", "HELD x 0123456789abcdef ", "HELD 1 short ",
			"FOREIGN", "FOREIGN 1", "FOREIGN x 0123456789abcdef", "FOREIGN 1 short", "FOREIGN 0 0123456789abcdef", "FOREIGN 1 0123456789abcdef x", "FOREIGN 1 0123456789abcdef ",
			"WAIT", "WAIT -1", "WAIT x", "GONE 1", "FREE", "FREE x", "OWNED 1", "OWNED 1 1 short x", "SHARED", "SHARED 1", "SHARED x 1", "SHARED 1 1\n1", "SHARED 1 1\nx 0123456789abcdef ", "SHARED 1 1\n-1 0123456789abcdef ", "\x00", "OK\n", strings.Repeat("9", 1000),
		} {
			if r := parse(v, text); r.Verdict != Refused || r.Err == nil {
				t.Errorf("%v: %q is taken for %v", v, text, r.Verdict)
			}
		}
	}
}

// FuzzReplies: whatever a server answers, there is no panic, and a grant only for the words that
// grant.
func FuzzReplies(f *testing.F) {
	for _, text := range []string{"OK", "OK 1", "HELD 7 0123456789abcdef host/1", "FOREIGN 7 0123456789abcdef", "WAIT 5", "FREE 0", "OWNED 1 2 0123456789abcdef x", "SHARED 1 2\n3 0123456789abcdef x", "RAISED", "BADFENCE", "GONE"} {
		f.Add(byte(Acquire), text)
		f.Add(byte(Inspect), text)
	}
	f.Fuzz(func(t *testing.T, verb byte, text string) {
		v := Verb(verb)
		r := parse(v, text)
		if r.Verdict == OK && v != Inspect && text != "OK" && !strings.HasPrefix(text, "OK ") {
			t.Errorf("%v: %q is taken for OK", v, text)
		}
		if r.Token > maxToken {
			t.Errorf("%v: %q gives the token %d", v, text, r.Token)
		}
		if r.Verdict == Refused && r.Err == nil {
			t.Errorf("%v: %q is refused without a cause", v, text)
		}
		parseNotice(text)
	})
}

func TestAnAnswerToOneVerbIsNoneToAnother(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		verb Verb
		text string
	}{{Inspect, "OK"}, {Acquire, "OK"}, {Acquire, "GONE"}, {Release, "FREE 1"}, {Release, "RAISED"}, {Extend, "WAIT 5"}, {Rejoin, "FOREIGN 7 0123456789abcdef"}} {
		if r := parse(c.verb, c.text); r.Verdict != Refused || r.Err == nil {
			t.Errorf("%q to %v: %+v", c.text, c.verb, r)
		}
	}
}
