// Package memnode is one master in memory: the node of package pool as a state machine in Go, with
// the faults of real masters and networks. Examples, the demo, the test kit and the simulation run
// on it; a conformance test compares it with real servers.
package memnode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

var (
	errRefused = errors.New("connection refused")
	errTimeout = os.ErrDeadlineExceeded
	errBroken  = io.EOF
)

// A Node is one master and the network in front of it. All methods may be called concurrently.
type Node struct {
	addr string
	now  func() time.Time // of the world
	fate func(Message) Fate

	mu       sync.Mutex
	state    *state
	saved    *state
	set      time.Time     // when the clock was last set, in real time
	shown    time.Time     // the time to which it was set
	rate     float64       // how fast the clock runs
	frozen   chan struct{} // closed by Thaw; nil: not frozen
	backlog  []func()      // requests that arrived while frozen
	down     bool
	epoch    chan struct{} // closed when connections break
	subs     map[string][]*subscription
	requests map[wire.Verb]int
	server   string // run id in replies
}

// A Message is on its way to the node, or from it: a round trip with requests, or a notice to a
// listener.
type Message struct {
	Requests []*wire.Request // nil: a notice
	Inbox    string          // the receiver of a notice
}

// A Fate says what the network does with a message.
type Fate struct {
	Drop      bool          // the request or the notice never arrives
	Delay     time.Duration // until it does
	Again     bool          // it arrives a second time
	AgainIn   time.Duration // that long after the first
	DropReply bool
	DelayBack time.Duration // until the reply arrives
}

// An Option sets up a node that [New] makes.
type Option func(*Node)

// WithTime makes the node's clock follow now, instead of the time of day.
func WithTime(now func() time.Time) Option { return func(n *Node) { n.now = now } }

// WithNetwork makes fate decide about each message. It is called from many goroutines and must not
// call the node.
func WithNetwork(fate func(Message) Fate) Option { return func(n *Node) { n.fate = fate } }

// New makes a master that is up and empty.
func New(addr string, opts ...Option) *Node {
	n := &Node{
		addr:     addr,
		now:      time.Now,
		rate:     1,
		epoch:    make(chan struct{}),
		subs:     make(map[string][]*subscription),
		requests: make(map[wire.Verb]int),
	}
	for _, o := range opts {
		o(n)
	}
	n.set = n.now()
	n.shown = n.set
	n.state = newState(n.publish)
	n.named()
	return n
}

// Through returns the node as one client reaches it, over that client's own network.
func (n *Node) Through(fate func(Message) Fate) wire.Node { return &path{n, fate} }

// A path is a network between one client and the node.
type path struct {
	*Node
	fate func(Message) Fate
}

// Do implements wire.Node.
func (p *path) Do(ctx context.Context, calls []wire.Call) { p.carry(ctx, calls, p.fate) }

// Listen implements wire.Node.
func (p *path) Listen(ctx context.Context, inbox string, ready func(), heard func(wire.Notice)) error {
	return p.listen(ctx, inbox, ready, heard, p.fate)
}

// Cluster makes count masters and returns them as nodes too.
func Cluster(count int, opts ...Option) ([]*Node, []pool.Node) {
	masters, nodes := make([]*Node, count), make([]pool.Node, count)
	for i := range masters {
		masters[i] = New(fmt.Sprintf("node%d", i+1), opts...)
		nodes[i] = wire.Seal(masters[i])
	}
	return masters, nodes
}

// Addr implements wire.Node.
func (n *Node) Addr() string { return n.addr }

// Open implements wire.Node.
func (n *Node) Open() func() error { return func() error { return nil } }

// Do implements wire.Node.
func (n *Node) Do(ctx context.Context, calls []wire.Call) { n.carry(ctx, calls, n.fate) }

// carry makes one round trip, over the network that decide stands for.
func (n *Node) carry(ctx context.Context, calls []wire.Call, decide func(Message) Fate) {
	if len(calls) == 0 {
		return
	}
	requests := make([]*wire.Request, len(calls))
	for i := range calls {
		requests[i] = calls[i].Request
	}
	var fate Fate
	if decide != nil {
		fate = decide(Message{Requests: requests})
	}
	n.mu.Lock()
	if n.down {
		n.mu.Unlock()
		fail(calls, wire.Reply{Verdict: wire.Unavailable, Unsent: true, Err: errRefused})
		return
	}
	if n.frozen == nil && fate == (Fate{}) {
		for i := range calls {
			calls[i].Reply = n.execute(requests[i])
		}
		n.mu.Unlock()
		return
	}
	broken := n.epoch
	n.mu.Unlock()

	replies := make(chan []wire.Reply, 2)
	n.send(requests, fate, broken, replies)
	until, bounded := ctx.Deadline()
	if !bounded {
		until = time.Now().Add(time.Hour)
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case got := <-replies:
		for i := range calls {
			calls[i].Reply = got[i]
		}
	case <-timer.C:
		fail(calls, wire.Reply{Verdict: wire.Unavailable, Err: errTimeout})
	case <-broken:
		fail(calls, wire.Reply{Verdict: wire.Unavailable, Err: errBroken})
	}
}

func fail(calls []wire.Call, reply wire.Reply) {
	for i := range calls {
		calls[i].Reply = reply
	}
}

// send carries requests to the node, and the replies back, as fate says.
func (n *Node) send(requests []*wire.Request, fate Fate, broken <-chan struct{}, replies chan<- []wire.Reply) {
	if fate.Drop {
		return
	}
	arrive := func() {
		n.arrive(broken, func() {
			got := make([]wire.Reply, len(requests))
			for i, r := range requests {
				got[i] = n.execute(r)
			}
			if !fate.DropReply {
				after(fate.DelayBack, func() {
					select {
					case replies <- got:
					default: // the second of two
					}
				})
			}
		})
	}
	after(fate.Delay, arrive)
	if fate.Again {
		after(fate.Delay+fate.AgainIn, arrive)
	}
}

