package memnode_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock/internal/memnode"
	"github.com/go-redlock/redlock/internal/wire"
)

// A scene is a master, and the inboxes of processes that listen to it.
type scene struct {
	*testing.T
	master *memnode.Node
	keys   wire.KeySet

	mu    sync.Mutex
	heard []string
}

// withMaster runs the test with a new master, in virtual time. The processes a and b listen.
func withMaster(t *testing.T, test func(*scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		keys, err := wire.Keys("", "file")
		if err != nil {
			t.Fatal(err)
		}
		s := &scene{T: t, master: memnode.New("1"), keys: keys}
		ctx, cancel := context.WithCancel(t.Context())
		var listeners sync.WaitGroup
		for _, process := range []string{"a", "b"} {
			listeners.Go(func() {
				_ = s.master.Listen(ctx, wire.InboxPrefix+process, func() {}, func(n wire.Notice) { s.note(process, n) })
			})
		}
		synctest.Wait()
		test(s)
		cancel()
		listeners.Wait()
	})
}

func (s *scene) note(process string, n wire.Notice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.Reader {
		process += "'s reader"
	}
	what := "go"
	switch {
	case n.Shared:
		what = "ask"
	case n.Next > 0:
		what = fmt.Sprintf("next in %v", n.Next)
	}
	s.heard = append(s.heard, process+": "+what)
}

// told returns what the inboxes have heard since the last call, sorted.
func (s *scene) told() string {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	heard := s.heard
	s.heard = nil
	slices.Sort(heard)
	return strings.Join(heard, ", ")
}

func (s *scene) wantTold(want string) {
	s.Helper()
	if got := s.told(); got != want {
		s.Errorf("told was %q, not %q", got, want)
	}
}

// do carries a request out.
func (s *scene) do(r *wire.Request) wire.Reply {
	calls := []wire.Call{{Request: r}}
	s.master.Do(s.Context(), calls)
	return calls[0].Reply
}

func (s *scene) want(v wire.Verdict, r *wire.Request) wire.Reply {
	s.Helper()
	reply := s.do(r)
	if reply.Verdict != v {
		s.Errorf("%v is %v (%v), not %v", r.Verb, reply.Verdict, reply.Err, v)
	}
	return reply
}

// reader makes a reader's request; id is a digit.
func (s *scene) reader(v wire.Verb, id string, ttl time.Duration) *wire.Request {
	r := s.writer(v, id, ttl)
	r.Readers = wire.ReadersKey(s.keys.Lock)
	return r
}

func (s *scene) writer(v wire.Verb, id string, ttl time.Duration) *wire.Request {
	return &wire.Request{
		Verb: v, Lock: s.keys.Lock, Fence: s.keys.Fence, Owner: strings.Repeat(id, 32) + ":host/" + id, TTL: ttl, Retention: time.Hour,
		Token: uint64(time.Now().UnixMicro()), Reserve: 20 * time.Millisecond,
	}
}

// waits makes the request one of a waiter of that process.
func (s *scene) waits(r *wire.Request, process string, ticket uint64) *wire.Request {
	r.Queue, r.Inbox = s.keys.Queue, wire.InboxPrefix+process
	if r.Readers != "" {
		r.Inbox = wire.ReadersInbox(r.Inbox)
	}
	r.Ticket = uint64(time.Now().UnixMicro()) + ticket
	return r
}

// releases is the release of a share, which passes the lock on.
func (s *scene) releases(id string) *wire.Request {
	r := s.reader(wire.Release, id, 0)
	r.Queue = s.keys.Queue
	return r
}

func TestReadersHaveALockTogetherAndNobodyElseHasItMeanwhile(t *testing.T) {
	t.Parallel()
	withMaster(t, func(s *scene) {
		s.want(wire.OK, s.reader(wire.Acquire, "1", time.Second))
		s.want(wire.OK, s.reader(wire.Acquire, "2", time.Second))
		if reply := s.want(wire.OK, s.reader(wire.Acquire, "2", time.Second)); !reply.Again {
			t.Error("a share that was taken before is granted as if it were new")
		}
		held := s.want(wire.Held, s.writer(wire.Acquire, "3", time.Second))
		if held.Foreign || held.Holder != "host/2" || held.TTL != time.Second {
			t.Errorf("the refusal is %+v", held)
		}
		s.want(wire.Held, s.writer(wire.Rejoin, "3", time.Second))
		s.want(wire.OK, s.reader(wire.Release, "1", 0))
		s.want(wire.Gone, s.reader(wire.Release, "1", 0))
		s.want(wire.Held, s.writer(wire.Acquire, "3", time.Second))
		s.want(wire.OK, s.reader(wire.Release, "2", 0))
		s.want(wire.OK, s.writer(wire.Acquire, "3", time.Second))
		s.want(wire.Held, s.reader(wire.Acquire, "1", time.Second))
	})
}

