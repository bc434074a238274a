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

// A desk is a master, and the inboxes of processes that listen to it.
type desk struct {
	*testing.T
	master *memnode.Node
	keys   wire.KeySet

	mu    sync.Mutex
	heard []string
}

// atDesk runs the test with a new master, in virtual time. The processes a and b listen.
func atDesk(t *testing.T, test func(*desk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		keys, err := wire.Keys("", "file")
		if err != nil {
			t.Fatal(err)
		}
		d := &desk{T: t, master: memnode.New("1"), keys: keys}
		ctx, cancel := context.WithCancel(t.Context())
		var listeners sync.WaitGroup
		for _, process := range []string{"a", "b"} {
			listeners.Go(func() {
				_ = d.master.Listen(ctx, wire.InboxPrefix+process, func() {}, func(n wire.Notice) { d.note(process, n) })
			})
		}
		synctest.Wait()
		test(d)
		cancel()
		listeners.Wait()
	})
}

func (d *desk) note(process string, n wire.Notice) {
	d.mu.Lock()
	defer d.mu.Unlock()
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
	d.heard = append(d.heard, process+": "+what)
}

// told returns what the inboxes have heard since the last call, sorted.
func (d *desk) told() string {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	heard := d.heard
	d.heard = nil
	slices.Sort(heard)
	return strings.Join(heard, ", ")
}

func (d *desk) wantTold(want string) {
	d.Helper()
	if got := d.told(); got != want {
		d.Errorf("told was %q, not %q", got, want)
	}
}

// do carries a request out.
func (d *desk) do(r *wire.Request) wire.Reply {
	calls := []wire.Call{{Request: r}}
	d.master.Do(d.Context(), calls)
	return calls[0].Reply
}

func (d *desk) want(v wire.Verdict, r *wire.Request) wire.Reply {
	d.Helper()
	reply := d.do(r)
	if reply.Verdict != v {
		d.Errorf("%v is %v (%v), not %v", r.Verb, reply.Verdict, reply.Err, v)
	}
	return reply
}

// reader makes a reader's request; id is a digit.
func (d *desk) reader(v wire.Verb, id string, ttl time.Duration) *wire.Request {
	r := d.writer(v, id, ttl)
	r.Readers = d.keys.Readers
	return r
}

func (d *desk) writer(v wire.Verb, id string, ttl time.Duration) *wire.Request {
	return &wire.Request{
		Verb: v, Lock: d.keys.Lock, Fence: d.keys.Fence, Owner: strings.Repeat(id, 32) + ":host/" + id, TTL: ttl, Retention: time.Hour,
		Token: uint64(time.Now().UnixMicro()), Reserve: 20 * time.Millisecond,
	}
}

// waits makes the request one of a waiter of that process.
func (d *desk) waits(r *wire.Request, process string, ticket uint64) *wire.Request {
	r.Queue, r.Inbox = d.keys.Queue, wire.InboxPrefix+process
	if r.Readers != "" {
		r.Inbox = wire.ReadersInbox(r.Inbox)
	}
	r.Ticket = uint64(time.Now().UnixMicro()) + ticket
	return r
}

// releases is the release of a share, which passes the lock on.
func (d *desk) releases(id string) *wire.Request {
	r := d.reader(wire.Release, id, 0)
	r.Queue = d.keys.Queue
	return r
}

func TestReadersHaveALockTogetherAndNobodyElseHasItMeanwhile(t *testing.T) {
	t.Parallel()
	atDesk(t, func(d *desk) {
		d.want(wire.OK, d.reader(wire.Acquire, "1", time.Second))
		d.want(wire.OK, d.reader(wire.Acquire, "2", time.Second))
		if reply := d.want(wire.OK, d.reader(wire.Acquire, "2", time.Second)); !reply.Again {
			t.Error("a share that was taken before is granted as if it were new")
		}
		held := d.want(wire.Held, d.writer(wire.Acquire, "3", time.Second))
		if held.Foreign || held.Holder != "host/2" || held.TTL != time.Second {
			t.Errorf("the refusal is %+v", held)
		}
		d.want(wire.Held, d.writer(wire.Rejoin, "3", time.Second))
		d.want(wire.OK, d.reader(wire.Release, "1", 0))
		d.want(wire.Gone, d.reader(wire.Release, "1", 0))
		d.want(wire.Held, d.writer(wire.Acquire, "3", time.Second))
		d.want(wire.OK, d.reader(wire.Release, "2", 0))
		d.want(wire.OK, d.writer(wire.Acquire, "3", time.Second))
		d.want(wire.Held, d.reader(wire.Acquire, "1", time.Second))
	})
}

