package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/memnode"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// A scripted node answers as a test says.
type scripted struct {
	addr string
	do   func(ctx context.Context, r *wire.Request) wire.Reply
}

func (n scripted) Addr() string       { return n.addr }
func (n scripted) Open() func() error { return func() error { return nil } }
func (n scripted) Listen(context.Context, string, func(), func(wire.Notice)) error {
	return wire.ErrNoListen
}

func (n scripted) Do(ctx context.Context, calls []wire.Call) {
	for i := range calls {
		calls[i].Reply = n.do(ctx, calls[i].Request)
	}
}

// ask has a master carry out one request.
func ask(ctx context.Context, n *memnode.Node, r *wire.Request) wire.Reply {
	calls := []wire.Call{{Request: r}}
	n.Do(ctx, calls)
	return calls[0].Reply
}

// A street is three masters at three addresses. The first may lead to the second's master for some
// requests; the second and the third may be out of reach.
type street struct {
	masters [3]*memnode.Node
	astray  func(r *wire.Request) bool

	mu    sync.Mutex
	out   int // which is
	asked map[wire.Verb]int
}

// newStreet makes one on which the second master's register is far ahead of all clocks, and of the
// first's.
func newStreet(astray func(r *wire.Request) bool) *street {
	s := &street{astray: astray, out: 2, asked: make(map[wire.Verb]int)}
	for i := range s.masters {
		s.masters[i] = memnode.New(fmt.Sprintf("node%d:6379", i))
	}
	return s
}

// lead sets where the register of a master stands, from now.
func (s *street) lead(master int, d time.Duration) {
	s.masters[master].Set("{a}:redlock:fence", fmt.Sprint(time.Now().Add(d).UnixMicro()), time.Hour)
}

// close puts one master out of reach, and another back.
func (s *street) close(master int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out, s.astray = master, func(*wire.Request) bool { return false }
}

func (s *street) requests(v wire.Verb) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[v]
}

// A lookout looks up another name whenever the first address has answered, before that answer is
// taken for what it is: the address then is known to lead home again.
type lookout struct {
	street *street
	locker atomic.Pointer[redlock.Locker]
}

// Observe implements redlock.Observer.
func (o *lookout) Observe(e redlock.Event) {
	if n, ok := e.(redlock.NodeEvent); ok && n.Node == o.street.masters[0].Addr() && n.Verb != wire.Inspect {
		_, _ = o.locker.Load().Inspect(context.Background(), "b")
	}
}

// locker makes a Locker to which the addresses have led home whenever it looks.
func (s *street) locker(t *testing.T) *redlock.Locker {
	t.Helper()
	o := &lookout{street: s}
	o.locker.Store(over(t, s.nodes(), redlock.WithObserver(o)))
	return o.locker.Load()
}

func (s *street) nodes() (nodes []pool.Node) {
	for i := range s.masters {
		nodes = append(nodes, wire.Seal(scripted{s.masters[i].Addr(), func(ctx context.Context, r *wire.Request) wire.Reply {
			s.mu.Lock()
			s.asked[r.Verb]++
			to, out := i, s.out
			if i == 0 && s.astray(r) {
				to = 1
			}
			s.mu.Unlock()
			// none is the second to release the lock, which would show by itself
			if r.Verb == wire.Release {
				s.masters[to].Set(r.Lock, r.Owner, time.Minute)
			}
			if to == out {
				return wire.Reply{Verdict: wire.Unavailable, Unsent: true, Err: errTimeout}
			}
			return ask(ctx, s.masters[to], r)
		}}))
	}
	return nodes
}

// The second master's register is far ahead. If it answers for the first's, that stays behind, and
// so would a later token be.
func TestARepairCountsForTheServerThatGrantedOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStreet(func(r *wire.Request) bool { return r.Verb == wire.Repair })
		s.lead(1, time.Hour)
		l := over(t, s.nodes())
		le, err := l.TryLock(t.Context(), "a")
		if err == nil {
			_ = le.Unlock(t.Context()) // whatever the nodes say
		} else if !errors.Is(err, redlock.ErrNoQuorum) || !strings.Contains(err.Error(), "another server") {
			t.Errorf("TryLock: %v", err)
		}
		synctest.Wait()
		s.close(1)
		next := mustLock(t, over(t, s.nodes()), "a")
		if le != nil && next.Fence() <= le.Fence() {
			t.Errorf("token %d, and then %d", le.Fence(), next.Fence())
		}
	})
}