// Each reader's share is its own: neither another reader's shorter one ends it, nor another's
// longer one prolongs it.
func TestALockIsSharedUntilTheLongestShareEnds(t *testing.T) {
	t.Parallel()
	withMaster(t, func(s *scene) {
		s.want(wire.OK, s.reader(wire.Acquire, "1", 10*time.Second))
		s.want(wire.OK, s.reader(wire.Acquire, "2", time.Second)) // which crashes
		s.want(wire.OK, s.reader(wire.Extend, "2", 2*time.Second))
		time.Sleep(2 * time.Second)
		s.want(wire.Gone, s.reader(wire.Extend, "2", time.Second))
		s.want(wire.Gone, s.reader(wire.Repair, "2", time.Second))
		s.want(wire.Gone, s.reader(wire.Release, "2", 0))
		s.want(wire.Held, s.writer(wire.Acquire, "3", time.Second))
		s.want(wire.OK, s.reader(wire.Extend, "1", 10*time.Second))
		s.want(wire.OK, s.reader(wire.Acquire, "4", 3*time.Second)) // which crashes too
		s.want(wire.OK, s.reader(wire.Release, "1", 0))
		if reply := s.want(wire.Held, s.writer(wire.Acquire, "3", time.Second)); reply.TTL != 3*time.Second {
			t.Errorf("the lock lasts %v", reply.TTL)
		}
		time.Sleep(3 * time.Second)
		s.want(wire.OK, s.writer(wire.Acquire, "3", time.Second))
	})
}

// A waiter keeps further readers out while it waits, and no longer than eight seconds.
func TestAWaiterKeepsFurtherReadersOut(t *testing.T) {
	t.Parallel()
	withMaster(t, func(s *scene) {
		s.want(wire.OK, s.reader(wire.Acquire, "1", time.Minute))
		s.want(wire.Held, s.writer(wire.Acquire, "9", time.Second)) // a TryLock does not
		s.want(wire.OK, s.reader(wire.Acquire, "2", time.Minute))
		open := s.want(wire.Held, s.writer(wire.Acquire, "9", time.Second))
		s.want(wire.Held, s.waits(s.writer(wire.Acquire, "3", time.Second), "a", 0))
		closed := s.want(wire.Held, s.reader(wire.Acquire, "4", time.Minute))
		if closed.TTL != 8*time.Second || closed.Fingerprint != open.Fingerprint || closed.Foreign {
			t.Errorf("a reader is refused with %+v, another with %+v", closed, open)
		}
		if reply := s.want(wire.OK, s.reader(wire.Acquire, "2", time.Minute)); !reply.Again {
			t.Error("a share was forgotten")
		}
		s.want(wire.OK, s.reader(wire.Extend, "1", time.Minute))
		s.want(wire.OK, s.reader(wire.Rejoin, "5", time.Minute)) // other nodes have it
		time.Sleep(8 * time.Second)
		s.want(wire.OK, s.reader(wire.Acquire, "4", time.Minute))

		poll := s.writer(wire.Acquire, "3", time.Second)
		poll.Queue = s.keys.Queue
		s.want(wire.Held, poll)
		if reply := s.want(wire.Held, s.reader(wire.Acquire, "6", time.Minute)); reply.TTL != time.Second {
			t.Errorf("one who polls keeps readers out for %v", reply.TTL)
		}
		s.wantTold("")
	})
}

