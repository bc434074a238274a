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
	"github.com/go-redlock/redlock/internal/clustertest"
	"github.com/go-redlock/redlock/internal/memnode"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// Two addresses of one server are one vote.
func TestServerWithTwoAddressesHasOneVote(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		log := new(logged)
		nodes := asNodes([]wire.Node{c.Masters[0], c.Masters[0].Alias("duplicate"), c.Masters[1]})
		l, err := redlock.New(nodes, redlock.WithLogger(log.logger()))
		if err != nil {
			t.Fatal(err)
		}
		defer mustClose(t, l)
		for range 3 {
			le := mustLock(t, l, "a") // two servers of two: a quorum of three names
			synctest.Wait()
			mustUnlock(t, le)
		}
		if n := log.count("one server"); n != 1 {
			t.Errorf("it was logged %d times", n)
		}
		c.Refuse(1)
		_, err = l.TryLock(t.Context(), "a")
		if !errors.Is(err, redlock.ErrNoQuorum) {
			t.Errorf("one server of two was a quorum: %v", err)
		}
		c.Heal()
		// Another owner on one server does not have a majority, although it is seen at two
		// addresses.
		c.Hold("b", time.Minute, 0)
		_, err = l.TryLock(t.Context(), "b")
		if q, ok := errors.AsType[*redlock.QuorumError](err); !ok || q.Held != 1 {
			t.Errorf("error: %v", err)
		}
		if _, err := l.TryLock(t.Context(), "a"); err != nil {
			t.Errorf("the servers are healthy: %v", err)
		}
	})
}

// rerouted is three masters at three addresses. For some requests the first address may lead to the
// second's master; one of the masters cannot be reached.
type rerouted struct {
	masters [3]*memnode.Node
	when    func(r *wire.Request) bool // it leads to the second's master

	mu    sync.Mutex
	away  int // which master cannot be reached
	asked map[wire.Verb]int
}

// newRerouted makes the masters; the third cannot be reached.
func newRerouted(when func(r *wire.Request) bool) *rerouted {
	s := &rerouted{when: when, away: 2, asked: make(map[wire.Verb]int)}
	for i := range s.masters {
		s.masters[i] = memnode.New(fmt.Sprintf("node%d:6379", i))
	}
	return s
}

// setRegister sets how far the register of a master is ahead of the clocks.
func (s *rerouted) setRegister(master int, d time.Duration) {
	s.masters[master].Set("{a}:redlock:fence", fmt.Sprint(time.Now().Add(d).UnixMicro()), time.Hour)
}

// cutOff makes one master unreachable. From now on all addresses lead to their own masters.
func (s *rerouted) cutOff(master int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away, s.when = master, func(*wire.Request) bool { return false }
}

func (s *rerouted) requests(v wire.Verb) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[v]
}

// An inspecting observer inspects another lock whenever the first address has answered, before the
// library handles that answer. Then the address is known to lead to its own master again.
type inspecting struct {
	masters *rerouted
	locker  atomic.Pointer[redlock.Locker]
}

// Observe implements redlock.Observer.
func (o *inspecting) Observe(e redlock.Event) {
	if n, ok := e.(redlock.NodeEvent); ok && n.Node == o.masters.masters[0].Addr() && n.Verb != wire.Inspect {
		_, _ = o.locker.Load().Inspect(context.Background(), "b")
	}
}

// locker makes a Locker that finds that all addresses lead to their own masters whenever it asks.
func (s *rerouted) locker(t *testing.T) *redlock.Locker {
	t.Helper()
	o := &inspecting{masters: s}
	o.locker.Store(over(t, s.nodes(), redlock.WithObserver(o)))
	return o.locker.Load()
}

