package pool

import (
	"errors"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/internal/wire"
)

const (
	// maxGroup is the greatest number of requests in a command: the server does nothing else
	// meanwhile, for about a fifth of a millisecond.
	maxGroup = 64
	// maxKinds is how many kinds of requests are grouped in one round trip, which hardly has more.
	maxKinds = 8
)

// A group is calls that share one command, and so one run of a script: starting a script costs the
// server about as much as its work for one lock. Their requests differ only in their locks and
// owners; those of readers, in their owners alone.
type group struct {
	first, last *call
	size        int
}

// groups says which calls share commands.
type groups struct {
	firsts []*call // one for each command
	open   []group // groups that may grow, one of each kind
}

// single gives each call its own command.
func (g *groups) single(calls []call) {
	g.firsts = g.firsts[:0]
	for i := range calls {
		g.firsts = append(g.firsts, &calls[i])
	}
}

// group lets calls share commands. Releases go first: an attempt in the same round trip then finds
// locks free that were released before it was sent.
func (g *groups) group(calls []call) {
	g.firsts, g.open = g.firsts[:0], g.open[:0]
	for i := range calls {
		if calls[i].Request.Verb == Release {
			g.add(&calls[i])
		}
	}
	for i := range calls {
		if calls[i].Request.Verb != Release {
			g.add(&calls[i])
		}
	}
}

// add makes the call join a group, or begin a command of its own.
func (g *groups) add(c *call) {
	r, one := c.Request, group{c, c, 1}
	i := slices.IndexFunc(g.open, func(o group) bool { return alike(o.first.Request, r) })
	switch {
	case i >= 0 && g.open[i].size < maxGroup:
		o := &g.open[i]
		o.last.also, o.last = c, c
		o.size++
		return
	case i >= 0:
		g.open[i] = one
	case grouping(r) && len(g.open) < maxKinds:
		g.open = append(g.open, one)
	}
	g.firsts = append(g.firsts, c)
}

// grouping reports whether the script of r can serve several locks.
func grouping(r *wire.Request) bool {
	if r.Slots != nil {
		return false
	}
	switch r.Verb {
	case Release:
		return r.Queue != "" && r.TTL == 0
	case Acquire:
		return (fenced(r) || r.Readers != "") && r.Queue == ""
	default:
		return r.Verb == Extend
	}
}

// alike reports whether one command can serve both requests, of which r is grouping.
func alike(r, o *wire.Request) bool {
	return grouping(o) && r.Verb == o.Verb && r.Readers == o.Readers && (r.Readers == "" || r.Lock == o.Lock) &&
		(r.Verb != Extend && r.Readers == "" || fenced(r) == fenced(o)) && r.TTL == o.TTL && r.Retention == o.Retention && r.Guard == o.Guard &&
		r.Reserve == o.Reserve && r.Inbox == o.Inbox && r.Quiet == o.Quiet
}

// part dissolves a group: each of its calls gets its own command. It appends the calls to firsts.
func (c *call) part(firsts []*call) []*call {
	for m := c; m != nil; {
		next := m.also
		m.also, m.form = nil, usual
		firsts = append(firsts, m)
		m = next
	}
	return firsts
}

// length returns how many calls share the command.
func (c *call) length() (n int) {
	for m := c; m != nil; m = m.also {
		n++
	}
	return n
}

// together reports whether calls may share a command. They may not if their locks may be on
// different servers: a server that does not tell its run id may be a proxy for several.
func (cn *connection) together() bool { return !cn.apart && cn.server != "" }

// settleGroup is settle for a group. It appends to firsts what must be sent again. If the server
// has looked at all keys and done nothing because of one, that is all calls, one by one.
func (cn *connection) settleGroup(first *call, err error, firsts []*call) []*call {
	if first.next(err) {
		return append(firsts, first)
	}
	answer, answered := errors.AsType[redis.Error](err)
	apart := answered && strings.HasPrefix(answer.Error(), "CROSSSLOT")
	if apart {
		cn.apart = true
	}
	if apart || answered && strings.HasPrefix(answer.Error(), "NOPERM") {
		return first.part(firsts)
	}
	lines := first.cmd.Val()
	if err == nil && strings.Count(lines, "\n") != first.length()-1 {
		err = redis.Nil // it makes no sense either
	}
	if answered && !errors.Is(err, redis.Nil) {
		err = first.harmless(answer)
	}
	for m := first; m != nil; m = m.also {
		var line string
		line, lines, _ = strings.Cut(lines, "\n")
		text, failed := strings.CutPrefix(line, "-")
		if failed {
			m.Reply = refusal(m.Request, serverError(strings.Clone(text)))
		} else {
			m.Reply = replyTo(m.Request, err, line)
		}
	}
	return firsts
}

// harmless returns the server's error for all calls without any owner id.
func (c *call) harmless(answer error) error {
	text := answer.Error()
	for m := c; m != nil; m = m.also {
		text = harmless(text, m.Request.Owner, m.Request.Inbox)
	}
	return serverError(text)
}
