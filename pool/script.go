package pool

import (
	"crypto/sha1" //nolint:gosec // the name that Redis gives a script
	_ "embed"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/internal/wire"
)

// The scripts, each one atomic step on the server.
var (
	//go:embed lua/noguard.lua
	noGuardLua string
	//go:embed lua/guard.lua
	guardLua string
	//go:embed lua/owner.lua
	ownerLua string
	//go:embed lua/owners.lua
	ownersLua string
	//go:embed lua/drop.lua
	dropLua string
	//go:embed lua/shared.lua
	sharedLua string
	//go:embed lua/reader.lua
	readerLua string
	//go:embed lua/keep.lua
	keepLua string
	//go:embed lua/refuse.lua
	refuseLua string
	//go:embed lua/refused.lua
	refusedLua string
	//go:embed lua/take.lua
	takeLua string
	//go:embed lua/acquire.lua
	acquireLua string
	//go:embed lua/permit.lua
	permitLua string
	//go:embed lua/version.lua
	versionLua string
	//go:embed lua/join.lua
	joinLua string
	//go:embed lua/admit.lua
	admitLua string
	//go:embed lua/share.lua
	shareLua string
	//go:embed lua/repair.lua
	repairLua string
	//go:embed lua/extend.lua
	extendLua string
	//go:embed lua/prolong.lua
	prolongLua string
	//go:embed lua/rejoin.lua
	rejoinLua string
	//go:embed lua/reshare.lua
	reshareLua string
	//go:embed lua/pass.lua
	passLua string
	//go:embed lua/leave.lua
	leaveLua string
	//go:embed lua/announce.lua
	announceLua string
	//go:embed lua/give.lua
	giveLua string
	//go:embed lua/release.lua
	releaseLua string
	//go:embed lua/vacate.lua
	vacateLua string
	//go:embed lua/unshare.lua
	unshareLua string
	//go:embed lua/inspect.lua
	inspectLua string
	//go:embed lua/bootstrap.lua
	bootstrapLua string
	//go:embed lua/check.lua
	checkLua string
)

// A script is Lua with the name that servers know it by.
type script struct{ text, sha any } // strings

func newScript(parts ...string) *script {
	text := strings.Join(parts, "")
	sum := sha1.Sum([]byte(text)) //nolint:gosec // see above
	return &script{text: text, sha: hex.EncodeToString(sum[:])}
}

// whenCalled returns a function of that name whose parts, the last of which defines it, are made
// when it is called. A server makes all functions of a script anew whenever it runs it: those of a
// refusal took a lone Lock three hundredths of its time.
func whenCalled(name string, parts ...string) string {
	return "local function " + name + "(...)\n" + strings.Join(parts, "") + "return " + name + "(...)\nend\n"
}

// scripts are the scripts by verb, without the restart guard and with it.
var scripts = map[Verb][2]*script{
	Acquire:   guarding(whenCalled("refused", sharedLua, refuseLua, refusedLua), dropLua, takeLua, acquireLua),
	Repair:    guarding(ownerLua, repairLua),
	Rejoin:    guarding(sharedLua, ownerLua, keepLua, rejoinLua),
	Extend:    both(newScript(ownerLua, keepLua, extendLua)),
	Release:   both(newScript(ownerLua, dropLua, passLua, announceLua, giveLua, releaseLua)),
	Leave:     both(newScript(sharedLua, ownerLua, dropLua, passLua, admitLua, leaveLua)),
	Inspect:   both(newScript(sharedLua, inspectLua)),
	Bootstrap: both(newScript(bootstrapLua)),
	Check:     {newScript(writes, noGuardLua, checkLua), newScript(writes, guardLua, checkLua)},
}

// slotScripts are the other scripts of requests that concern any slot of a semaphore.
var slotScripts = map[Verb][2]*script{
	Acquire: guarding(sharedLua, refuseLua, refusedLua, ownersLua, dropLua, passLua, takeLua, permitLua),
	Release: both(newScript(ownersLua, ownerLua, dropLua, passLua, announceLua, giveLua, vacateLua)),
}

