package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

const (
	doctorChannel = "redlock:inbox:doctor"
	trialLife     = time.Minute // of the doctor's keys, in case it is stopped half way
)

// A need is a command that locks use, and the consequence if it is not allowed. It is tried on a
// key of the doctor's own, which holds a string. A command for another type changes nothing there,
// and its error differs from that of a command that is not allowed.
type need struct {
	severity severity
	command  string
	args     []any // of the command; nil stands for the key
	without  string
}

var needs = []need{
	{failure, "set", []any{nil, "doctor", "px", trialLife.Milliseconds()}, "no lock can be taken"},
	{failure, "get", []any{nil}, "no lock can be renewed or released"},
	{failure, "pexpire", []any{nil, trialLife.Milliseconds(), "gt"}, "leases cannot be renewed, and end at their deadlines"},
	{failure, "evalsha", []any{strings.Repeat("0", 40), 1, nil}, "no lock can be renewed or released"},
	{warning, "eval", []any{"return 1", 1, nil}, "a server that has forgotten the scripts, after a restart for one, refuses all"},
	{failure, "time", nil, "locks with a fencing token are refused, and no lock can be shared"},
	{warning, "pttl", []any{nil}, "those who wait do not know for how long"},
	{warning, "zadd", []any{nil, 1, "x"}, "those who wait must poll, and no lock can be shared"},
	{warning, "zrem", []any{nil, "x"}, "those who give up stay in line, and shared locks are not released"},
	{warning, "zrange", []any{nil, 0, 0}, "those who wait are told late, and shared locks are not released"},
	{warning, "zmscore", []any{nil, "x"}, "no lock can be shared"},
	{remark, "zremrangebyscore", []any{nil, 0, 0}, "the server remembers crashed readers of a lock until all its readers are gone"},
	{warning, "zpopmin", []any{nil}, "those who wait must poll"},
	{warning, "publish", []any{doctorChannel, ""}, "those who wait must poll"},
	{warning, "hset", []any{nil, "x", "y"}, "the restart guard cannot be used"},
	{warning, "hmget", []any{nil, "x"}, "the restart guard cannot be used"},
	{remark, "mget", []any{nil}, "semaphores of many permits take longer"},
	{remark, "del", []any{nil}, "locks go a millisecond after their release, and none can be shared"},
}

// permissions tries the commands that locks need, under the user's prefix, and finally a lock.
func (p *patient) permissions(ctx context.Context) {
	name := "redlock:doctor:" + rand.Text()
	keys, err := wire.Keys(p.prefix, name)
	if err != nil {
		p.find(failure, "permission", "the prefix makes no keys: "+err.Error(), "Choose another prefix.")
		return
	}
	found := len(p.findings)
	for _, k := range [][2]string{{"lock", keys.Lock}, {"fencing register", keys.Fence}, {"queue", keys.Queue}, {"readers", wire.ReadersKey(keys.Lock)}} {
		before, _, _ := strings.Cut(k[1], name)
		p.touch(ctx, failure, k[0], k[1], before+"*")
	}
	p.touch(ctx, warning, "restart guard", "redlock:restart", "redlock:restart")
	for _, n := range needs {
		words := []any{n.command}
		for _, a := range n.args {
			if a == nil {
				a = keys.Lock
			}
			words = append(words, a)
		}
		if err := p.Do(ctx, words...).Err(); lacking(err) && !access(err) {
			p.find(n.severity, "permission", fmt.Sprintf("%s is not allowed, so %s: %s", strings.ToUpper(n.command), n.without, reason(err)),
				"ACL SETUSER … +"+n.command)
		} else if lacking(err) && strings.Contains(err.Error(), "channel") {
			p.find(warning, "permission", "PUBLISH is not allowed on redlock:inbox:*, so those who wait must poll: "+reason(err), "ACL SETUSER … &redlock:inbox:*")
		}
	}
	p.subscription(ctx)
	if len(p.findings) == found && p.info["role"] != "slave" && p.info["cluster_enabled"] != "1" {
		p.trial(ctx, keys)
	}
	for _, key := range []string{keys.Lock, keys.Fence} {
		if p.Del(ctx, key).Err() != nil {
			// it expires within a minute
			_ = p.SetXX(ctx, key, "doctor", time.Millisecond).Err()
		}
	}
}

// touch tries whether the user may use a key. ZREM changes nothing if the key is missing or has
// another type.
func (p *patient) touch(ctx context.Context, s severity, what, key, pattern string) {
	if err := p.ZRem(ctx, key, "doctor").Err(); lacking(err) && access(err) {
		p.find(s, "permission", fmt.Sprintf("the key of the %s is not allowed (%s): %s", what, pattern, reason(err)), "ACL SETUSER … ~"+pattern)
	}
}

func (p *patient) subscription(ctx context.Context) {
	sub := p.Subscribe(ctx)
	defer sub.Close() //nolint:errcheck // it was only a trial
	err := sub.Subscribe(ctx, doctorChannel)
	if err == nil {
		_, err = sub.ReceiveTimeout(ctx, serverTimeout)
	}
	if err != nil {
		p.find(warning, "permission", "SUBSCRIBE is not allowed, so those who wait must poll: "+reason(err), "ACL SETUSER … +subscribe &redlock:inbox:*")
	}
}

// trial takes, renews and releases a lock, as the library does.
func (p *patient) trial(ctx context.Context, keys wire.KeySet) {
	r := wire.Request{
		Lock: keys.Lock, Fence: keys.Fence, Queue: keys.Queue, Owner: strings.Repeat("0", 32),
		TTL: trialLife, Retention: trialLife, Token: uint64(time.Now().UnixMicro()), Reserve: time.Millisecond,
	}
	_ = p.Del(ctx, keys.Lock).Err()
	for _, v := range []pool.Verb{pool.Acquire, pool.Repair, pool.Extend, pool.Rejoin, pool.Inspect, pool.Release, pool.Leave} {
		one := wire.Request{
			Verb: v, Lock: r.Lock, Fence: r.Fence, Owner: r.Owner, TTL: r.TTL, Retention: r.Retention, Token: r.Token,
			Reserve: r.Reserve, Inbox: doctorChannel,
		}
		switch v {
		case pool.Release:
			one.Queue, one.TTL = r.Queue, 0
		case pool.Leave:
			one.Queue = r.Queue
		default: // without a queue
		}
		calls := []wire.Call{{Request: &one}}
		wire.NodeOf(p.node).Do(ctx, calls)
		reply := calls[0].Reply
		if reply.Verdict != pool.OK {
			p.find(failure, "trial", fmt.Sprintf("a lock was tried, and its %v is %v: %v", v, reply.Verdict, reply.Err), "See what the server says; docs/troubleshooting.md has it by message.")
			return
		}
		r.Token = max(r.Token, reply.Token)
	}
}

// lacking reports whether the server refused a command because a permission is missing, or because
// it does not know the command.
func lacking(err error) bool {
	if err == nil || errors.Is(err, redis.Nil) {
		return false
	}
	text := err.Error()
	return denied(err) || strings.Contains(text, "unknown command") || strings.Contains(text, "not allowed")
}

// access reports whether a permission for a key or a channel is missing, not one for a command.
func access(err error) bool { return strings.Contains(err.Error(), " access ") }