// after calls f in d, at once if that is zero.
func after(d time.Duration, f func()) {
	if d <= 0 {
		f()
		return
	}
	time.AfterFunc(d, f)
}

// arrive makes the node carry out a message: now, or when it thaws, or never if the connection
// breaks before.
func (n *Node) arrive(broken <-chan struct{}, do func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-broken:
	default:
		if n.frozen != nil {
			n.backlog = append(n.backlog, do)
			return
		}
		do()
	}
}

// execute carries a request out. With mu held.
func (n *Node) execute(r *wire.Request) wire.Reply {
	n.requests[r.Verb]++
	reply := n.state.apply(r, n.time())
	reply.Server = n.server
	return reply
}

// named gives the server its run id.
func (n *Node) named() { n.server = fmt.Sprintf("%s#%d", n.addr, n.state.run) }

// time is what the node's clock shows. With mu held.
func (n *Node) time() time.Time {
	elapsed := n.now().Sub(n.set)
	if n.rate != 1 {
		elapsed = time.Duration(float64(elapsed) * n.rate)
	}
	return n.shown.Add(elapsed)
}

// Time returns what the node's clock shows.
func (n *Node) Time() (time.Time, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.time(), true
}

// SetClock moves the node's clock by offset, and makes it run at rate from now on (1: in real
// time).
func (n *Node) SetClock(offset time.Duration, rate float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.shown = n.time().Add(offset)
	n.set, n.rate = n.now(), rate
}

// Freeze stops the node as SIGSTOP does: connections stay, requests wait, nothing answers.
func (n *Node) Freeze() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.frozen == nil {
		n.frozen = make(chan struct{})
	}
}

// Thaw lets the node go on. It carries out the requests that arrived meanwhile, even if nobody
// waits for them any more.
func (n *Node) Thaw() { n.thaw(func([]func()) {}) }

// ThawReversed is Thaw, but the node carries out the last request first: they came on several
// connections, in no order.
func (n *Node) ThawReversed() { n.thaw(slices.Reverse[[]func()]) }

func (n *Node) thaw(order func([]func())) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.frozen == nil {
		return
	}
	close(n.frozen)
	n.frozen = nil
	order(n.backlog)
	for _, do := range n.backlog {
		do()
	}
	n.backlog = nil
}

// Kill ends the node: connections break, and are refused from now on.
func (n *Node) Kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = true
	n.disconnect()
}

// Start starts the node again after Kill, with or without its data.
func (n *Node) Start(keep bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.start(keep)
}

// Restart is Kill and Start at once.
func (n *Node) Restart(keep bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.disconnect()
	n.start(keep)
}

// start starts the server anew. With mu held.
func (n *Node) start(keep bool) {
	run := n.state.run + 1
	if !keep {
		n.state = newState(n.publish)
	}
	n.state.run, n.state.read = run, 0
	n.named()
	n.down = false
}

// Save keeps a copy of the data. RestartOlder restarts with that, as a server does from an old
// snapshot.
func (n *Node) Save() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.saved = n.state.clone()
}

// RestartOlder restarts with the data that was saved last, or without data.
func (n *Node) RestartOlder() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.disconnect()
	run := n.state.run
	if n.saved != nil {
		n.state = n.saved.clone()
	} else {
		n.state = newState(n.publish)
	}
	n.state.run = run
	n.start(true)
}

// FailBack goes on with the data that was saved last. So does a server after a failover and
// failback: a lagging replica took its place, the server followed that replica, and became the
// master again without a restart. Connections stay.
func (n *Node) FailBack() {
	n.mu.Lock()
	defer n.mu.Unlock()
	run, read := n.state.run, n.state.read
	n.state = newState(n.publish)
	if n.saved != nil {
		n.state = n.saved.clone()
	}
	n.state.run, n.state.read = run, read+1
}

// Disconnect breaks all connections.
func (n *Node) Disconnect() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.disconnect()
}

// disconnect breaks all connections. With mu held.
func (n *Node) disconnect() {
	close(n.epoch)
	n.epoch = make(chan struct{})
	n.backlog = nil
	clear(n.subs)
	if n.frozen != nil {
		close(n.frozen)
		n.frozen = nil
	}
}

// Flush deletes all keys.
func (n *Node) Flush() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.state.values)
	clear(n.state.queues)
	clear(n.state.readers)
	n.state.marker = marker{}
}

// Set sets a key, as any other client of the server could. The key never expires if life is zero.
func (n *Node) Set(key, text string, life time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state.set(key, text, life, n.time())
	if life == 0 {
		n.state.values[key] = value{text: text}
	}
}

// Delete deletes a key.
func (n *Node) Delete(key string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.state.values, key)
	delete(n.state.queues, key)
	delete(n.state.readers, key)
}

// Get returns a key's value and its remaining life, negative if it never expires.
func (n *Node) Get(key string) (text string, life time.Duration, found bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.time()
	if text, found = n.state.get(key, now); found {
		life = n.state.life(key, now)
	}
	return text, life, found
}

// Keys returns the keys that hold values, sorted: locks and fencing registers.
func (n *Node) Keys() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.time()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(n.state.values)), func(key string) bool {
		_, found := n.state.get(key, now)
		return !found
	})
}

// Requests returns how many requests with these verbs the node has carried out; with all verbs if
// none is given.
func (n *Node) Requests(verbs ...pool.Verb) (count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for v, k := range n.requests {
		if len(verbs) == 0 || slices.Contains(verbs, v) {
			count += k
		}
	}
	return count
}
