package pool_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// handbookUser is what the handbook lets an administrator allow a user: the arguments of ACL
// SETUSER.
func handbookUser(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rule, found := strings.Cut(string(text), "ACL SETUSER ")
	if !found {
		t.Fatal("docs/operations.md has no ACL SETUSER any more")
	}
	rule, _, _ = strings.Cut(rule, "\n```")
	return strings.Fields(strings.ReplaceAll(rule, "\\\n", " "))
}

// scriptCommands are the commands that the scripts call.
func scriptCommands(t *testing.T) (all []string) {
	t.Helper()
	files, err := filepath.Glob("lua/*.lua")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range regexp.MustCompile(`redis\.p?call\('(\w+)'`).FindAllStringSubmatch(string(text), -1) {
			all = append(all, strings.ToLower(call[1]))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// A deed is an operation of a user on a lock that an administrator has prepared.
type deed struct {
	name    string
	prepare func(s *denial)
	does    func(s *denial) *wire.Request
	want    pool.Verdict
}

// A denial is a server with a user who lacks a command.
type denial struct {
	*testing.T

	admin wire.Node
	look  *redis.Client
	user  wire.Node
	k     wire.KeySet
	token uint64

	ticket uint64 // of alice's wait
}

// taken makes alice hold the lock.
func (s *denial) taken() {
	s.token = do(s.T, s.admin, acquire(s.k, alice, now())).Token
}

// another makes bob hold it.
func (s *denial) another() { do(s.T, s.admin, acquire(s.k, bob, now())) }

func (s *denial) plain() *wire.Request {
	r := acquire(s.k, alice, 0)
	r.Fence = ""
	return r
}

// second returns the keys of the second slot of two, the first of which is the lock.
func (s *denial) second() wire.KeySet { return keys(s.T, s.k.Lock+"2") }

func (s *denial) permit() *wire.Request {
	r := acquire(s.k, alice, now())
	r.Lock, r.Slots = "", &wire.Slots{Keys: []wire.KeySet{s.k, s.second()}}
	return r
}

// waits makes a refusal of r queue alice's inbox.
func (s *denial) waits(r *wire.Request) *wire.Request {
	if s.ticket == 0 {
		s.ticket = now()
	}
	r.Queue, r.Inbox, r.Ticket = s.k.Queue, "redlock:inbox:alice", s.ticket
	return r
}

func (s *denial) owner(v pool.Verb) *wire.Request { return by(v, s.k, alice, s.token) }

// shared makes bob share the lock, and alice too if with is set.
func (s *denial) shared(with bool) {
	do(s.T, s.admin, reading(acquire(s.k, bob, now())))
	if with {
		s.token = do(s.T, s.admin, reading(acquire(s.k, alice, now()))).Token
	}
}

func (s *denial) share() *wire.Request { return reading(acquire(s.k, alice, now())) }

// reader is alice's request for her share of the lock.
func (s *denial) reader(v pool.Verb) *wire.Request { return reading(s.owner(v)) }

// queued puts a waiter that listens into the queue of the lock.
func (s *denial) queued() {
	r := acquire(s.k, bob, now())
	r.Queue, r.Inbox, r.Ticket = s.k.Queue, "redlock:inbox:bob", now()
	expect(s.T, "bob waits", do(s.T, s.admin, r), pool.Held)
}

var deeds = []deed{
	{"plain", func(*denial) {}, (*denial).plain, pool.OK},
	{"plain, the second to wait", (*denial).another, func(s *denial) *wire.Request { return s.waits(s.plain()) }, pool.Held},
	{"plain, of what is reserved for it", func(s *denial) {
		s.look.Set(s.Context(), s.k.Lock, "R:redlock:inbox:alice", time.Minute)
	}, func(s *denial) *wire.Request { return s.waits(s.plain()) }, pool.OK},
	{"fenced", func(*denial) {}, func(s *denial) *wire.Request { return acquire(s.k, alice, now()) }, pool.OK},
	{"fenced, once more", func(s *denial) {
		do(s.T, s.user, acquire(s.k, alice, now()))
		do(s.T, s.user, by(pool.Release, s.k, alice, 0))
		s.look.Del(s.Context(), s.k.Lock)
	}, func(s *denial) *wire.Request { return acquire(s.k, alice, now()) }, pool.OK},
	{
		"fenced, with a register", func(s *denial) { s.look.Set(s.Context(), s.k.Fence, now()-1, time.Hour) },
		func(s *denial) *wire.Request { return acquire(s.k, alice, now()) }, pool.OK,
	},
	{
		"fenced, with a register that was idle for long", func(s *denial) { s.look.Set(s.Context(), s.k.Fence, 7, time.Hour) },
		func(s *denial) *wire.Request { return acquire(s.k, alice, now()) }, pool.OK,
	},
	{
		"fenced, with a foreign register", func(s *denial) { s.look.Set(s.Context(), s.k.Fence, "theirs", time.Hour) },
		func(s *denial) *wire.Request { return acquire(s.k, alice, now()) }, pool.Refused,
	},
	{"fenced, the second to wait", (*denial).another, func(s *denial) *wire.Request { return s.waits(acquire(s.k, alice, now())) }, pool.Held},
	{"fenced, asked for twice", (*denial).taken, func(s *denial) *wire.Request { return acquire(s.k, alice, now()) }, pool.OK},
	{"permit", func(*denial) {}, (*denial).permit, pool.OK},
	{"permit, the second to wait", func(s *denial) {
		s.another()
		s.look.Set(s.Context(), s.second().Lock, bob, time.Minute)
	}, func(s *denial) *wire.Request { return s.waits(s.permit()) }, pool.Held},
	{"give any slot up", (*denial).taken, func(s *denial) *wire.Request {
		r := release(s.k, alice)
		r.Lock, r.Slots = "", &wire.Slots{Keys: []wire.KeySet{s.k, s.second()}}
		return r
	}, pool.OK},
	{"repair", (*denial).taken, func(s *denial) *wire.Request { s.token++; return s.owner(pool.Repair) }, pool.OK},
	{"extend", (*denial).taken, func(s *denial) *wire.Request { return s.owner(pool.Extend) }, pool.OK},
	{"extend without a register", func(s *denial) {
		s.taken()
		s.look.Del(s.Context(), s.k.Fence)
	}, func(s *denial) *wire.Request { return s.owner(pool.Extend) }, pool.OK},
	{"extend another's", (*denial).another, func(s *denial) *wire.Request { return s.owner(pool.Extend) }, pool.Gone},
	{"rejoin", (*denial).taken, func(s *denial) *wire.Request { return s.owner(pool.Rejoin) }, pool.OK},
	{"rejoin what is lost", func(s *denial) {
		s.taken()
		s.look.Del(s.Context(), s.k.Lock)
	}, func(s *denial) *wire.Request { return s.owner(pool.Rejoin) }, pool.OK},
	{"rejoin another's", (*denial).another, func(s *denial) *wire.Request { return s.owner(pool.Rejoin) }, pool.Held},
	{"release", (*denial).taken, func(s *denial) *wire.Request { return s.owner(pool.Release) }, pool.OK},
	{"release to a waiter", func(s *denial) { s.taken(); s.queued() }, func(s *denial) *wire.Request { return release(s.k, alice) }, pool.OK},
	{"release after a minimum hold", (*denial).taken, func(s *denial) *wire.Request {
		r := s.owner(pool.Release)
		r.TTL = time.Second
		return r
	}, pool.OK},
	{"release another's", (*denial).another, func(s *denial) *wire.Request { return s.owner(pool.Release) }, pool.Gone},
	{"leave", func(s *denial) { s.another(); do(s.T, s.admin, s.waits(s.plain())) }, func(s *denial) *wire.Request { return s.waits(s.owner(pool.Leave)) }, pool.OK},
	{"inspect", (*denial).taken, func(s *denial) *wire.Request { return s.owner(pool.Inspect) }, pool.OK},
	{"share", func(*denial) {}, (*denial).share, pool.OK},
	{"share what others share", func(s *denial) { s.shared(false) }, (*denial).share, pool.OK},
	{"share, asked for twice", func(s *denial) { s.shared(true) }, (*denial).share, pool.OK},
	{"share, without a token", func(*denial) {}, func(s *denial) *wire.Request { return reading(s.plain()) }, pool.OK},
	{"share, the second to wait", (*denial).another, func(s *denial) *wire.Request { return s.waits(s.share()) }, pool.Held},
	{"share, with a foreign register", func(s *denial) { s.look.Set(s.Context(), s.k.Fence, "theirs", time.Hour) }, (*denial).share, pool.Refused},
	{"share, before a waiter", func(s *denial) {
		s.shared(false)
		s.queued()
		s.look.Set(s.Context(), s.k.Lock, wire.SharedValue, redis.KeepTTL)
	}, func(s *denial) *wire.Request { return s.waits(s.share()) }, pool.OK},
	{"repair a share", func(s *denial) { s.shared(true) }, func(s *denial) *wire.Request { s.token++; return s.reader(pool.Repair) }, pool.OK},
	{"extend a share", func(s *denial) { s.shared(true) }, func(s *denial) *wire.Request { return s.reader(pool.Extend) }, pool.OK},
	{"extend what was no share", func(s *denial) { s.shared(false) }, func(s *denial) *wire.Request { return s.reader(pool.Extend) }, pool.Gone},
	{"rejoin a share", func(s *denial) { s.shared(true) }, func(s *denial) *wire.Request { return s.reader(pool.Rejoin) }, pool.OK},
	{"rejoin a share that is lost", func(s *denial) { s.shared(false) }, func(s *denial) *wire.Request { return s.reader(pool.Rejoin) }, pool.OK},
	{"rejoin a share of another's", (*denial).another, func(s *denial) *wire.Request { return s.reader(pool.Rejoin) }, pool.Held},
	{"release a share", func(s *denial) { s.shared(true) }, func(s *denial) *wire.Request { return s.reader(pool.Release) }, pool.OK},
	{"release the last share", func(s *denial) { do(s.T, s.admin, s.share()) }, func(s *denial) *wire.Request { return s.reader(pool.Release) }, pool.OK},
	{"release the last share to a waiter", func(s *denial) { do(s.T, s.admin, s.share()); s.queued() }, func(s *denial) *wire.Request { return reading(release(s.k, alice)) }, pool.OK},
	{"release a share after a minimum hold", func(s *denial) { s.shared(true) }, func(s *denial) *wire.Request {
		r := s.reader(pool.Release)
		r.TTL = time.Second
		return r
	}, pool.OK},
	{"release what was no share", func(s *denial) { s.shared(false) }, func(s *denial) *wire.Request { return s.reader(pool.Release) }, pool.Gone},
	{"inspect readers", func(s *denial) { s.shared(true) }, func(s *denial) *wire.Request { return s.reader(pool.Inspect) }, pool.OK},
	{"plain, behind readers", func(s *denial) { s.shared(false) }, func(s *denial) *wire.Request { return s.waits(s.plain()) }, pool.Held},
	{"leave, after it kept readers out", func(s *denial) { s.shared(false); do(s.T, s.admin, s.waits(s.plain())) }, func(s *denial) *wire.Request { return s.waits(s.owner(pool.Leave)) }, pool.OK},
	{"bootstrap", func(*denial) {}, func(s *denial) *wire.Request { return &wire.Request{Verb: pool.Bootstrap} }, pool.OK},
	{"guarded", func(s *denial) { do(s.T, s.admin, &wire.Request{Verb: pool.Bootstrap}) }, func(s *denial) *wire.Request {
		r := acquire(s.k, alice, now())
		r.Guard = time.Minute
		return r
	}, pool.OK},
}

// changed lists the results of a deed that change if a command is denied.
var changed = map[string]map[string]pool.Verdict{
	"set": {
		"plain": pool.Refused, "plain, the second to wait": pool.Refused, "plain, of what is reserved for it": pool.Refused,
		"fenced": pool.Refused, "fenced, once more": pool.Refused, "fenced, with a register": pool.Refused,
		"fenced, with a register that was idle for long": pool.Refused, "fenced, the second to wait": pool.Refused, "fenced, asked for twice": pool.Refused,
		"repair": pool.Refused, "extend without a register": pool.Refused, "rejoin": pool.Refused, "rejoin what is lost": pool.Refused,
		"rejoin another's": pool.Refused, "release after a minimum hold": pool.Refused, "guarded": pool.Refused, "permit": pool.Refused,
		"permit, the second to wait": pool.Refused, "share": pool.Refused, "share what others share": pool.Refused,
		"share, asked for twice": pool.Refused, "share, without a token": pool.Refused, "share, before a waiter": pool.Refused,
		"repair a share": pool.Refused, "plain, behind readers": pool.Refused,
	},
	"get": {
		"fenced, asked for twice": pool.Refused, "repair": pool.Refused, "extend": pool.Refused, "extend without a register": pool.Refused,
		"extend another's": pool.Refused, "rejoin": pool.Refused, "rejoin what is lost": pool.Refused, "release": pool.Refused,
		"release to a waiter": pool.Refused, "release after a minimum hold": pool.Refused, "release another's": pool.Refused, "leave": pool.Refused,
		"inspect": pool.Refused, "give any slot up": pool.Refused, "share": pool.Refused, "share what others share": pool.Refused,
		"share, asked for twice": pool.Refused, "share, without a token": pool.Refused, "share, the second to wait": pool.Refused,
		"share, before a waiter": pool.Refused, "repair a share": pool.Refused, "extend a share": pool.Refused,
		"extend what was no share": pool.Refused, "rejoin a share": pool.Refused, "rejoin a share that is lost": pool.Refused,
		"rejoin a share of another's": pool.Refused, "release a share": pool.Refused, "release the last share": pool.Refused,
		"release the last share to a waiter": pool.Refused, "release a share after a minimum hold": pool.Refused,
		"release what was no share": pool.Refused, "inspect readers": pool.Refused, "leave, after it kept readers out": pool.Refused,
	},
	"pexpire": {
		"extend": pool.Refused, "extend without a register": pool.Refused, "rejoin": pool.Refused, "rejoin what is lost": pool.Refused,
		"share": pool.Refused, "share what others share": pool.Refused, "share, asked for twice": pool.Refused,
		"share, without a token": pool.Refused, "share, before a waiter": pool.Refused, "extend a share": pool.Refused,
		"rejoin a share": pool.Refused, "rejoin a share that is lost": pool.Refused, "release a share": pool.Refused,
		"release a share after a minimum hold": pool.Refused,
	},
	"del": {"share": pool.Refused, "share, without a token": pool.Refused},
	"zadd": {
		"share": pool.Refused, "share what others share": pool.Refused, "share, asked for twice": pool.Refused,
		"share, without a token": pool.Refused, "share, before a waiter": pool.Refused, "extend a share": pool.Refused,
		"rejoin a share": pool.Refused, "rejoin a share that is lost": pool.Refused, "release a share after a minimum hold": pool.Refused,
	},
	"zmscore": {
		"share": pool.Refused, "share, without a token": pool.Refused, "share, the second to wait": pool.Refused,
		"share what others share": pool.Refused, "share, asked for twice": pool.Refused, "share, before a waiter": pool.Refused,
		"repair a share": pool.Refused, "extend a share": pool.Refused, "extend what was no share": pool.Refused, "rejoin a share": pool.Refused,
		"rejoin a share that is lost": pool.Refused, "release a share": pool.Refused, "release the last share": pool.Refused,
		"release the last share to a waiter": pool.Refused, "release a share after a minimum hold": pool.Refused,
		"release what was no share": pool.Refused,
	},
	"pttl": {"inspect": pool.Refused, "inspect readers": pool.Refused},
	"zrange": {
		"leave": pool.Refused, "leave, after it kept readers out": pool.Refused, "release a share": pool.Refused,
		"release the last share": pool.Refused, "release the last share to a waiter": pool.Refused,
		"release a share after a minimum hold": pool.Refused, "inspect readers": pool.Refused,
	},
	"zrem": {
		"leave": pool.Refused, "leave, after it kept readers out": pool.Refused, "release a share": pool.Refused,
		"release the last share": pool.Refused, "release the last share to a waiter": pool.Refused,
		"release a share after a minimum hold": pool.Refused,
	},
	"time": {
		"fenced": pool.Refused, "fenced, once more": pool.Refused, "fenced, with a register that was idle for long": pool.Refused,
		"bootstrap": pool.Refused, "guarded": pool.Refused, "permit": pool.Refused, "share": pool.Refused,
		"share what others share": pool.Refused, "share, asked for twice": pool.Refused, "share, without a token": pool.Refused,
		"share, the second to wait": pool.Refused, "share, before a waiter": pool.Refused, "repair a share": pool.Refused,
		"extend a share": pool.Refused, "extend what was no share": pool.Refused, "rejoin a share": pool.Refused,
		"rejoin a share that is lost": pool.Refused, "rejoin a share of another's": pool.Refused, "release a share": pool.Refused,
		"release the last share": pool.Refused, "release the last share to a waiter": pool.Refused,
		"release a share after a minimum hold": pool.Refused, "release what was no share": pool.Refused, "inspect readers": pool.Refused,
	},
	"info":  {"bootstrap": pool.Refused, "guarded": pool.Refused},
	"hset":  {"bootstrap": pool.Refused},
	"hmget": {"guarded": pool.Refused},
}

// A user who lacks a command gets what is possible without it, or an error; and nothing is left
// behind.
func TestScriptsWithoutACommandDoTheRestOrTakeBackWhatTheyDid(t *testing.T) {
	t.Parallel()
	commands := scriptCommands(t)
	for _, c := range []string{"set", "get", "del", "time", "zadd", "info"} {
		if !slices.Contains(commands, c) {
			t.Fatalf("%s is not found in the scripts: %v", c, commands)
		}
	}
	admin, look := real(t)
	bob := look.Subscribe(t.Context(), "redlock:inbox:bob")
	t.Cleanup(func() { bob.Close() })
	if _, err := bob.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	rule := handbookUser(t)
	for _, lacks := range append([]string{""}, commands...) {
		user := append(append([]any{"acl", "setuser", "lacks" + lacks, "reset"}, words(rule[1:])...), "~*")
		if lacks != "" {
			user = append(user, "-"+lacks)
		}
		if err := look.Do(t.Context(), user...).Err(); err != nil {
			t.Fatal(err)
		}
		n := dial(t, "redis://lacks"+lacks+":secret@"+look.Options().Addr)
		for i, d := range deeds {
			s := &denial{T: t, admin: admin, look: look, user: n, k: keys(t, "app:"+lacks+strconv.Itoa(i))}
			d.prepare(s)
			want, other := changed[lacks][d.name]
			if !other {
				want = d.want
			}
			s.check(lacks, d, want)
		}
	}
}

func words(rule []string) (all []any) {
	for _, w := range rule {
		all = append(all, w)
	}
	return all
}

// check does the deed, and checks the answer and what is left on the server.
func (s *denial) check(lacks string, d deed, want pool.Verdict) {
	s.Helper()
	ctx := s.Context()
	before := map[string]string{}
	for _, key := range []string{s.k.Lock, s.k.Fence} {
		before[key] = s.look.Get(ctx, key).Val()
	}
	shared := s.look.ZScore(ctx, wire.ReadersKey(s.k.Lock), alice).Val()
	r := d.does(s)
	reply := do(s.T, s.user, r)
	if reply.Verdict != want {
		s.Errorf("-%s: %s: %v (%v), not %v", lacks, d.name, reply.Verdict, reply.Err, want)
		return
	}
	for _, key := range s.look.Keys(ctx, "*").Val() {
		if life := s.look.PTTL(ctx, key).Val(); life == -1 && key != "redlock:restart" && s.look.Get(ctx, key).Val() != "theirs" {
			s.Errorf("-%s: %s: %s is there for ever", lacks, d.name, key)
		}
	}
	switch reply.Verdict {
	case pool.Held:
		if unheard := lacks == "zadd" || lacks == "pexpire"; reply.Foreign != unheard && r.Queue != "" {
			s.Errorf("-%s: %s: foreign: %v", lacks, d.name, reply.Foreign)
		}
		if wants := lacks != "pttl"; wants != (reply.TTL > 0) {
			s.Errorf("-%s: %s: another has it for %v", lacks, d.name, reply.TTL)
		}
	case pool.Refused:
		if text := reply.Err.Error(); lacks != "" && !regexp.MustCompile("permission|can't run this command|foreign").MatchString(text) {
			s.Errorf("-%s: %s: the reason is %q", lacks, d.name, text)
		}
		if r.Verb == pool.Acquire { // after a millisecond at most, nothing new is there
			for key, was := range before {
				if left := s.later(key); left != was {
					s.Errorf("-%s: %s: %s is %q, and was %q", lacks, d.name, key, left, was)
				}
			}
			if ends := s.look.ZScore(ctx, wire.ReadersKey(s.k.Lock), r.Owner).Val(); r.Readers != "" && shared == 0 && ends != 0 {
				s.Errorf("-%s: %s: it has a share until %v", lacks, d.name, ends)
			}
		}
	case pool.OK:
		if r.Verb == pool.Release && r.TTL == 0 {
			if s.later(s.k.Lock) == r.Owner || s.look.ZScore(ctx, wire.ReadersKey(s.k.Lock), r.Owner).Val() != 0 {
				s.Errorf("-%s: %s: the lock is left", lacks, d.name)
			}
		}
	default: // there is no more to see
	}
}

// later returns the value of the key after keys with a short life have expired.
func (s *denial) later(key string) string {
	s.Helper()
	for {
		if life := s.look.PTTL(s.Context(), key).Val(); life < 0 || life > 10*time.Millisecond {
			return s.look.Get(s.Context(), key).Val()
		}
	}
}
