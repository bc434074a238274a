package pool_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// announcing lists answers of a few bytes that announce about a gigabyte more.
var announcing = []string{
	"$1000000000\r\n", "!1000000000\r\n", "=1000000000\r\n", "$+1000000000\r\n", "$" + strings.Repeat("0", 100) + "1000000000\r\n",
	"*60000000\r\n", "~60000000\r\n", "%30000000\r\n", ">60000000\r\n", "+x\r\n$1000000000\r\n", "$1\r\n\n\r\n*60000000\r\n",
}

//nolint:paralleltest // counts what the process allocates
func TestAnAnswerTakesNoMoreMemoryThanItHasBytes(t *testing.T) {
	for _, text := range announcing {
		before := allocated()
		server := newFake(t, func([]string) string { return text })
		reply := within(t, dial(t, server.addr), acquire(keys(t, "lock"), alice, 1), time.Second)
		if grown := allocated() - before; grown > 100<<20 {
			t.Errorf("%.30q: %d MiB were allocated", text, grown>>20)
		}
		if reply.Verdict == pool.OK || reply.Err == nil {
			t.Errorf("%.30q: %+v", text, reply)
		}
	}
}

//nolint:paralleltest // counts what the process allocates
func TestASubscriptionTakesNoMoreMemoryThanItHasBytes(t *testing.T) {
	for _, text := range announcing[:6] {
		before := allocated()
		server := newFake(t, func([]string) string { return text })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		err := dial(t, server.addr).Listen(ctx, "inbox", func() {}, func(wire.Notice) {})
		cancel()
		if grown := allocated() - before; grown > 100<<20 {
			t.Errorf("%.30q: %d MiB were allocated", text, grown>>20)
		}
		if !errors.Is(err, pool.ErrBadReply) {
			t.Errorf("%.30q: %v", text, err)
		}
	}
}

func TestALongAnswerThatMeansItIsRead(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("x\r\n$1000000000\r\n", 1000) // what looks like a length in it is text
	server := newFake(t, func(command []string) string {
		if command[0] == "evalsha" && strings.Contains(strings.Join(command, " "), "first") {
			return bulk(text)
		}
		return bulk("OK 1")
	})
	n := dial(t, server.addr)
	if reply := do(t, n, acquire(keys(t, "first"), alice, 1)); !errors.Is(reply.Err, pool.ErrBadReply) || reply.Verdict != pool.Refused {
		t.Errorf("%+v", reply)
	}
	expect(t, "the next answer over that connection", do(t, n, acquire(keys(t, "second"), alice, 1)), pool.OK)
	if server.connections() != 1 {
		t.Errorf("%d connections", server.connections())
	}
}

// allocated returns how much memory was allocated so far.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