// Each reader's share is its own: neither another reader's shorter one ends it, nor another's
// longer one prolongs it.
func TestALockIsSharedUntilTheLongestShareEnds(t *testing.T) {
	t.Parallel()
	atDesk(t, func(d *desk) {
		d.want(wire.OK, d.reader(wire.Acquire, "1", 10*time.Second))
		d.want(wire.OK, d.reader(wire.Acquire, "2", time.Second)) // which crashes
		d.want(wire.OK, d.reader(wire.Extend, "2", 2*time.Second))
		time.Sleep(2 * time.Second)
		d.want(wire.Gone, d.reader(wire.Extend, "2", time.Second))
		d.want(wire.Gone, d.reader(wire.Repair, "2", time.Second))
		d.want(wire.Gone, d.reader(wire.Release, "2", 0))
		d.want(wire.Held, d.writer(wire.Acquire, "3", time.Second))
		d.want(wire.OK, d.reader(wire.Extend, "1", 10*time.Second))
		d.want(wire.OK, d.reader(wire.Acquire, "4", 3*time.Second)) // which crashes too
		d.want(wire.OK, d.reader(wire.Release, "1", 0))
		if reply := d.want(wire.Held, d.writer(wire.Acquire, "3", time.Second)); reply.TTL != 3*time.Second {
			t.Errorf("the lock lasts %v", reply.TTL)
		}
		time.Sleep(3 * time.Second)
		d.want(wire.OK, d.writer(wire.Acquire, "3", time.Second))
	})
}

// A waiter keeps further readers out while it waits, and no longer than eight seconds.
func TestAWaiterKeepsFurtherReadersOut(t *testing.T) {
	t.Parallel()
	atDesk(t, func(d *desk) {
		d.want(wire.OK, d.reader(wire.Acquire, "1", time.Minute))
		d.want(wire.Held, d.writer(wire.Acquire, "9", time.Second)) // a TryLock does not
		d.want(wire.OK, d.reader(wire.Acquire, "2", time.Minute))
		open := d.want(wire.Held, d.writer(wire.Acquire, "9", time.Second))
		d.want(wire.Held, d.waits(d.writer(wire.Acquire, "3", time.Second), "a", 0))
		closed := d.want(wire.Held, d.reader(wire.Acquire, "4", time.Minute))
		if closed.TTL != 8*time.Second || closed.Fingerprint != open.Fingerprint || closed.Foreign {
			t.Errorf("a reader is refused with %+v, another with %+v", closed, open)
		}
		if reply := d.want(wire.OK, d.reader(wire.Acquire, "2", time.Minute)); !reply.Again {
			t.Error("a share was forgotten")
		}
		d.want(wire.OK, d.reader(wire.Extend, "1", time.Minute))
		d.want(wire.OK, d.reader(wire.Rejoin, "5", time.Minute)) // other nodes have it
		time.Sleep(8 * time.Second)
		d.want(wire.OK, d.reader(wire.Acquire, "4", time.Minute))

		poll := d.writer(wire.Acquire, "3", time.Second)
		poll.Queue = d.keys.Queue
		d.want(wire.Held, poll)
		if reply := d.want(wire.Held, d.reader(wire.Acquire, "6", time.Minute)); reply.TTL != time.Second {
			t.Errorf("one who polls keeps readers out for %v", reply.TTL)
		}
		d.wantTold("")
	})
}

