package redlock_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/memnode"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

var (
	errRefused = errors.New("connection refused")
	errTimeout = os.ErrDeadlineExceeded
)

// A cluster is n in-process masters, with a tap before each.
type cluster struct {
	taps []*tap

	mu     sync.Mutex
	ids    map[string]bool // owner ids that were sent
	halted map[string]chan struct{}
}

func newCluster(n int) *cluster {
	c := &cluster{ids: make(map[string]bool), halted: make(map[string]chan struct{})}
	for i := range n {
		c.taps = append(c.taps, &tap{
			cluster: c, addr: fmt.Sprintf("node%d:6379", i), master: memnode.New(fmt.Sprintf("node%d:6379", i)),
			sentOf:    make(map[wire.Verb]int),
			latencies: make(map[string]time.Duration), slowness: make(map[wire.Verb]time.Duration), lossOf: make(map[wire.Verb]int), denied: make(map[wire.Verb]error),
			cutOff: make(map[string]bool), subs: make(map[*subscription]bool),
		})
	}
	return c
}

func (c *cluster) nodes() []pool.Node { return asNodes(c.taps) }

// locker makes a Locker that is closed at the end of the test.
func (c *cluster) locker(t *testing.T, opts ...redlock.Option) *redlock.Locker {
	t.Helper()
	return c.lockerAs(t, "", opts...)
}

func (c *cluster) lockers(t *testing.T, n int, opts ...redlock.Option) (lockers []*redlock.Locker) {
	t.Helper()
	for range n {
		lockers = append(lockers, c.locker(t, opts...))
	}
	return lockers
}

// lockerAs makes a Locker whose requests the taps know by a name.
func (c *cluster) lockerAs(t *testing.T, who string, opts ...redlock.Option) *redlock.Locker {
	t.Helper()
	var nodes []pool.Node
	for _, tap := range c.taps {
		nodes = append(nodes, wire.Seal(&view{tap: tap, addr: tap.addr, who: who}))
	}
	l, err := redlock.New(nodes, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.thaw(nodesFrom(0, len(c.taps))...)
		c.heal()
		if err := l.Close(context.Background()); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v", err)
		}
	})
	return l
}

func (c *cluster) each(nodes []int, f func(*tap)) {
	synctest.Wait()
	for _, i := range nodes {
		f(c.taps[i])
	}
}

func (c *cluster) freeze(nodes ...int) { c.each(nodes, (*tap).freeze) }
func (c *cluster) thaw(nodes ...int)   { c.each(nodes, (*tap).thaw) }
func (c *cluster) refuse(nodes ...int) { c.each(nodes, (*tap).refuse) }

func (c *cluster) heal() { c.each(nodesFrom(0, len(c.taps)), (*tap).heal) }

// latency sets how long a round trip to any node takes.
func (c *cluster) latency(d time.Duration) {
	for _, tap := range c.taps {
		tap.latency(d)
	}
}

// jitter makes each round trip take a random time up to d.
func (c *cluster) jitter(d time.Duration) {
	for _, tap := range c.taps {
		tap.with(func() { tap.random = d })
	}
}

// count returns how many requests of these verbs were sent.
func (c *cluster) count(verbs ...pool.Verb) (n int) {
	synctest.Wait()
	for _, tap := range c.taps {
		for _, v := range verbs {
			n += tap.sent(v)
		}
	}
	return n
}

// requests returns how many requests were sent.
func (c *cluster) requests() (n int) {
	synctest.Wait()
	for _, tap := range c.taps {
		tap.with(func() {
			for _, k := range tap.sentOf {
				n += k
			}
		})
	}
	return n
}

// trips returns how many round trips there were, a subscription counted as one.
func (c *cluster) trips() (n int) {
	for _, tap := range c.taps {
		tap.with(func() { n += tap.tripCount })
	}
	return n
}

// closes returns how often the nodes were signed off from.
func (c *cluster) closes() (n int) {
	for _, tap := range c.taps {
		tap.with(func() { n += tap.closed })
	}
	return n
}

