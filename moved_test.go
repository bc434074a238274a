package redlock_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/seal"
	"github.com/go-redlock/redlock/pool"
)

// A scripted node answers as a test says.
type scripted struct {
	addr string
	do   func(ctx context.Context, r *pool.Request) pool.Reply
}

func (n scripted) Addr() string       { return n.addr }
func (n scripted) Open() func() error { return func() error { return nil } }
func (n scripted) Sealed(seal.Seal)   {}
func (n scripted) Listen(context.Context, string, func(), func(pool.Notice)) error {
	return pool.ErrNoListen
}

func (n scripted) Do(ctx context.Context, calls []pool.Call) {
	for i := range calls {
		calls[i].Reply = n.do(ctx, calls[i].Request)
	}
}

// An address that led to another node's server for a while, and does not any more when that node answers, gave no vote of its own.
func TestAServerThatTwoAddressesLedToInTurnVotesOnce(t *testing.T) {
	t.Parallel()
	for _, extends := range []bool{false, true} {
		name := map[bool]string{false: "taking", true: "extending"}[extends]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				verb := pool.Acquire
				if extends {
					verb = pool.Extend
				}
				moved, asked := make(chan struct{}), make(chan struct{})
				astray := scripted{"astray:6379", func(_ context.Context, r *pool.Request) pool.Reply {
					switch r.Verb {
					case verb:
						defer close(asked)
						return pool.Reply{Verdict: pool.OK, Token: r.Token, Server: "home"}
					default:
						return pool.Reply{Verdict: pool.OK, Token: r.Token, Server: "astray"}
					}
				}}
				home := scripted{"home:6379", func(_ context.Context, r *pool.Request) pool.Reply {
					reply := pool.Reply{Verdict: pool.OK, Token: r.Token}
					if r.Verb == verb {
						<-moved
						reply.Server = "home"
					}
					return reply
				}}
				silent := scripted{"silent:6379", func(_ context.Context, r *pool.Request) pool.Reply {
					if r.Verb == verb || r.Verb == pool.Inspect {
						return pool.Reply{Verdict: pool.Unavailable, Err: errTimeout}
					}
					return pool.Reply{Verdict: pool.OK, Token: r.Token}
				}}
				l, err := redlock.New([]pool.Node{astray, home, silent})
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close(context.Background())
				ctx := t.Context()
				done := make(chan error)
				if extends {
					le := mustLock(t, l, "a")
					synctest.Wait() // for the node that Lock did not wait for
					go func() { done <- le.Extend(ctx) }()
				} else {
					go func() { _, err := l.TryLock(ctx, "a"); done <- err }()
				}
				<-asked
				synctest.Wait()
				_, _ = l.Inspect(ctx, "b") // which finds the astray address at home again
				close(moved)
				if err := <-done; !errors.Is(err, redlock.ErrNoQuorum) {
					t.Errorf("two votes of one server: %v, want ErrNoQuorum", err)
				}
			})
		})
	}
}