func TestTheLastReaderPassesTheLockOn(t *testing.T) {
	t.Parallel()
	atDesk(t, func(d *desk) {
		d.want(wire.OK, d.reader(wire.Acquire, "1", time.Minute))
		d.want(wire.OK, d.reader(wire.Acquire, "2", time.Hour))
		d.want(wire.Held, d.waits(d.writer(wire.Acquire, "3", time.Minute), "a", 0))
		d.want(wire.Held, d.waits(d.reader(wire.Acquire, "4", time.Minute), "b", 1))
		d.want(wire.OK, d.releases("2"))
		d.wantTold("a: next in 1m0s, b's reader: next in 1m0.02s") // in case the other has crashed
		d.want(wire.OK, d.releases("1"))
		d.wantTold("a: go, b's reader: next in 20ms")
		d.want(wire.Held, d.reader(wire.Acquire, "5", time.Minute)) // it is reserved
		d.want(wire.OK, d.waits(d.writer(wire.Acquire, "3", time.Minute), "a", 0))
		release := d.writer(wire.Release, "3", 0)
		release.Queue = d.keys.Queue
		d.want(wire.OK, release)
		d.wantTold("b's reader: go")
		d.want(wire.OK, d.waits(d.reader(wire.Acquire, "4", time.Minute), "b", 1))
	})
}

// The first reader lets in the readers behind it, up to the first waiter of another kind that
// listens. That one is told to ask, and thereby to keep further readers out.
func TestAReaderLetsInThoseBehindItInTheQueue(t *testing.T) {
	t.Parallel()
	atDesk(t, func(d *desk) {
		d.want(wire.OK, d.writer(wire.Acquire, "1", time.Minute))
		d.want(wire.Held, d.waits(d.reader(wire.Acquire, "2", time.Minute), "a", 0))
		d.want(wire.Held, d.waits(d.writer(wire.Acquire, "3", time.Minute), "dead", 1))
		d.want(wire.Held, d.waits(d.reader(wire.Acquire, "4", time.Minute), "b", 2))
		d.want(wire.Held, d.waits(d.writer(wire.Acquire, "5", time.Minute), "b", 3))
		d.want(wire.Held, d.waits(d.reader(wire.Acquire, "6", time.Minute), "c", 4))
		release := d.writer(wire.Release, "1", 0)
		release.Queue = d.keys.Queue
		d.want(wire.OK, release)
		d.wantTold("a's reader: go")
		d.want(wire.OK, d.waits(d.reader(wire.Acquire, "2", time.Minute), "a", 0))
		d.wantTold("b's reader: go, b: ask")
		d.want(wire.OK, d.reader(wire.Acquire, "7", time.Minute)) // it has not asked yet
		d.want(wire.Held, d.waits(d.writer(wire.Acquire, "5", time.Minute), "b", 3))
		d.want(wire.Held, d.reader(wire.Acquire, "8", time.Minute))
	})
}

// When a waiter leaves that kept readers out, those behind it go on at once.
func TestAWaiterThatLeavesLetsReadersInAgain(t *testing.T) {
	t.Parallel()
	for name, ticket := range map[string]bool{"with its ticket": true, "told that readers have the lock": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			atDesk(t, func(d *desk) {
				d.want(wire.OK, d.reader(wire.Acquire, "1", time.Minute))
				wait := d.waits(d.writer(wire.Acquire, "3", time.Minute), "a", 0)
				d.want(wire.Held, wait)
				d.want(wire.Held, d.waits(d.reader(wire.Acquire, "4", time.Minute), "b", 1))
				leave := &wire.Request{Verb: wire.Leave, Lock: d.keys.Lock, Queue: d.keys.Queue, Inbox: wait.Inbox, Reserve: time.Second}
				if ticket {
					leave.Ticket = wait.Ticket
				}
				d.want(wire.OK, leave)
				d.wantTold("b's reader: go")
				d.want(wire.OK, d.reader(wire.Acquire, "4", time.Minute))
				d.want(wire.OK, d.releases("1"))
				d.want(wire.OK, d.releases("4"))
				d.wantTold("") // it has left the queue
			})
		})
	}
}

