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
	Release:   both(newScript(releaseLua)),
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
	fenced := r.Fence != "" && r.Verb != Release
	guarded := r.Guard > 0 && (takes(r.Verb) || r.Verb == Repair)
	keys := 1
	if fenced {
		keys++
	}
	if guarded {
		keys++
	}
	to = append(to, keys)
	if r.Verb == Bootstrap {
		return append(to, markerKey)
	}
	to = append(to, r.Lock)
	if fenced {
		to = append(to, r.Fence)
	}
	if guarded {
		to = append(to, markerKey)
	}
	token := strconv.FormatUint(r.Token, 10)
	retention := "0"
	if fenced {
		retention = ms(r.Retention)
	}
	switch r.Verb {
	case Acquire, Extend, Rejoin:
		to = append(to, r.Owner, ms(r.TTL), token, retention)
	case Repair:
		to = append(to, r.Owner, token, retention)
	case Release:
		to = append(to, r.Owner, ms(r.TTL))
	case Inspect, Bootstrap:
	}
	if guarded {
		to = append(to, ms(r.Guard))
	}
	return to
}

// takes reports whether the verb may put a lock in place.
func takes(v Verb) bool { return v == Acquire || v == Rejoin }

// ms is a duration as the scripts take it.
func ms(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