// readerScripts are the other scripts of readers, who share a lock.
var readerScripts = map[Verb][2]*script{
	Acquire: guarding(sharedLua, refuseLua, dropLua, versionLua, joinLua, admitLua, shareLua),
	Repair:  guarding(ownerLua, sharedLua, readerLua, repairLua),
	Rejoin:  guarding(sharedLua, dropLua, keepLua, joinLua, reshareLua),
	Extend:  both(newScript(ownerLua, sharedLua, keepLua, prolongLua)),
	Release: both(newScript(ownerLua, sharedLua, dropLua, passLua, announceLua, unshareLua)),
}

// writes declares a script that may write, to a server that knows such declarations.
const writes = "#!lua\n"

func both(s *script) [2]*script { return [2]*script{s, s} }

// guarding returns a script of these parts in both forms.
func guarding(parts ...string) [2]*script {
	return [2]*script{
		newScript(append([]string{noGuardLua}, parts...)...),
		newScript(append([]string{guardLua}, parts...)...),
	}
}

// scriptOf returns the script that carries r out.
func scriptOf(r *wire.Request) *script {
	var forms [2]*script
	switch {
	case r.Slots != nil:
		forms = slotScripts[r.Verb]
	case r.Readers != "":
		forms = readerScripts[r.Verb]
	}
	if forms[0] == nil {
		forms = scripts[r.Verb]
	}
	if r.Guard > 0 {
		return forms[1]
	}
	return forms[0]
}

// A form is how a request is put to a server.
type form uint8

const (
	native form = iota // as a command of the server's own, which grants the lock or does nothing
	usual              // as a script that the server should know, by words that are made once
	named              // the same, by words of this call's own
	whole              // as the script itself
)

// first is the form in which r is put to the server first. One that may be too old is asked by
// script: it refuses the script, where it would grant a lock by its own command and then be unable
// to extend it. So is one that was asked before it told its version.
func (cn *connection) first(r *wire.Request) form {
	switch {
	case !simple(r):
		return usual
	case !cn.recent || cn.raw != nil && len(cn.raw.ahead) > 0:
		return named
	}
	return native
}

// words appends the words of the command that asks for what the call, and those that share it, are
// to do, in its present form.
func (c *call) words(to []any) []any {
	switch {
	case c.form == whole:
		return c.eval(to)
	case c.form == named || c.also != nil:
		return c.evalsha(to)
	default:
		return append(to, usualWords(c.Request)...)
	}
}

// next goes on to the next form, if err says that the server has done nothing because of the
// present one.
func (c *call) next(err error) bool {
	switch {
	case c.form == native && errors.Is(err, redis.Nil): // not free: the script tells more
		c.form = named
	case c.form != whole && unknownScript(err):
		c.form = whole
	default:
		return false
	}
	return true
}

// simple reports whether r takes a lock without more ado. The server's own command does that in
// half the time that a script takes.
func simple(r *wire.Request) bool {
	return r.Verb == Acquire && !fenced(r) && r.Queue == "" && r.Guard == 0 && r.Slots == nil && r.Readers == ""
}

// fenced reports whether r is about the fencing register too. One that is not to be kept is none.
func fenced(r *wire.Request) bool {
	return r.Fence != "" && (r.Retention >= time.Millisecond || r.Verb == Repair || r.Verb == Inspect)
}

// usualWords returns the first command to ask for r. It is made once and shared, by all nodes and
// goroutines.
func usualWords(r *wire.Request) []any { return r.Encoded(encode) }

func encode(r *wire.Request) []any {
	if simple(r) {
		return []any{"set", r.Lock, &r.Owner, "nx", "px", r.TTL.Milliseconds()}
	}
	c := call{Call: &wire.Call{Request: r}} // which need not be allocated
	return c.evalsha(make([]any, 0, 10))
}

// newCall returns a call of its own for r.
func newCall(r *wire.Request, f form) *call { return &call{Call: &wire.Call{Request: r}, form: f} }

// eval is evalsha, and teaches the server the script.
func (c *call) eval(to []any) []any {
	begin := len(to)
	to = c.evalsha(to)
	to[begin], to[begin+1] = "eval", scriptOf(c.Request).text
	return to
}