// owners returns all owner ids that were sent.
func (c *cluster) owners() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.ids))
}

// wantNoLocks checks that no lock of ours is left.
func (c *cluster) wantNoLocks(t *testing.T) {
	t.Helper()
	synctest.Wait()
	for i, tap := range c.taps {
		for _, key := range tap.master.Keys() {
			if owner := tap.owner(key); owner != "" && owner != "foreign" && !strings.HasSuffix(key, ":redlock:fence") {
				t.Errorf("node %d has %s left, of %.5s", i, key, owner)
			}
		}
	}
}

// listening returns how many subscriptions there are.
func (c *cluster) listening() (n int) {
	for _, tap := range c.taps {
		tap.with(func() { n += len(tap.subs) })
	}
	return n
}

// deafen has all notices lost.
func (c *cluster) deafen() {
	for _, tap := range c.taps {
		tap.with(func() { tap.deaf = true })
	}
}

// forbidListening has all subscriptions refused.
func (c *cluster) forbidListening(err error) {
	for _, tap := range c.taps {
		tap.with(func() { tap.noListen = err })
	}
}

// breakSubscriptions ends all subscriptions with an error.
func (c *cluster) breakSubscriptions() {
	for _, tap := range c.taps {
		tap.with(func() {
			for s := range tap.subs {
				s.sever()
			}
		})
	}
}

// cut takes a Locker from the network: its requests are lost and its subscriptions end. join brings
// it back.
func (c *cluster) cut(who string) {
	for _, tap := range c.taps {
		tap.with(func() {
			tap.cutOff[who] = true
			for s := range tap.subs {
				if s.who == who {
					s.sever()
				}
			}
		})
	}
}

func (c *cluster) join(who string) {
	for _, tap := range c.taps {
		tap.with(func() { delete(tap.cutOff, who) })
	}
}

// stop has a Locker's requests wait before they are sent, while its subscriptions stay, as of a
// process that is stopped. resume lets it go on.
func (c *cluster) stop(who string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.halted[who] = make(chan struct{})
}

func (c *cluster) resume(who string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.halted[who])
	delete(c.halted, who)
}

// A tap carries requests to a master, with faults on the way.
type tap struct {
	cluster *cluster
	addr    string
	master  *memnode.Node

	mu                sync.Mutex
	sentOf            map[wire.Verb]int
	tripCount, closed int
	latencies         map[string]time.Duration // by Locker; "" is everybody else's
	random            time.Duration
	slowness          map[wire.Verb]time.Duration
	lossOf            map[wire.Verb]int // replies to be lost
	denied            map[wire.Verb]error
	deniedLock        string // the only one for which they are; "": all
	refused           bool
	frozen            bool
	backlog           []func()
	cutOff            map[string]bool
	deaf              bool
	noListen          error
	subs              map[*subscription]bool
}

type subscription struct {
	who    string
	broken context.Context //nolint:containedctx // it is a signal
	sever  context.CancelFunc
}

