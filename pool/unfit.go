package pool

import (
	"context"
	"errors"

	"github.com/go-redlock/redlock/internal/wire"
)

var (
	errRing   = errors.New("a redis.Ring is no node: it spreads keys over servers that do not agree")
	errNil    = errors.New("the client is nil")
	errFormal = errors.New("a client of this kind is no node: a *redis.Client or a *redis.ClusterClient is needed")
)

// An unfit node is what New makes of a client that cannot be one: it carries the reason to
// redlock.New, which refuses it.
type unfit struct {
	addr string
	why  error
}

// Addr implements wire.Node.
func (u *unfit) Addr() string { return u.addr }

// Unfit returns why the client can be no node.
func (u *unfit) Unfit() error { return u.why }

// Do implements wire.Node: it refuses all calls.
func (u *unfit) Do(_ context.Context, calls []wire.Call) {
	for i := range calls {
		calls[i].Reply = wire.Reply{Verdict: Refused, Unsent: true, Err: u.why}
	}
}

// Listen implements wire.Node.
func (u *unfit) Listen(context.Context, string, func(), func(wire.Notice)) error {
	return wire.ErrNoListen
}

// Open implements wire.Node.
func (u *unfit) Open() func() error { return func() error { return nil } }
