package redlock_test

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-redlock/redlock/internal/memnode"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// errTimeout is the error of a node without an answer.
var errTimeout = os.ErrDeadlineExceeded

func fail(calls []wire.Call, with wire.Reply) {
	for i := range calls {
		calls[i].Reply = with
	}
}

func asNodes[N wire.Node](from []N) (nodes []pool.Node) {
	for _, n := range from {
		nodes = append(nodes, wire.Seal(n))
	}
	return nodes
}

// A scripted node answers as a test says.
type scripted struct {
	addr string
	do   func(ctx context.Context, r *wire.Request) wire.Reply
}

func (n scripted) Addr() string { return n.addr }

func (n scripted) Open() func() error { return func() error { return nil } }

func (n scripted) Listen(context.Context, string, func(), func(wire.Notice)) error {
	return wire.ErrNoListen
}

func (n scripted) Do(ctx context.Context, calls []wire.Call) {
	for i := range calls {
		calls[i].Reply = n.do(ctx, calls[i].Request)
	}
}

// ask makes a master carry out one request.
func ask(ctx context.Context, n *memnode.Node, r *wire.Request) wire.Reply {
	calls := []wire.Call{{Request: r}}
	n.Do(ctx, calls)
	return calls[0].Reply
}

// A yesNode grants everything after a millisecond and keeps nothing, so that only the library is
// measured.
type yesNode struct {
	addr         string
	calls, trips atomic.Int64
}

func yesNodes(n int) (nodes []*yesNode) {
	for i := range n {
		nodes = append(nodes, &yesNode{addr: fmt.Sprint("yes", i)})
	}
	return nodes
}

func (n *yesNode) Addr() string { return n.addr }

func (n *yesNode) Open() func() error { return func() error { return nil } }

func (n *yesNode) Do(_ context.Context, calls []wire.Call) {
	time.Sleep(time.Millisecond)
	n.trips.Add(1)
	n.calls.Add(int64(len(calls)))
	for i := range calls {
		calls[i].Reply = wire.Reply{Verdict: wire.OK, Token: calls[i].Request.Token}
	}
}

func (n *yesNode) Listen(context.Context, string, func(), func(wire.Notice)) error {
	return wire.ErrNoListen
}