func (n *tap) with(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

func (n *tap) latency(d time.Duration)               { n.latencyOf("", d) }
func (n *tap) latencyOf(who string, d time.Duration) { n.with(func() { n.latencies[who] = d }) }
func (n *tap) slow(v wire.Verb, d time.Duration)     { n.with(func() { n.slowness[v] = d }) }
func (n *tap) dropReply(v wire.Verb, times int)      { n.with(func() { n.lossOf[v] = times }) }

// nil: no longer
func (n *tap) deny(v wire.Verb, why error) { n.with(func() { n.denied[v] = why }) }
func (n *tap) denyLock(name string)        { n.with(func() { n.deniedLock = name }) }
func (n *tap) refuse()                     { n.with(func() { n.refused = true }) }
func (n *tap) heal()                       { n.with(func() { n.refused = false; clear(n.lossOf) }) }
func (n *tap) freeze()                     { n.with(func() { n.frozen = true }) }
func (n *tap) thaw()                       { n.melt(false) }
func (n *tap) thawReversed()               { n.melt(true) }
func (n *tap) restart()                    { n.master.Restart(false) }
func (n *tap) restartKeeping()             { n.master.Restart(true) }
func (n *tap) save()                       { n.master.Save() }
func (n *tap) failBack()                   { n.master.FailBack() }
func (n *tap) alias(addr string) wire.Node { return &view{tap: n, addr: addr} }

// What follows waits until everything is at rest.

// sent and executed return how many requests of that verb were sent to the master, and carried out
// by it.
func (n *tap) sent(v wire.Verb) (k int) {
	synctest.Wait()
	n.with(func() { k = n.sentOf[v] })
	return k
}

func (n *tap) executed(v wire.Verb) (k int) {
	synctest.Wait()
	return n.master.Requests(v)
}

// hold gives the lock to a program of another kind.
func (n *tap) hold(name string, ttl time.Duration) {
	synctest.Wait()
	n.master.Set(name, "foreign", ttl)
}

func (n *tap) del(name string) {
	synctest.Wait()
	n.master.Delete(name)
}

func (n *tap) owner(name string) string {
	synctest.Wait()
	text, _, _ := n.master.Get(name)
	return text
}

// ttl returns the remaining life of the lock's key, and expire sets it.
func (n *tap) ttl(name string) time.Duration {
	synctest.Wait()
	_, life, _ := n.master.Get(name)
	return life
}

func (n *tap) expire(name string, ttl time.Duration) { n.master.Set(name, n.owner(name), ttl) }

// fence returns what the lock's fencing register holds, and setFence sets it.
func (n *tap) fence(name string) string { return n.owner(fenceKey(name)) }

func (n *tap) setFence(name, value string) {
	synctest.Wait()
	n.master.Set(fenceKey(name), value, 0)
}

func fenceKey(name string) string {
	keys, err := wire.Keys("", name)
	if err != nil {
		panic(err)
	}
	return keys.Fence
}

// melt ends the freeze: what was in the socket is executed, in order or, as of several connections,
// in another.
func (n *tap) melt(reversed bool) {
	n.mu.Lock()
	backlog := n.backlog
	n.frozen, n.backlog = false, nil
	n.mu.Unlock()
	if reversed {
		slices.Reverse(backlog)
	}
	for _, f := range backlog {
		f()
	}
}

func (n *tap) Addr() string                              { return n.addr }
func (n *tap) Do(ctx context.Context, calls []wire.Call) { n.carry(ctx, "", calls) }
func (n *tap) Open() func() error {
	return sync.OnceValue(func() error { n.with(func() { n.closed++ }); return nil })
}

func (n *tap) Listen(ctx context.Context, inbox string, ready func(), heard func(wire.Notice)) error {
	return n.listen(ctx, "", inbox, ready, heard)
}

// carry makes one round trip for a Locker.
func (n *tap) carry(ctx context.Context, who string, calls []wire.Call) {
	n.cluster.mu.Lock()
	halted := n.cluster.halted[who]
	n.cluster.mu.Unlock()
	if halted != nil {
		<-halted
	}
	requests := make([]*wire.Request, len(calls))
	var delay time.Duration
	n.mu.Lock()
	n.tripCount++
	for i := range calls {
		r := calls[i].Request
		requests[i] = r
		n.sentOf[r.Verb]++
		delay = max(delay, n.slowness[r.Verb])
	}
	if d, ok := n.latencies[who]; ok {
		delay += d
	} else {
		delay += n.latencies[""]
	}
	if n.random > 0 {
		delay += rand.N(n.random)
	}
	refused, frozen, lost := n.refused, n.frozen, n.cutOff[who]
	n.mu.Unlock()
	n.cluster.note(requests)

	deadline, _ := ctx.Deadline()
	switch {
	case refused:
		fail(calls, wire.Reply{Verdict: wire.Unavailable, Unsent: true, Err: errRefused})
		return
	case lost:
		time.Sleep(time.Until(deadline))
		fail(calls, wire.Reply{Verdict: wire.Unavailable, Err: errTimeout})
		return
	case delay == 0 && !frozen:
		replies, heard := n.execute(requests)
		if heard {
			for i := range calls {
				calls[i].Reply = replies[i]
			}
			return
		}
		time.Sleep(time.Until(deadline))
		fail(calls, wire.Reply{Verdict: wire.Unavailable, Err: errTimeout})
		return
	}
	answers := make(chan []wire.Reply, 1)
	go func() {
		time.Sleep(delay / 2)
		n.whenThawed(func() {
			replies, heard := n.execute(requests)
			if !heard {
				return
			}
			go func() {
				time.Sleep(delay - delay/2)
				answers <- replies
			}()
		})
	}()
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case replies := <-answers:
		for i := range calls {
			calls[i].Reply = replies[i]
		}
	case <-timer.C:
		fail(calls, wire.Reply{Verdict: wire.Unavailable, Err: errTimeout})
	}
}

