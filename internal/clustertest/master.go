package clustertest

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock/internal/memnode"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// ErrRefused is the error if a master refuses connections, so that nothing is sent.
var ErrRefused = errors.New("connection refused")

var errTimeout = os.ErrDeadlineExceeded

const (
	foreign     = "foreign"       // the owner of a lock of another program's
	dialTimeout = 5 * time.Second // after which a subscription that gets no answer is given up
)

// A Master is one master in memory, and the network to it. As a node it is what Lockers without a
// name reach.
type Master struct {
	*memnode.Node
	cluster *Cluster

	mu            sync.Mutex
	sent          map[wire.Verb]int
	notices       int // that were sent
	trips         int
	latency       map[string]time.Duration // of a round trip, by Locker; "": of all others
	jitter        time.Duration
	slow          map[wire.Verb]time.Duration
	drop          map[wire.Verb]int // replies
	denials       map[wire.Verb]denial
	refused       bool
	cut           map[string]bool // Lockers
	subscriptions map[*subscription]bool
}

// A denial says why requests are refused, and for which locks; none means all.
type denial struct {
	why   error
	locks []string
}

// A subscription exists, or is being made.
type subscription struct {
	locker string
	sever  context.CancelCauseFunc
}

func newMaster(c *Cluster, addr string) *Master {
	return &Master{
		Node: memnode.New(addr), cluster: c, sent: make(map[wire.Verb]int),
		latency: make(map[string]time.Duration), slow: make(map[wire.Verb]time.Duration),
		drop: make(map[wire.Verb]int), denials: make(map[wire.Verb]denial),
		cut: make(map[string]bool), subscriptions: make(map[*subscription]bool),
	}
}