func (s *rerouted) nodes() (nodes []pool.Node) {
	for i := range s.masters {
		nodes = append(nodes, wire.Seal(scripted{s.masters[i].Addr(), func(ctx context.Context, r *wire.Request) wire.Reply {
			s.mu.Lock()
			s.asked[r.Verb]++
			to, away := i, s.away
			if i == 0 && s.when(r) {
				to = 1
			}
			s.mu.Unlock()
			// no second address releases the lock, because that would be noticed
			if r.Verb == wire.Release {
				s.masters[to].Set(r.Lock, r.Owner, time.Minute)
			}
			if to == away {
				return wire.Reply{Verdict: wire.Unavailable, Unsent: true, Err: errTimeout}
			}
			return ask(ctx, s.masters[to], r)
		}}))
	}
	return nodes
}

// The second master's register is far ahead. If its answer counts for the first master, the first
// one's register stays behind, and a later token could be smaller.
func TestARepairCountsForTheServerThatGrantedOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newRerouted(func(r *wire.Request) bool { return r.Verb == wire.Repair })
		s.setRegister(1, time.Hour)
		l := over(t, s.nodes())
		le, err := l.TryLock(t.Context(), "a")
		if err == nil {
			_ = le.Unlock(t.Context()) // whatever the nodes answer
		} else if !errors.Is(err, redlock.ErrNoQuorum) || !strings.Contains(err.Error(), "another server") {
			t.Errorf("TryLock: %v", err)
		}
		synctest.Wait()
		s.cutOff(1)
		next := mustLock(t, over(t, s.nodes()), "a")
		if le != nil && next.Fence() <= le.Fence() {
			t.Errorf("token %d, and then %d", le.Fence(), next.Fence())
		}
	})
}

// The same holds for the tokens that a process hands on, also after another server has extended the
// lock: the lock of the first one may have been another owner's meanwhile.
func TestABlockOfTokensCountsForTheServerThatGrantedOnly(t *testing.T) {
	t.Parallel()
	for _, verb := range []wire.Verb{wire.Repair, wire.Extend} {
		t.Run(verb.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newRerouted(func(r *wire.Request) bool { return r.Verb == verb })
				l := s.locker(t)
				le := mustLock(t, l, "a")
				next := lockInBackground(t.Context(), l, "a")
				synctest.Wait()
				time.Sleep(time.Millisecond)
				if verb == wire.Extend {
					// one server, on any of the lines
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

// A run id changes at each restart. If the data was kept, the OK to an extension shows that the
// lock is still the owner's, whichever server answers.
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

// If three addresses lead to one server in turn, it deletes the lock once.
func TestAServerThatTwoAddressesLedToInTurnReleasesOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newRerouted(func(r *wire.Request) bool { return r.Verb == wire.Release })
		l := s.locker(t)
		le := mustLock(t, l, "a")
		if err := le.Unlock(t.Context()); !errors.Is(err, redlock.ErrNoQuorum) {
			t.Errorf("Unlock: %v", err)
		}
	})
}

// An address may have led to another node's server, but no longer when that node answers. Then its
// earlier answer was not a vote of its own.
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
				first := scripted{"first:6379", func(_ context.Context, r *wire.Request) wire.Reply {
					switch r.Verb {
					case verb:
						defer close(asked)
						return wire.Reply{Verdict: wire.OK, Token: r.Token, Server: "second"}
					default:
						return wire.Reply{Verdict: wire.OK, Token: r.Token, Server: "first"}
					}
				}}
				second := scripted{"second:6379", func(_ context.Context, r *wire.Request) wire.Reply {
					reply := wire.Reply{Verdict: wire.OK, Token: r.Token}
					if r.Verb == verb {
						<-moved
						reply.Server = "second"
					}
					return reply
				}}
				silent := scripted{"silent:6379", func(_ context.Context, r *wire.Request) wire.Reply {
					if r.Verb == verb || r.Verb == wire.Inspect {
						return wire.Reply{Verdict: wire.Unavailable, Err: errTimeout}
					}
					return wire.Reply{Verdict: wire.OK, Token: r.Token}
				}}
				l, err := redlock.New(asNodes([]scripted{first, second, silent}))
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
				_, _ = l.Inspect(ctx, "b") // shows its own server
				close(moved)
				if err := <-done; !errors.Is(err, redlock.ErrNoQuorum) {
					t.Errorf("two votes of one server: %v, want ErrNoQuorum", err)
				}
			})
		})
	}
}
