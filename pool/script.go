package pool

import (
	"crypto/sha1" //nolint:gosec // the name that Redis gives a script
	_ "embed"
	"encoding/hex"
	"strconv"
	"time"
)

// The scripts, each one atomic step on the server.
var (
	//go:embed lua/noguard.lua
	noGuardLua string
	//go:embed lua/guard.lua
	guardLua string
	//go:embed lua/keep.lua
	keepLua string
	//go:embed lua/acquire.lua
	acquireLua string
	//go:embed lua/repair.lua
	repairLua string
	//go:embed lua/extend.lua
	extendLua string
	//go:embed lua/rejoin.lua
	rejoinLua string
	//go:embed lua/pass.lua
	passLua string
	//go:embed lua/leave.lua
	leaveLua string
	//go:embed lua/release.lua
	releaseLua string
	//go:embed lua/inspect.lua
	inspectLua string
	//go:embed lua/bootstrap.lua
	bootstrapLua string
)

// A script is Lua with the name that servers know it by.
type script struct{ text, sha string }

func newScript(parts ...string) *script {
	var text string
	for _, p := range parts {
		text += p
	}
	sum := sha1.Sum([]byte(text)) //nolint:gosec // see above
	return &script{text: text, sha: hex.EncodeToString(sum[:])}
}

// scripts are the scripts by verb, without the restart guard and with it.
var scripts = map[Verb][2]*script{
	Acquire:   {newScript(noGuardLua, acquireLua), newScript(guardLua, acquireLua)},
	Repair:    {newScript(noGuardLua, repairLua), newScript(guardLua, repairLua)},
	Rejoin:    {newScript(noGuardLua, keepLua, rejoinLua), newScript(guardLua, keepLua, rejoinLua)},
	Extend:    both(newScript(keepLua, extendLua)),
	Release:   both(newScript(passLua, releaseLua)),
	Leave:     both(newScript(passLua, leaveLua)),
	Inspect:   both(newScript(inspectLua)),
	Bootstrap: both(newScript(bootstrapLua)),
}

func both(s *script) [2]*script { return [2]*script{s, s} }

// script returns the script that carries r out.
func (r *Request) script() *script {
	if r.Guard > 0 {
		return scripts[r.Verb][1]
	}
	return scripts[r.Verb][0]
}

// evalsha returns the command that asks for r. It is made once and shared, by all nodes and goroutines.
func (r *Request) evalsha() []any {
	if args := r.wire.Load(); args != nil {
		return *args
	}
	args := make([]any, 0, 12)
	args = append(args, "evalsha", r.script().sha)
	args = r.arguments(args)
	r.wire.Store(&args)
	return args
}

// eval returns the command that asks for r and teaches the server the script.
func (r *Request) eval() []any {
	args := make([]any, 0, 12)
	args = append(args, "eval", r.script().text)
	return r.arguments(args)
}

// arguments appends the number of keys, the keys and the arguments as the scripts' headers say.
func (r *Request) arguments(to []any) []any {
	keys := r.keys()
	to = append(to, len(keys))
	for _, k := range keys {
		to = append(to, k)
	}
	token, retention := strconv.FormatUint(r.Token, 10), "0"
	if r.Fence != "" {
		retention = ms(r.Retention)
	}
	switch r.Verb {
	case Acquire, Extend, Rejoin:
		to = append(to, r.Owner, ms(r.TTL), token, retention)
	case Repair:
		to = append(to, r.Owner, token, retention)
	case Release:
		to = append(to, r.Owner, ms(r.TTL), ms(r.Reserve), r.Inbox)
	case Leave:
		to = append(to, r.Inbox, ms(r.Reserve))
	case Inspect, Bootstrap:
	}
	if r.Verb == Acquire && r.Queue != "" {
		to = append(to, r.Inbox, strconv.FormatUint(r.Ticket, 10), strconv.FormatInt(r.Age.Microseconds(), 10))
	}
	if r.guarded() {
		to = append(to, ms(r.Guard))
	}
	return to
}

// keys returns the keys that the script of r touches, in its order.
func (r *Request) keys() []string {
	if r.Verb == Bootstrap {
		return []string{markerKey}
	}
	keys := append(make([]string, 0, 4), r.Lock)
	if r.Fence != "" && r.Verb != Release && r.Verb != Leave {
		keys = append(keys, r.Fence)
	}
	if r.Queue != "" && (r.Verb == Acquire || r.Verb == Release || r.Verb == Leave) {
		keys = append(keys, r.Queue)
	}
	if r.guarded() {
		keys = append(keys, markerKey)
	}
	return keys
}

// guarded reports whether the restart guard has a say in r.
func (r *Request) guarded() bool { return r.Guard > 0 && (takes(r.Verb) || r.Verb == Repair) }

// takes reports whether the verb may put a lock in place.
func takes(v Verb) bool { return v == Acquire || v == Rejoin }

// ms is a duration as the scripts take it.
func ms(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