func (m *Master) with(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

// Latency sets how long a round trip takes, except for Lockers with a latency of their own.
func (m *Master) Latency(d time.Duration) { m.LatencyOf("", d) }

// LatencyOf sets how long the round trips of one Locker take.
func (m *Master) LatencyOf(locker string, d time.Duration) { m.with(func() { m.latency[locker] = d }) }

// Slow makes requests of that verb take longer by d.
func (m *Master) Slow(v pool.Verb, d time.Duration) { m.with(func() { m.slow[v] = d }) }

// DropReply makes the replies to the next requests of that verb get lost.
func (m *Master) DropReply(v pool.Verb, times int) { m.with(func() { m.drop[v] = times }) }

// Deny refuses requests of that verb for those locks, for all locks if none is given. If why is
// nil, they are no longer refused.
func (m *Master) Deny(v pool.Verb, why error, locks ...string) {
	m.with(func() { m.denials[v] = denial{why, locks} })
}

// Refuse makes the master refuse connections.
func (m *Master) Refuse() { m.with(func() { m.refused = true }) }

// Heal ends Refuse and DropReply.
func (m *Master) Heal() { m.with(func() { m.refused = false; clear(m.drop) }) }

func (m *Master) cutOff(locker string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cut[locker] = true
	for s := range m.subscriptions {
		if s.locker == locker {
			s.sever(errTimeout)
		}
	}
}

// Sent returns how many requests of these verbs were sent to the master, of all verbs if none is
// given.
func (m *Master) Sent(verbs ...pool.Verb) (n int) {
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	for v, k := range m.sent {
		if len(verbs) == 0 || slices.Contains(verbs, v) {
			n += k
		}
	}
	return n
}

// Owner returns the value of the lock's key: the id of its owner.
func (m *Master) Owner(name string) string {
	synctest.Wait()
	text, _, _ := m.Get(name)
	return text
}

// TTL returns how long the lock's key will last.
func (m *Master) TTL(name string) time.Duration {
	synctest.Wait()
	_, life, _ := m.Get(name)
	return life
}

// Fence returns the value of the lock's fencing register.
func (m *Master) Fence(name string) string { return m.Owner(register(name)) }

// SetFence sets the lock's fencing register.
func (m *Master) SetFence(name, value string) {
	synctest.Wait()
	m.Set(register(name), value, 0)
}

func register(name string) string {
	keys, err := wire.Keys("", name)
	if err != nil {
		panic(err)
	}
	return keys.Fence
}

// Do implements wire.Node.
func (m *Master) Do(ctx context.Context, calls []wire.Call) { m.As("").Do(ctx, calls) }

// Listen implements wire.Node.
func (m *Master) Listen(ctx context.Context, inbox string, ready func(), heard func(wire.Notice)) error {
	return m.As("").Listen(ctx, inbox, ready, heard)
}

// As returns the master as a Locker of that name reaches it.
func (m *Master) As(locker string) wire.Node { return &path{m, m.Addr(), locker} }

// Alias returns the master under another address.
func (m *Master) Alias(addr string) wire.Node { return &path{m, addr, ""} }

// A path is the network between one Locker and one master.
type path struct {
	*Master
	addr, locker string
}

// Addr implements wire.Node.
func (p *path) Addr() string { return p.addr }

// Do implements wire.Node.
func (p *path) Do(ctx context.Context, calls []wire.Call) {
	p.cluster.pass(p.locker, calls)
	fate, denied, ok := p.send(calls)
	if !ok {
		for i := range calls {
			calls[i].Reply = wire.Reply{Verdict: wire.Unavailable, Unsent: true, Err: ErrRefused}
		}
		return
	}
	carried := slices.Clone(calls)
	for i, why := range denied {
		if why != nil { // a request that changes nothing is slow instead
			carried[i].Request = &wire.Request{Verb: wire.Check}
		}
	}
	p.Through(func(memnode.Message) memnode.Fate { return fate }).Do(ctx, carried)
	for i, why := range denied {
		calls[i].Reply = carried[i].Reply
		if why != nil && calls[i].Reply.Verdict == wire.OK {
			calls[i].Reply = wire.Reply{Verdict: wire.Refused, Err: why}
		}
	}
}

// send counts a round trip, and returns the outcome for it and for each of its requests. ok is
// false if the connection is refused.
func (p *path) send(calls []wire.Call) (fate memnode.Fate, denied []error, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trips++
	denied = make([]error, len(calls))
	var slow time.Duration
	for i := range calls {
		r := calls[i].Request
		p.sent[r.Verb]++
		slow = max(slow, p.slow[r.Verb])
		if d := p.denials[r.Verb]; len(d.locks) == 0 || slices.Contains(d.locks, r.Lock) {
			denied[i] = d.why
		}
	}
	if p.refused {
		return fate, denied, false
	}
	fate.Drop = p.cut[p.locker]
	for i := range calls {
		if v := calls[i].Request.Verb; !fate.Drop && p.drop[v] > 0 {
			p.drop[v]--
			fate.DropReply = true
		}
	}
	took := p.trip() + slow
	if p.jitter > 0 {
		took += rand.N(p.jitter) //nolint:gosec // a test's
	}
	fate.Delay, fate.DelayBack = took/2, took-took/2
	return fate, denied, true
}

// trip returns how long the Locker's round trips take. mu is held.
func (p *path) trip() time.Duration {
	if d, own := p.latency[p.locker]; own {
		return d
	}
	return p.latency[""]
}

// Listen implements wire.Node.
func (p *path) Listen(ctx context.Context, inbox string, ready func(), heard func(wire.Notice)) error {
	ctx, sever := context.WithCancelCause(ctx)
	defer sever(nil)
	s := &subscription{p.locker, sever}
	p.mu.Lock()
	p.trips++
	trip, refused, cut := p.trip(), p.refused, p.cut[p.locker]
	p.subscriptions[s] = true
	p.mu.Unlock()
	defer p.with(func() { delete(p.subscriptions, s) })
	switch {
	case cut:
		time.AfterFunc(dialTimeout, func() { sever(errTimeout) })
		<-ctx.Done()
		return context.Cause(ctx)
	case refused:
		time.Sleep(trip)
		return ErrRefused
	}
	time.Sleep(trip)
	return p.Through(func(memnode.Message) memnode.Fate { return memnode.Fate{Delay: p.notice()} }).Listen(ctx, inbox, ready, heard)
}

// notice counts a notice, and returns how long it takes.
func (p *path) notice() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.notices++
	return p.trip() / 2
}