func fail(calls []wire.Call, with wire.Reply) {
	for i := range calls {
		calls[i].Reply = with
	}
}

// whenThawed runs f now or, on a node that is frozen, when that is over.
func (n *tap) whenThawed(f func()) {
	n.mu.Lock()
	if n.frozen {
		n.backlog = append(n.backlog, f)
		n.mu.Unlock()
		return
	}
	n.mu.Unlock()
	f()
}

// execute has the master execute the requests. It returns false if the replies get lost.
func (n *tap) execute(requests []*wire.Request) (replies []wire.Reply, heard bool) {
	heard = true
	calls := make([]wire.Call, 1)
	for _, r := range requests {
		var denied error
		n.with(func() {
			if n.deniedLock == "" || n.deniedLock == r.Lock {
				denied = n.denied[r.Verb]
			}
			if n.lossOf[r.Verb] > 0 {
				n.lossOf[r.Verb]--
				heard = false
			}
		})
		calls[0] = wire.Call{Request: r, Reply: wire.Reply{Verdict: wire.Refused, Err: denied}}
		if denied == nil {
			n.master.Do(context.Background(), calls)
		}
		replies = append(replies, calls[0].Reply)
	}
	return replies, heard
}

func (n *tap) listen(ctx context.Context, who, inbox string, ready func(), heard func(wire.Notice)) error {
	s := &subscription{who: who}
	s.broken, s.sever = context.WithCancel(context.Background())
	defer s.sever()
	n.mu.Lock()
	n.tripCount++
	delay, err := n.latencies[""], n.noListen
	if n.refused {
		err = errRefused
	}
	if err == nil && (n.frozen || n.cutOff[who]) {
		n.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Second):
			return errTimeout
		}
	}
	n.mu.Unlock()
	time.Sleep(delay)
	if err != nil {
		return err
	}
	n.with(func() { n.subs[s] = true })
	defer n.with(func() { delete(n.subs, s) })
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(s.broken, func() { cancel(errTimeout) })
	defer stop()
	return n.master.Listen(ctx, inbox, ready, func(notice wire.Notice) { //nolint:wrapcheck // it is a Node's
		n.mu.Lock()
		lost, d := n.deaf || n.frozen, n.latencies[""]/2
		n.mu.Unlock()
		time.Sleep(d)
		if ctx.Err() == nil && !lost {
			heard(notice)
		}
	})
}

// note remembers the owner ids.
func (c *cluster) note(requests []*wire.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range requests {
		if r.Owner != "" {
			c.ids[r.Owner] = true
		}
	}
}

// A view is a tap as one Locker sees it.
type view struct {
	tap       *tap
	addr, who string
}

func (v *view) Addr() string                              { return v.addr }
func (v *view) Do(ctx context.Context, calls []wire.Call) { v.tap.carry(ctx, v.who, calls) }
func (v *view) Open() func() error                        { return v.tap.Open() }

func (v *view) Listen(ctx context.Context, inbox string, ready func(), heard func(wire.Notice)) error {
	return v.tap.listen(ctx, v.who, inbox, ready, heard)
}

// logged is a log that a test can look into.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p) //nolint:wrapcheck // never fails
}

func (l *logged) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// count returns how many lines hold the text.
func (l *logged) count(text string) (n int) {
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}