// A waiter keeps out those that came after it, and not those that came before it.
func TestAWaiterLetsReadersInThatHaveWaitedLonger(t *testing.T) {
	t.Parallel()
	atDesk(t, func(d *desk) {
		d.want(wire.OK, d.reader(wire.Acquire, "1", time.Minute))
		first := d.waits(d.writer(wire.Acquire, "2", time.Second), "a", 1)
		d.want(wire.Held, first)
		early, late := d.waits(d.reader(wire.Acquire, "3", time.Minute), "b", 2), d.waits(d.reader(wire.Acquire, "5", time.Minute), "a", 4)
		second := d.waits(d.writer(wire.Acquire, "4", time.Second), "b", 3)
		d.want(wire.Held, early)
		pass := func(d time.Duration) {
			time.Sleep(d)
			for _, r := range []*wire.Request{early, late, second} {
				r.Age += d
			}
		}
		pass(2 * time.Second)
		d.want(wire.Held, second) // the earlier one goes on to keep readers out
		if reply := d.want(wire.Held, early); reply.TTL != 6*time.Second {
			t.Errorf("a second waiter keeps readers out for %v", reply.TTL)
		}
		d.want(wire.OK, &wire.Request{Verb: wire.Leave, Lock: d.keys.Lock, Queue: d.keys.Queue, Inbox: first.Inbox, Ticket: first.Ticket, Reserve: time.Second})
		d.want(wire.Held, second)
		d.want(wire.Held, late)
		d.want(wire.Held, d.reader(wire.Acquire, "6", time.Minute)) // it does not wait
		d.want(wire.OK, early)

		poll := d.writer(wire.Acquire, "7", time.Second)
		poll.Queue = d.keys.Queue
		d.want(wire.Held, poll)
		pass(8 * time.Second) // now the poller is the first
		d.want(wire.Held, poll)
		d.want(wire.OK, late)
	})
}

// A waiter that leaves lets in nobody that an earlier one keeps out.
func TestAWaiterThatLeavesLetsNoReaderPassAnEarlierOne(t *testing.T) {
	t.Parallel()
	atDesk(t, func(d *desk) {
		d.want(wire.OK, d.reader(wire.Acquire, "1", time.Minute))
		d.want(wire.Held, d.waits(d.writer(wire.Acquire, "2", time.Second), "a", 1))
		second := d.waits(d.writer(wire.Acquire, "3", time.Second), "b", 2)
		d.want(wire.Held, second)
		d.want(wire.OK, &wire.Request{Verb: wire.Leave, Lock: d.keys.Lock, Queue: d.keys.Queue, Inbox: second.Inbox, Ticket: second.Ticket, Reserve: time.Second})
		d.want(wire.Held, d.reader(wire.Acquire, "4", time.Minute))
		d.wantTold("a: ask")
	})
}

// A reader's token is the register's value, which a reader never raises; one that is missing begins
// at the node's clock.
func TestAReaderReadsTheFencingRegister(t *testing.T) {
	t.Parallel()
	atDesk(t, func(d *desk) {
		first := d.want(wire.OK, d.reader(wire.Acquire, "1", time.Minute))
		if now := uint64(time.Now().UnixMicro()); first.Token != now {
			t.Errorf("a missing register begins at %d, not %d", first.Token, now)
		}
		if second := d.want(wire.OK, d.reader(wire.Acquire, "2", time.Minute)); second.Token != first.Token {
			t.Errorf("the next reader's is %d, not %d", second.Token, first.Token)
		}
		d.want(wire.OK, d.releases("1"))
		d.want(wire.OK, d.releases("2"))
		writer := d.want(wire.OK, d.writer(wire.Acquire, "3", time.Minute))
		if writer.Token <= first.Token {
			t.Errorf("the writer's is %d after %d", writer.Token, first.Token)
		}
		d.want(wire.OK, d.writer(wire.Release, "3", 0))
		if reply := d.want(wire.OK, d.reader(wire.Acquire, "4", time.Minute)); reply.Token != writer.Token {
			t.Errorf("the reader's after it is %d, not %d", reply.Token, writer.Token)
		}
		repair := d.reader(wire.Repair, "4", 0)
		repair.Token = writer.Token + 5
		d.want(wire.OK, repair)
		if reply := d.want(wire.OK, d.reader(wire.Acquire, "5", time.Minute)); reply.Token != repair.Token {
			t.Errorf("after a repair it is %d, not %d", reply.Token, repair.Token)
		}
		repair.Token--
		d.want(wire.Raised, repair)
		d.master.Set(d.keys.Fence, "foreign", 0)
		d.want(wire.Refused, d.reader(wire.Acquire, "6", time.Minute))
		d.want(wire.Gone, d.reader(wire.Extend, "6", time.Minute))
	})
}