func TestTheLastReaderPassesTheLockOn(t *testing.T) {
	t.Parallel()
	withMaster(t, func(s *scene) {
		s.want(wire.OK, s.reader(wire.Acquire, "1", time.Minute))
		s.want(wire.OK, s.reader(wire.Acquire, "2", time.Hour))
		s.want(wire.Held, s.waits(s.writer(wire.Acquire, "3", time.Minute), "a", 0))
		s.want(wire.Held, s.waits(s.reader(wire.Acquire, "4", time.Minute), "b", 1))
		s.want(wire.OK, s.releases("2"))
		s.wantTold("a: next in 1m0s, b's reader: next in 1m0.02s") // in case the other has crashed
		s.want(wire.OK, s.releases("1"))
		s.wantTold("a: go, b's reader: next in 20ms")
		s.want(wire.Held, s.reader(wire.Acquire, "5", time.Minute)) // it is reserved
		s.want(wire.OK, s.waits(s.writer(wire.Acquire, "3", time.Minute), "a", 0))
		release := s.writer(wire.Release, "3", 0)
		release.Queue = s.keys.Queue
		s.want(wire.OK, release)
		s.wantTold("b's reader: go")
		s.want(wire.OK, s.waits(s.reader(wire.Acquire, "4", time.Minute), "b", 1))
	})
}

// The first reader lets in the readers behind it, up to the first waiter of another kind that
// listens. That one is told to ask, and thereby to keep further readers out.
func TestAReaderLetsInThoseBehindItInTheQueue(t *testing.T) {
	t.Parallel()
	withMaster(t, func(s *scene) {
		s.want(wire.OK, s.writer(wire.Acquire, "1", time.Minute))
		s.want(wire.Held, s.waits(s.reader(wire.Acquire, "2", time.Minute), "a", 0))
		s.want(wire.Held, s.waits(s.writer(wire.Acquire, "3", time.Minute), "dead", 1))
		s.want(wire.Held, s.waits(s.reader(wire.Acquire, "4", time.Minute), "b", 2))
		s.want(wire.Held, s.waits(s.writer(wire.Acquire, "5", time.Minute), "b", 3))
		s.want(wire.Held, s.waits(s.reader(wire.Acquire, "6", time.Minute), "c", 4))
		release := s.writer(wire.Release, "1", 0)
		release.Queue = s.keys.Queue
		s.want(wire.OK, release)
		s.wantTold("a's reader: go")
		s.want(wire.OK, s.waits(s.reader(wire.Acquire, "2", time.Minute), "a", 0))
		s.wantTold("b's reader: go, b: ask")
		s.want(wire.OK, s.reader(wire.Acquire, "7", time.Minute)) // it has not asked yet
		s.want(wire.Held, s.waits(s.writer(wire.Acquire, "5", time.Minute), "b", 3))
		s.want(wire.Held, s.reader(wire.Acquire, "8", time.Minute))
	})
}

// When a waiter leaves that kept readers out, those behind it go on at once.
func TestAWaiterThatLeavesLetsReadersInAgain(t *testing.T) {
	t.Parallel()
	for name, ticket := range map[string]bool{"with its ticket": true, "told that readers have the lock": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withMaster(t, func(s *scene) {
				s.want(wire.OK, s.reader(wire.Acquire, "1", time.Minute))
				wait := s.waits(s.writer(wire.Acquire, "3", time.Minute), "a", 0)
				s.want(wire.Held, wait)
				s.want(wire.Held, s.waits(s.reader(wire.Acquire, "4", time.Minute), "b", 1))
				leave := &wire.Request{Verb: wire.Leave, Lock: s.keys.Lock, Queue: s.keys.Queue, Inbox: wait.Inbox, Reserve: time.Second}
				if ticket {
					leave.Ticket = wait.Ticket
				}
				s.want(wire.OK, leave)
				s.wantTold("b's reader: go")
				s.want(wire.OK, s.reader(wire.Acquire, "4", time.Minute))
				s.want(wire.OK, s.releases("1"))
				s.want(wire.OK, s.releases("4"))
				s.wantTold("") // it has left the queue
			})
		})
	}
}

