package pool_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// newOldFake starts a fake that answers exactly as Redis 6.0 does, with or without INFO. It grants
// a plain lock with SET, but lacks what the scripts need. It can be a whole cluster too.
func newOldFake(t *testing.T, info bool) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(l.Addr().String())
	slots := fmt.Sprintf("*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n%s:%s\r\n%s", bulk(host), port, bulk("abcd"))
	f := newFakeAt(t, l, func(command []string) string {
		switch strings.ToLower(command[0]) {
		case "set":
			return "+OK\r\n"
		case "cluster":
			return slots
		case "ping":
			return "+PONG\r\n"
		case "evalsha":
			return "-NOSCRIPT No matching script. Please use EVAL.\r\n"
		case "eval":
			return "-" + refusalOfRedis60(command[1]) + "\r\n"
		default:
			return "-ERR unknown command\r\n"
		}
	})
	if !info {
		f.refuse("NOPERM this user has no permissions to run the 'info' command or its subcommand")
	}
	return f
}

// refusalOfRedis60 is the answer of Redis 6.0.16 to a script.
func refusalOfRedis60(script string) string {
	switch {
	case strings.HasPrefix(script, "#!"):
		return "ERR Error compiling script (new function): user_script:1: unexpected symbol near '#'"
	case strings.Contains(script, "'NX', 'GET'"):
		return "ERR Error running script (call to f_94359f): @user_script:52: ERR syntax error"
	default:
		return "ERR Error running script (call to f_b051f1): @user_script:1: @user_script: 1: Wrong number of args calling Redis command From Lua script"
	}
}

func TestAServerThatIsTooOldGrantsNoLockWhereItDoesNotTellItsVersion(t *testing.T) {
	t.Parallel()
	whole := func(f *fake) wire.Node {
		user := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{f.addr}})
		t.Cleanup(func() { user.Close() })
		n := nodeOf(user)
		closeNode := n.Open()
		t.Cleanup(func() { _ = closeNode() })
		return n
	}
	for where, n := range map[string]wire.Node{
		"INFO denied":             dial(t, newOldFake(t, false).addr),
		"no version in INFO":      dial(t, newOldFake(t, true).addr),
		"cluster":                 whole(newOldFake(t, true)),
		"cluster and INFO denied": whole(newOldFake(t, false)),
	} {
		plain := acquire(keys(t, "plain"), alice, 0)
		plain.Fence = ""
		queued := acquire(keys(t, "queued"), alice, now())
		queued.Queue, queued.Inbox, queued.Ticket = keys(t, "queued").Queue, "redlock:inbox:alice", now()
		for what, r := range map[string]*wire.Request{
			"plain": plain, "fenced": acquire(keys(t, "fenced"), alice, now()), "queued": queued,
			"extend": by(pool.Extend, keys(t, "plain"), alice, 0), "check": {Verb: pool.Check},
		} {
			reply := do(t, n, r)
			if reply.Verdict != pool.Refused || !errors.Is(reply.Err, pool.ErrTooOld) || !strings.Contains(reply.Err.Error(), "Redis 7.0") {
				t.Errorf("%s, %s: %v %v", where, what, reply.Verdict, reply.Err)
			}
		}
		both := []wire.Call{{Request: plain}, {Request: acquire(keys(t, "fenced"), alice, now())}}
		n.Do(t.Context(), both)
		for i := range both {
			if both[i].Reply.Verdict != pool.Refused || !errors.Is(both[i].Reply.Err, pool.ErrTooOld) {
				t.Errorf("%s, together: %v %v", where, both[i].Reply.Verdict, both[i].Reply.Err)
			}
		}
	}
}

func TestAServerThatTellsItsVersionTakesAPlainLockByItsOwnCommand(t *testing.T) {
	t.Parallel()
	f := newOldFake(t, true)
	f.info = "redis_version:7.0.0\r\n"
	plain := acquire(keys(t, "plain"), alice, 0)
	plain.Fence = ""
	n := dial(t, f.addr)
	// is sent before the server has told its version
	do(t, n, by(pool.Release, keys(t, "plain"), bob, 0))
	expect(t, "plain", do(t, n, plain), pool.OK)
}