// A restarted master shares nothing for the longest TTL, and what readers get after that is not
// older than the restart.
func TestTheGuardKeepsReadersOutToo(t *testing.T) {
	t.Parallel()
	atDesk(t, func(d *desk) {
		guarded := func(v wire.Verb) *wire.Request {
			r := d.reader(v, "1", time.Second)
			r.Guard = time.Second
			return r
		}
		d.want(wire.Quarantined, guarded(wire.Acquire))
		d.want(wire.Quarantined, guarded(wire.Rejoin))
		d.want(wire.Quarantined, guarded(wire.Repair))
		d.master.Set(d.keys.Fence, "5", time.Hour) // older data
		restarted := uint64(time.Now().UnixMicro())
		time.Sleep(2 * time.Second)
		if reply := d.want(wire.OK, guarded(wire.Acquire)); reply.Token <= restarted {
			t.Errorf("the token is %d, the restart was at %d", reply.Token, restarted)
		}
	})
}

// Under a minimum hold a share goes on as nobody's.
func TestAShareWithAMinimumHoldGoesOn(t *testing.T) {
	t.Parallel()
	atDesk(t, func(d *desk) {
		d.want(wire.OK, d.reader(wire.Acquire, "1", time.Minute))
		d.want(wire.OK, d.reader(wire.Acquire, "2", 2*time.Second))
		d.want(wire.Held, d.waits(d.writer(wire.Acquire, "3", time.Minute), "a", 0))
		release := d.releases("1")
		release.TTL = 5 * time.Second
		d.want(wire.OK, release)
		d.wantTold("a: next in 5s")
		d.want(wire.Gone, d.reader(wire.Extend, "1", time.Minute))
		d.want(wire.OK, d.releases("2"))
		if reply := d.want(wire.Held, d.writer(wire.Acquire, "9", time.Minute)); reply.TTL != 5*time.Second || reply.Holder != "host/1" {
			t.Errorf("%+v", reply)
		}
		time.Sleep(5 * time.Second)
		d.want(wire.OK, d.writer(wire.Acquire, "3", time.Minute))
	})
}

func TestInspectTellsTheReaders(t *testing.T) {
	t.Parallel()
	atDesk(t, func(d *desk) {
		d.want(wire.OK, d.reader(wire.Acquire, "1", time.Minute))
		d.want(wire.OK, d.reader(wire.Acquire, "2", time.Second))
		d.want(wire.OK, d.reader(wire.Acquire, "3", time.Hour))
		time.Sleep(time.Second)
		reply := d.want(wire.OK, d.reader(wire.Inspect, "1", 0))
		if reply.Holder != "host/3" || reply.TTL != time.Hour-time.Second || len(reply.Readers) != 2 {
			t.Fatalf("%+v", reply)
		}
		if r := reply.Readers[0]; r.Holder != "host/1" || r.TTL != 59*time.Second || len(r.Fingerprint) != 16 {
			t.Errorf("%+v", r)
		}
		d.want(wire.OK, d.releases("1"))
		d.want(wire.OK, d.releases("3"))
		if reply := d.want(wire.OK, d.reader(wire.Inspect, "1", 0)); reply.Fingerprint != "" || len(reply.Readers) > 0 {
			t.Errorf("after that: %+v", reply)
		}
	})
}

// What another program puts in the place of a shared lock is never touched by its readers.
func TestReadersDoNotTouchAForeignValue(t *testing.T) {
	t.Parallel()
	atDesk(t, func(d *desk) {
		d.want(wire.OK, d.reader(wire.Acquire, "1", time.Minute))
		d.master.Set(d.keys.Lock, "foreign", time.Minute)
		d.want(wire.Gone, d.reader(wire.Extend, "1", time.Minute))
		d.want(wire.Gone, d.reader(wire.Repair, "1", time.Minute))
		d.want(wire.Gone, d.releases("1"))
		d.want(wire.Held, d.reader(wire.Rejoin, "1", time.Minute))
		if reply := d.want(wire.Held, d.reader(wire.Acquire, "2", time.Minute)); !reply.Foreign {
			t.Errorf("%+v", reply)
		}
		d.master.Delete(d.keys.Lock)
		d.want(wire.OK, d.reader(wire.Acquire, "2", time.Second))
		d.want(wire.Gone, d.reader(wire.Extend, "1", time.Minute)) // its share was of another time
	})
}