// The same, of the tokens that a process hands on: also once another server has extended the lock,
// for the first's may have been another's meanwhile.
func TestABlockOfTokensCountsForTheServerThatGrantedOnly(t *testing.T) {
	t.Parallel()
	for _, verb := range []wire.Verb{wire.Repair, wire.Extend} {
		t.Run(verb.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStreet(func(r *wire.Request) bool { return r.Verb == verb })
				l := s.locker(t)
				le := mustLock(t, l, "a")
				next := lockInBackground(t.Context(), l, "a")
				synctest.Wait()
				time.Sleep(time.Millisecond)
				if verb == wire.Extend {
					// one server, whichever lines lead to it
					if err := le.Extend(t.Context()); !errors.Is(err, redlock.ErrNoQuorum) {
						t.Errorf("Extend: %v", err)
					}
				}
				mustUnlock(t, le)
				r := <-next
				if r.err != nil || s.requests(wire.Acquire) <= 3 {
					t.Errorf("%v after %d requests for the lock: it was handed over", r.err, s.requests(wire.Acquire))
				}
			})
		})
	}
}

// A run id changes at each restart. Where the data was kept an extension's OK shows that the lock
// is still the owner's, whoever answers.
func TestALeaseSurvivesTheRestartOfEachNodeInTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		masters, nodes := memnode.Cluster(5)
		l := over(t, nodes, redlock.WithTTL(time.Second))
		le := lockEverywhere(t, l, "a", redlock.WithRenewal(redlock.Forever))
		for i, n := range masters {
			n.Restart(true)
			time.Sleep(time.Second)
			if err := le.Err(); err != nil {
				t.Fatalf("after %d restarts: %v", i+1, err)
			}
			if err := le.Extend(t.Context()); err != nil {
				t.Fatalf("Extend after %d restarts: %v", i+1, err)
			}
		}
		mustUnlock(t, le)
	})
}

// One server that three addresses lead to in turn deletes the lock once.
func TestAServerThatTwoAddressesLedToInTurnReleasesOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStreet(func(r *wire.Request) bool { return r.Verb == wire.Release })
		l := s.locker(t)
		le := mustLock(t, l, "a")
		if err := le.Unlock(t.Context()); !errors.Is(err, redlock.ErrNoQuorum) {
			t.Errorf("Unlock: %v", err)
		}
	})
}

// An address that led to another node's server for a while, and does not any more when that node
// answers, gave no vote of its own.
func TestAServerThatTwoAddressesLedToInTurnVotesOnce(t *testing.T) {
	t.Parallel()
	for _, extends := range []bool{false, true} {
		name := map[bool]string{false: "taking", true: "extending"}[extends]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				verb := wire.Acquire
				if extends {
					verb = wire.Extend
				}
				moved, asked := make(chan struct{}), make(chan struct{})
				astray := scripted{"astray:6379", func(_ context.Context, r *wire.Request) wire.Reply {
					switch r.Verb {
					case verb:
						defer close(asked)
						return wire.Reply{Verdict: wire.OK, Token: r.Token, Server: "home"}
					default:
						return wire.Reply{Verdict: wire.OK, Token: r.Token, Server: "astray"}
					}
				}}
				home := scripted{"home:6379", func(_ context.Context, r *wire.Request) wire.Reply {
					reply := wire.Reply{Verdict: wire.OK, Token: r.Token}
					if r.Verb == verb {
						<-moved
						reply.Server = "home"
					}
					return reply
				}}
				silent := scripted{"silent:6379", func(_ context.Context, r *wire.Request) wire.Reply {
					if r.Verb == verb || r.Verb == wire.Inspect {
						return wire.Reply{Verdict: wire.Unavailable, Err: errTimeout}
					}
					return wire.Reply{Verdict: wire.OK, Token: r.Token}
				}}
				l, err := redlock.New(asNodes([]scripted{astray, home, silent}))
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