// A waiter keeps out those that came after it, and not those that came before it.
func TestAWaiterLetsReadersInThatHaveWaitedLonger(t *testing.T) {
	t.Parallel()
	withMaster(t, func(s *scene) {
		s.want(wire.OK, s.reader(wire.Acquire, "1", time.Minute))
		first := s.waits(s.writer(wire.Acquire, "2", time.Second), "a", 1)
		s.want(wire.Held, first)
		early, late := s.waits(s.reader(wire.Acquire, "3", time.Minute), "b", 2), s.waits(s.reader(wire.Acquire, "5", time.Minute), "a", 4)
		second := s.waits(s.writer(wire.Acquire, "4", time.Second), "b", 3)
		s.want(wire.Held, early)
		pass := func(d time.Duration) {
			time.Sleep(d)
			for _, r := range []*wire.Request{early, late, second} {
				r.Age += d
			}
		}
		pass(2 * time.Second)
		s.want(wire.Held, second) // the earlier one goes on to keep readers out
		if reply := s.want(wire.Held, early); reply.TTL != 6*time.Second {
			t.Errorf("a second waiter keeps readers out for %v", reply.TTL)
		}
		s.want(wire.OK, &wire.Request{Verb: wire.Leave, Lock: s.keys.Lock, Queue: s.keys.Queue, Inbox: first.Inbox, Ticket: first.Ticket, Reserve: time.Second})
		s.want(wire.Held, second)
		s.want(wire.Held, late)
		s.want(wire.Held, s.reader(wire.Acquire, "6", time.Minute)) // it does not wait
		s.want(wire.OK, early)

		poll := s.writer(wire.Acquire, "7", time.Second)
		poll.Queue = s.keys.Queue
		s.want(wire.Held, poll)
		pass(8 * time.Second) // now the poller is the first
		s.want(wire.Held, poll)
		s.want(wire.OK, late)
	})
}

// A waiter that leaves lets in nobody that an earlier one keeps out.
func TestAWaiterThatLeavesLetsNoReaderPassAnEarlierOne(t *testing.T) {
	t.Parallel()
	withMaster(t, func(s *scene) {
		s.want(wire.OK, s.reader(wire.Acquire, "1", time.Minute))
		s.want(wire.Held, s.waits(s.writer(wire.Acquire, "2", time.Second), "a", 1))
		second := s.waits(s.writer(wire.Acquire, "3", time.Second), "b", 2)
		s.want(wire.Held, second)
		s.want(wire.OK, &wire.Request{Verb: wire.Leave, Lock: s.keys.Lock, Queue: s.keys.Queue, Inbox: second.Inbox, Ticket: second.Ticket, Reserve: time.Second})
		s.want(wire.Held, s.reader(wire.Acquire, "4", time.Minute))
		s.wantTold("a: ask")
	})
}

// A reader's token is the register's value, which a reader never raises; one that is missing begins
// at the node's clock.
func TestAReaderReadsTheFencingRegister(t *testing.T) {
	t.Parallel()
	withMaster(t, func(s *scene) {
		first := s.want(wire.OK, s.reader(wire.Acquire, "1", time.Minute))
		if now := uint64(time.Now().UnixMicro()); first.Token != now {
			t.Errorf("a missing register begins at %d, not %d", first.Token, now)
		}
		if second := s.want(wire.OK, s.reader(wire.Acquire, "2", time.Minute)); second.Token != first.Token {
			t.Errorf("the next reader's is %d, not %d", second.Token, first.Token)
		}
		s.want(wire.OK, s.releases("1"))
		s.want(wire.OK, s.releases("2"))
		writer := s.want(wire.OK, s.writer(wire.Acquire, "3", time.Minute))
		if writer.Token <= first.Token {
			t.Errorf("the writer's is %d after %d", writer.Token, first.Token)
		}
		s.want(wire.OK, s.writer(wire.Release, "3", 0))
		if reply := s.want(wire.OK, s.reader(wire.Acquire, "4", time.Minute)); reply.Token != writer.Token {
			t.Errorf("the reader's after it is %d, not %d", reply.Token, writer.Token)
		}
		repair := s.reader(wire.Repair, "4", 0)
		repair.Token = writer.Token + 5
		s.want(wire.OK, repair)
		if reply := s.want(wire.OK, s.reader(wire.Acquire, "5", time.Minute)); reply.Token != repair.Token {
			t.Errorf("after a repair it is %d, not %d", reply.Token, repair.Token)
		}
		repair.Token--
		s.want(wire.Raised, repair)
		s.master.Set(s.keys.Fence, "foreign", 0)
		s.want(wire.Refused, s.reader(wire.Acquire, "6", time.Minute))
		s.want(wire.Gone, s.reader(wire.Extend, "6", time.Minute))
	})
}