// evalsha appends the name of the script, the number of keys, the keys and the arguments as the
// scripts' headers say. Most are pointers, which go-redis writes as what they point to and which
// cost no allocation; but it reads the first key, for its hash slot.
func (c *call) evalsha(to []any) []any {
	r, count := c.Request, len(to)+2
	to = append(to, "evalsha", scriptOf(r).sha, 0)
	keys := len(to)
	for m := c; m != nil; m = m.also {
		if to = appendKeys(to, m.Request); r.Readers != "" {
			break // all are about one lock
		}
	}
	if guarded(r) {
		to = append(to, wire.MarkerKey)
	}
	if len(to) > keys {
		if first, ok := to[keys].(*string); ok {
			to[keys] = *first
		}
	}
	to[count] = len(to) - keys
	for m := c; m != nil; m = m.also {
		to = appendArgs(to, m.Request)
	}
	return appendTerms(to, r)
}

// appendKeys appends the keys of the lock that the script of r touches, in its order.
func appendKeys(to []any, r *wire.Request) []any {
	switch r.Verb {
	case Bootstrap:
		return append(to, wire.MarkerKey)
	case Check:
		return to
	default:
	}
	withFence := fenced(r) && r.Verb != Release && r.Verb != Leave
	if r.Slots != nil {
		to = appendSlots(to, r.Slots, withFence)
	} else {
		to = append(to, &r.Lock)
		if withFence {
			to = append(to, &r.Fence)
		}
	}
	if r.Queue != "" && (r.Verb == Acquire || r.Verb == Release || r.Verb == Leave) {
		to = append(to, &r.Queue)
	}
	if r.Readers != "" && r.Verb != Leave {
		to = append(to, &r.Readers)
	}
	return to
}

// appendSlots appends the locks of all slots, and their fencing registers.
func appendSlots(to []any, s *wire.Slots, withFence bool) []any {
	for i := range s.Keys {
		to = append(to, &s.Keys[i].Lock)
	}
	for i := range s.Keys {
		if withFence {
			to = append(to, &s.Keys[i].Fence)
		}
	}
	return to
}

// appendArgs appends the arguments that differ from lock to lock.
func appendArgs(to []any, r *wire.Request) []any {
	switch r.Verb {
	case Acquire, Repair, Extend, Rejoin:
		return append(to, &r.Owner, &r.Token)
	case Release:
		return append(to, &r.Owner)
	default:
		return to
	}
}

// appendTerms appends the arguments that are the same for all locks that share a command.
func appendTerms(to []any, r *wire.Request) []any {
	retention := int64(0)
	if fenced(r) {
		retention = r.Retention.Milliseconds()
	}
	switch r.Verb {
	case Acquire, Extend, Rejoin:
		to = append(to, r.TTL.Milliseconds(), retention)
	case Repair:
		to = append(to, retention)
	case Release: // most have no more than this
		to = append(to, r.Reserve.Milliseconds())
		if r.Inbox != "" || r.TTL > 0 || r.Quiet || r.Readers != "" {
			to = append(to, &r.Inbox)
		}
		switch {
		case r.TTL > 0:
			to = append(to, r.TTL.Milliseconds())
		case r.Quiet:
			to = append(to, "quiet")
		case r.Readers != "":
			to = append(to, "")
		}
	case Leave:
		to = append(to, &r.Inbox, r.Reserve.Milliseconds(), &r.Ticket)
	case Inspect, Bootstrap, Check:
	}
	if r.Verb == Acquire && r.Slots != nil {
		only := 0
		if r.Slots.Only {
			only = 1
		}
		to = append(to, len(r.Slots.Keys), r.Slots.Begin, only, r.Reserve.Milliseconds())
	}
	if r.Verb == Acquire && (r.Queue != "" || r.Readers != "") {
		to = append(to, &r.Inbox, &r.Ticket, r.Age.Microseconds())
	}
	if guarded(r) {
		to = append(to, r.Guard.Milliseconds())
	}
	return to
}

// guarded reports whether the restart guard has a say in r.
func guarded(r *wire.Request) bool {
	return r.Guard > 0 && (takes(r.Verb) || r.Verb == Repair || r.Verb == Check)
}

// takes reports whether the verb may put a lock in place.
func takes(v Verb) bool { return v == Acquire || v == Rejoin }