// A restarted master shares nothing for the longest TTL, and what readers get after that is not
// older than the restart.
func TestTheGuardKeepsReadersOutToo(t *testing.T) {
	t.Parallel()
	withMaster(t, func(s *scene) {
		guarded := func(v wire.Verb) *wire.Request {
			r := s.reader(v, "1", time.Second)
			r.Guard = time.Second
			return r
		}
		s.want(wire.Quarantined, guarded(wire.Acquire))
		s.want(wire.Quarantined, guarded(wire.Rejoin))
		s.want(wire.Quarantined, guarded(wire.Repair))
		s.master.Set(s.keys.Fence, "5", time.Hour) // older data
		restarted := uint64(time.Now().UnixMicro())
		time.Sleep(2 * time.Second)
		if reply := s.want(wire.OK, guarded(wire.Acquire)); reply.Token <= restarted {
			t.Errorf("the token is %d, the restart was at %d", reply.Token, restarted)
		}
	})
}

// Under a minimum hold a share goes on as nobody's.
func TestAShareWithAMinimumHoldGoesOn(t *testing.T) {
	t.Parallel()
	withMaster(t, func(s *scene) {
		s.want(wire.OK, s.reader(wire.Acquire, "1", time.Minute))
		s.want(wire.OK, s.reader(wire.Acquire, "2", 2*time.Second))
		s.want(wire.Held, s.waits(s.writer(wire.Acquire, "3", time.Minute), "a", 0))
		release := s.releases("1")
		release.TTL = 5 * time.Second
		s.want(wire.OK, release)
		s.wantTold("a: next in 5s")
		s.want(wire.Gone, s.reader(wire.Extend, "1", time.Minute))
		s.want(wire.OK, s.releases("2"))
		if reply := s.want(wire.Held, s.writer(wire.Acquire, "9", time.Minute)); reply.TTL != 5*time.Second || reply.Holder != "host/1" {
			t.Errorf("%+v", reply)
		}
		time.Sleep(5 * time.Second)
		s.want(wire.OK, s.writer(wire.Acquire, "3", time.Minute))
	})
}

func TestInspectTellsTheReaders(t *testing.T) {
	t.Parallel()
	withMaster(t, func(s *scene) {
		s.want(wire.OK, s.reader(wire.Acquire, "1", time.Minute))
		s.want(wire.OK, s.reader(wire.Acquire, "2", time.Second))
		s.want(wire.OK, s.reader(wire.Acquire, "3", time.Hour))
		time.Sleep(time.Second)
		reply := s.want(wire.OK, s.reader(wire.Inspect, "1", 0))
		if reply.Holder != "host/3" || reply.TTL != time.Hour-time.Second || len(reply.Readers) != 2 {
			t.Fatalf("%+v", reply)
		}
		if r := reply.Readers[0]; r.Holder != "host/1" || r.TTL != 59*time.Second || len(r.Fingerprint) != 16 {
			t.Errorf("%+v", r)
		}
		s.want(wire.OK, s.releases("1"))
		s.want(wire.OK, s.releases("3"))
		if reply := s.want(wire.OK, s.reader(wire.Inspect, "1", 0)); reply.Fingerprint != "" || len(reply.Readers) > 0 {
			t.Errorf("after that: %+v", reply)
		}
	})
}

// What another program puts in the place of a shared lock is never touched by its readers.
func TestReadersDoNotTouchAForeignValue(t *testing.T) {
	t.Parallel()
	withMaster(t, func(s *scene) {
		s.want(wire.OK, s.reader(wire.Acquire, "1", time.Minute))
		s.master.Set(s.keys.Lock, "foreign", time.Minute)
		s.want(wire.Gone, s.reader(wire.Extend, "1", time.Minute))
		s.want(wire.Gone, s.reader(wire.Repair, "1", time.Minute))
		s.want(wire.Gone, s.releases("1"))
		s.want(wire.Held, s.reader(wire.Rejoin, "1", time.Minute))
		if reply := s.want(wire.Held, s.reader(wire.Acquire, "2", time.Minute)); !reply.Foreign {
			t.Errorf("%+v", reply)
		}
		s.master.Delete(s.keys.Lock)
		s.want(wire.OK, s.reader(wire.Acquire, "2", time.Second))
		s.want(wire.Gone, s.reader(wire.Extend, "1", time.Minute)) // its share was of another time
	})
}
