package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/memnode"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// A regime says which faults there are, and so what must hold nevertheless.
type regime struct {
	name      string
	exclusive bool // at no time two valid leases of a name
	tidy      bool // no lock of the library is left when all is over
	late      bool // messages may arrive after their caller has given up, or twice
	drift     bool // clocks run at rates within the drift allowance
	skew      bool // the clients' wall clocks are hours apart
	lag       bool // the clients' wall clocks lag by hours, or not at all
	wrong     bool // clocks step, and run at any rate
	restarts  bool // nodes restart and keep their data
	losses    bool // nodes lose their data
	guard     bool // under the restart guard
	// most messages are late, lost or doubled, and everybody wants one lock of three nodes all the
	// time
	fierce bool
	moves  bool // an address leads to another node's server for a message now and then
	hands  bool // one client hands one lock on, and all nodes lose it now and then
	sets   bool // everybody takes several locks at once
	turns  bool // one client takes up to 2,100 locks, and then all registers are lost
	// everybody wants permits of a semaphore, of which not all clients allow the same number
	permits bool
	readers bool // most want a lock shared, and some alone
	elects  bool // everybody is a candidate
}

var regimes = []regime{
	{name: "orderly", exclusive: true, tidy: true, skew: true},
	{name: "steady", exclusive: true, late: true, drift: true, skew: true, restarts: true},
	{name: "guarded", exclusive: true, late: true, restarts: true, losses: true, guard: true, lag: true},
	{name: "clocks", late: true, skew: true, wrong: true, restarts: true},
	{name: "tokens", late: true, wrong: true, fierce: true},
	{name: "lagging", late: true, restarts: true, losses: true, lag: true},
	{name: "losses", late: true, restarts: true, losses: true},
	{name: "addresses", late: true, wrong: true, fierce: true, moves: true},
	{name: "moves", exclusive: true, late: true, skew: true, moves: true},
	{name: "hands", hands: true},
	{name: "sets", exclusive: true, late: true, drift: true, skew: true, restarts: true, sets: true},
	{name: "permits", exclusive: true, late: true, drift: true, skew: true, restarts: true, permits: true},
	{name: "readers", exclusive: true, late: true, drift: true, skew: true, restarts: true, readers: true},
	{name: "elections", exclusive: true, late: true, drift: true, skew: true, restarts: true, elects: true},
	{name: "turns", exclusive: true, turns: true},
}

const (
	timeout     = 20 * time.Millisecond // of a node
	grace       = timeout / 8           // until the lack of an answer is known
	maxMessages = 400                   // of a schedule: further messages are not delivered
	maxTurns    = 2000                  // about so many locks are taken in a schedule of turns
	turnsRarer  = 100                   // one such schedule comes to so many of each other regime
	maxSkew     = 2 * time.Hour
	// by how much, in µs, a token may fall where registers are lost and a client's clock lags.
	slack = 1_000_000
	// by how much a token may be ahead of the clocks: what a turn may last.
	lead = 10 * time.Millisecond
	beat = 250 * time.Microsecond // in which the regime hands has its events
	// within which each waiter gets its turn once all faults are over.
	patience = 60 * time.Second
)

// A world is one schedule.
type world struct {
	regime regime
	seed   uint64
	pace   time.Duration // the unit of time: faults come within six of it, and end after eight
	ttl    time.Duration // the TTL, as long as pace or longer
	nodes  []*memnode.Node
	life   []*client
	faults []fault
	names  []string
	terms  []redlock.MutexOption // of all locks: none, or without a token

	calm   bool        // few messages are late or lost
	rough  atomic.Bool // some messages are: the network's own faults have begun
	budget int64
	most   int64 // messages
	sent   atomic.Int64
	over   atomic.Bool // faults have ended

	// short is set when all messages are used up. From then on the network is silent, and ctx ends,
	// so that waiters give up.
	short  atomic.Bool
	ahead  atomic.Bool     // a block was reserved up to a token ahead of the clocks
	rush   atomic.Int64    // above zero: all clients take locks as fast as they can
	ctx    context.Context //nolint:containedctx // of everything in the world
	cancel context.CancelFunc

	mu         sync.Mutex
	held       map[string][]*holding
	tokens     map[string]map[uint64]bool
	top        map[string]uint64    // the greatest token returned
	read       map[string]uint64    // and the greatest that a reader was returned
	losses     map[int]time.Time    // when a node lost its data last
	gone       map[extension]int    // how many nodes said that the lock is gone
	ends       map[string]time.Time // by owner: when a majority had said so
	violations []violation
	overlaps   int
}

// A violation is a property that did not hold, and what was seen.
type violation struct{ oracle, seen string }

func (v violation) String() string { return v.seen }

// A holding is a lease and the client that has it.
type holding struct {
	*redlock.Lease
	client int
	plain  bool // taken without options: it ends by itself
}

// A client is a process with a Locker and a clock.
type client struct {
	*clock
	world  *world
	number int
	random *rand.Rand
	locks  *redlock.Locker
	alone  bool // it has one goroutine: nothing is handed over
	// how many permits a semaphore has for it
	permits int
	cut     []atomic.Bool
	owner   atomic.Pointer[string] // of the latest attempt
	tired   atomic.Int64           // for how long it is to stop when it has asked for an extension
}

func newWorld(r regime, seed uint64) *world {
	random := rand.New(rand.NewPCG(seed, 0))
	w := &world{
		regime: r, seed: seed,
		pace:  time.Duration(60+random.IntN(600)) * time.Millisecond,
		names: []string{"a", "b"}[:1+random.IntN(5)/4],
		calm:  random.IntN(2) == 0,
		// the rest of the work under way takes additional time
		budget: int64(60 + random.IntN(maxMessages/2)),
		held:   make(map[string][]*holding), tokens: make(map[string]map[uint64]bool), top: make(map[string]uint64), read: make(map[string]uint64),
		losses: make(map[int]time.Time), gone: make(map[extension]int), ends: make(map[string]time.Time), most: maxMessages,
	}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	if r.sets {
		w.names = []string{"a", "b", "c", "d"}[:2+random.IntN(3)]
		w.budget, w.most = 2*w.budget, 2*w.most
	}
	if r.fierce {
		w.calm, w.names, w.pace = false, w.names[:1], w.pace/4
	}
	if r.hands {
		w.budget, w.most = 3*w.budget, 3*w.most
	}
	if r.permits {
		w.names = w.names[:1]
	}
	if r.permits || r.readers {
		w.budget, w.most = 2*w.budget, 2*w.most
		if random.IntN(3) == 0 {
			r.losses, r.guard, r.lag, r.drift, r.skew = true, true, true, false, false // as guarded
			w.regime = r
		}
	}
	if r.elects {
		w.names, w.budget, w.most = w.names[:1], 2*w.budget, 2*w.most
	}
	if r.turns {
		r.guard = random.IntN(2) == 0
		w.regime, w.most = r, 100*maxTurns
	}
	if r.drift && random.IntN(3) == 0 {
		w.pace *= 4 // long enough for clocks to drift apart
	}
	if w.ttl = w.pace; r.fierce || r.tidy && random.IntN(2) == 0 {
		// nothing expires before the end by any clock, so a lock that was left behind is found
		w.ttl *= 20
	}
	if r.exclusive && !r.turns && random.IntN(4) == 0 {
		w.terms = append(w.terms, redlock.WithoutFencing())
	}
	nodes := []int{3, 5, 3, 5, 3, 4, 2, 1}[random.IntN(8)]
	if r.fierce || r.hands {
		nodes = 3
	}
	for i := range nodes {
		n := memnode.New(fmt.Sprintf("node%d", i))
		switch {
		case r.wrong:
			n.SetClock(randomSkew(random), 0.5+random.Float64())
		case r.drift:
			n.SetClock(time.Duration(random.Int64N(int64(time.Second))), rate(random))
		}
		w.nodes = append(w.nodes, n)
	}
	if nodes > 2 && random.IntN(10) == 0 && !r.moves && !r.hands && !r.turns {
		w.nodes[nodes-1] = w.nodes[0] // one server at two addresses
	}
	clients := 2 + random.IntN(3)
	switch {
	case r.hands:
		clients = 1
	case r.turns:
		clients = 2
	}
	for i := range clients {
		w.life = append(w.life, newClient(w, i, random))
	}
	if r.permits {
		w.permit(random)
	}
	w.plan(random)
	return w
}

// rate returns a clock's rate within the drift allowance, most often at its limit.
func rate(random *rand.Rand) float64 {
	const most = 0.0045
	return []float64{1, 1 - most, 1 + most, 1 + most*(2*random.Float64()-1)}[random.IntN(4)]
}

func randomSkew(random *rand.Rand) time.Duration {
	return time.Duration(random.Int64N(int64(2*maxSkew))) - maxSkew
}

func newClient(w *world, number int, random *rand.Rand) *client {
	c := &client{
		clock: newClock(), world: w, number: number, alone: random.IntN(2) == 0,
		random: rand.New(rand.NewPCG(w.seed, uint64(1000+number))),
		cut:    make([]atomic.Bool, len(w.nodes)),
	}
	switch r := w.regime; {
	case r.wrong:
		c.set(randomSkew(random), 0.5+random.Float64())
	case r.drift:
		c.set(randomSkew(random), rate(random))
	case r.lag:
		c.set(-[]time.Duration{0, maxSkew}[random.IntN(2)], 1)
	case r.skew:
		c.set(randomSkew(random), 1)
	}
	ways, nodes := make([]wire.Node, len(w.nodes)), make([]pool.Node, len(w.nodes))
	for i, n := range w.nodes {
		ways[i] = n.Through(c.network(i))
		luck := rand.New(rand.NewPCG(w.seed, uint64(c.number*100+i+9000)))
		nodes[i] = wire.Seal(&link{Node: ways[i], client: c, number: i, ways: ways, random: luck})
	}
	opts := []redlock.Option{redlock.WithTTL(w.ttl), redlock.WithNodeTimeout(timeout), redlock.WithClock(c.clock)}
	if !w.regime.wrong {
		opts = append(opts, redlock.WithObserver(&witness{client: c, leases: make(map[*redlock.Lease]time.Time)}))
	}
	if w.regime.wrong {
		// the retention is longer than all shifts
		opts = append(opts, redlock.WithFenceRetention(24*time.Hour))
	}
	if w.regime.guard {
		opts = append(opts, redlock.WithRestartGuard(w.ttl))
	}
	locks, err := redlock.New(nodes, opts...)
	if err != nil {
		panic(err)
	}
	c.locks = locks
	return c
}

// lastMessage is the time after which a message in flight has arrived.
func (w *world) lastMessage() time.Duration { return 2*w.pace + time.Second }

// violate records that a property did not hold.
func (w *world) violate(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note(format, args...)
}

// note is violate with mu held.
func (w *world) note(format string, args ...any) {
	w.violations = append(w.violations, violation{format, fmt.Sprintf(format, args...)})
}

// network returns the function that decides on the messages between a client and a node.
func (c *client) network(node int) func(memnode.Message) memnode.Fate {
	w := c.world
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(w.seed, uint64(c.number*100+node+1)))
	base := time.Duration(50+random.IntN(950)) * time.Microsecond
	if w.regime.turns {
		base /= 10
	}
	return func(m memnode.Message) (f memnode.Fate) {
		mu.Lock()
		defer mu.Unlock()
		if !w.spend(max(len(m.Requests), 1)) {
			return memnode.Fate{Drop: true}
		}
		f.Delay = base + time.Duration(random.Int64N(int64(base)))
		f.DelayBack = base + time.Duration(random.Int64N(int64(base)))
		if w.regime.hands { // so that messages overtake one another
			f.Delay, f.DelayBack = beat*time.Duration(1+random.IntN(4)), beat*time.Duration(1+random.IntN(8))
		}
		luck, how := random.IntN(100), random.Int64()
		again := time.Duration(random.Int64N(int64(timeout)))
		if w.over.Load() {
			return f
		}
		f.Drop = c.cut[node].Load()
		if !w.rough.Load() || w.calm && luck >= 4 {
			return f
		}
		if w.regime.fierce {
			luck /= 2
			f.Again, f.AgainIn = how&1 == 0, again
		}
		switch {
		case luck < 3:
			f.Drop = true
		case luck < 6:
			f.DropReply = true
		case luck < 12:
			f.Delay += time.Duration(how % int64(timeout*2/3))
		case luck < 18:
			f.DelayBack += time.Duration(how % int64(timeout*2/3))
		case !w.regime.late:
		case luck < 21:
			f.Delay += time.Duration(how % int64(2*w.pace))
		case luck < 23:
			f.Again, f.AgainIn = true, time.Duration(how%int64(2*w.pace))
		}
		f.Again = f.Again && (w.regime.exclusive || !slices.ContainsFunc(m.Requests, takes))
		return f
	}
}

// takes reports whether the request takes the lock. Such a request is not carried out twice where
// locks vanish: that would bring a replaced owner back, against rule R9 of docs/safety.md, which
// TCP and package pool guarantee.
func takes(r *wire.Request) bool { return r.Verb == wire.Acquire || r.Verb == wire.Rejoin }

// spend counts messages, and reports whether they are delivered.
func (w *world) spend(messages int) bool {
	if sent := w.sent.Add(int64(messages)); sent <= w.most {
		return true
	}
	w.sent.Add(-int64(messages))
	w.short.Store(true)
	w.cancel()
	return false
}

// A fault is an event at a node or a client.
type fault struct {
	at, lasts time.Duration
	kind      string
	node      int
	client    int
	begin     func()
	end       func()
}

func (f fault) String() string {
	if f.kind == "network" {
		return "messages lost, late and doubled"
	}
	return fmt.Sprintf("%s node %d client %d at %v for %v", f.kind, f.node, f.client, f.at, f.lasts)
}

// plan decides on the faults of the schedule. The last is the network's: it loses, delays and
// doubles single messages.
func (w *world) plan(random *rand.Rand) {
	kinds := []string{"freeze", "freeze", "cut", "disconnect"}
	if !w.regime.tidy {
		kinds = append(kinds, "kill", "stop", "doze", "suspend")
	}
	if w.regime.restarts {
		kinds = append(kinds, "restart", "delete")
	}
	if w.regime.losses {
		kinds = append(kinds, "lose", "lose", "lose")
		if !w.regime.guard {
			kinds = append(kinds, "flush", "all")
		}
		if w.regime.guard || !w.regime.lag {
			kinds = append(kinds, "older")
			if w.regime.guard {
				kinds = append(kinds, "back")
			}
		}
	}
	if w.regime.wrong {
		kinds = append(kinds, "step", "shed", "shed")
	}
	if w.regime.fierce {
		kinds = []string{"shed", "shed", "shed", "delete", "cut", "freeze"}
	}
	if w.regime.hands {
		kinds = []string{"wipe", "wipe", "wipe", "cut", "freeze"}
	}
	if w.regime.turns {
		return
	}
	if w.regime.exclusive {
		kinds = slices.DeleteFunc(kinds, func(k string) bool { return k == "delete" })
	}
	for range random.IntN(7) {
		w.faults = append(w.faults, w.fault(kinds[random.IntN(len(kinds))], random))
	}
	w.faults = append(w.faults, fault{
		kind: "network", lasts: 8 * w.pace,
		begin: func() { w.rough.Store(true) }, end: func() { w.rough.Store(false) },
	})
}

func (w *world) fault(kind string, random *rand.Rand) fault {
	f := fault{
		kind: kind, node: random.IntN(len(w.nodes)), client: random.IntN(len(w.life)),
		at:    time.Duration(random.Int64N(int64(6 * w.pace))),
		lasts: []time.Duration{time.Duration(random.Int64N(int64(2 * timeout))), time.Duration(random.Int64N(int64(2 * w.pace)))}[random.IntN(2)],
		begin: func() {}, end: func() {},
	}
	n, c := w.nodes[f.node], w.life[f.client]
	skew, pace := randomSkew(random), 0.5+random.Float64()
	flip := random.IntN(2) == 0
	name := w.names[random.IntN(len(w.names))]
	switch kind {
	case "freeze":
		f.begin, f.end = n.Freeze, n.Thaw
		if flip {
			f.end = n.ThawReversed
		}
	case "cut":
		f.begin, f.end = func() { c.cut[f.node].Store(true) }, func() { c.cut[f.node].Store(false) }
	case "disconnect":
		f.begin = n.Disconnect
	case "kill":
		f.begin, f.end = n.Kill, func() { n.Start(true) }
	case "stop":
		f.begin, f.end = c.stop, c.resume
	case "suspend":
		f.begin, f.end = c.suspend, c.wake
	case "doze":
		nap := int64(f.lasts)
		f.begin, f.end, f.lasts = func() { c.tired.Store(nap) }, func() { c.tired.Store(0); c.resume() }, 3*w.pace
	case "restart":
		f.begin = func() { n.Restart(true) }
	case "lose":
		f.begin = func() { n.Restart(false); w.lost(f.node) }
	case "delete":
		f.begin = func() { n.Delete(name) }
	case "shed":
		f.begin, f.end = w.shed(f.lasts, name, rand.New(rand.NewPCG(random.Uint64(), 0)))
	case "wipe":
		f.begin, f.end = w.wipe(f.lasts, name, rand.New(rand.NewPCG(random.Uint64(), 0)))
	case "flush":
		f.begin = n.Flush
	case "older":
		f.begin, f.end = n.Save, func() { n.RestartOlder(); w.restored(f.node) }
	case "back":
		f.begin, f.end = n.Save, func() { n.FailBack(); w.restored(f.node) }
	case "all":
		f.begin = func() {
			for _, n := range w.nodes {
				n.Flush()
			}
		}
	case "step":
		if flip {
			f.begin = func() { n.SetClock(skew, pace) }
		} else {
			f.begin = func() { c.set(skew, pace) }
		}
	}
	return f
}

// shed makes all nodes lose the lock again and again, one after the other, while all clients take
// it.
func (w *world) shed(lasts time.Duration, name string, random *rand.Rand) (begin, end func()) {
	stop := make(chan struct{})
	pause := []int{1000, 3000, 10000}[random.IntN(3)]
	begin = func() {
		w.rush.Add(1)
		defer w.rush.Add(-1)
		for over := time.Now().Add(lasts); time.Now().Before(over); {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(random.IntN(pause)) * time.Microsecond):
				w.nodes[random.IntN(len(w.nodes))].Delete(name)
			}
		}
	}
	return begin, sync.OnceFunc(func() { close(stop) })
}

// wipe makes all nodes lose the lock at the same time, again and again.
func (w *world) wipe(lasts time.Duration, name string, random *rand.Rand) (begin, end func()) {
	stop := make(chan struct{})
	begin = func() {
		for over := time.Now().Add(lasts); time.Now().Before(over); {
			select {
			case <-stop:
				return
			case <-time.After(beat * time.Duration(random.IntN(20))):
				for _, n := range w.nodes {
					n.Delete(name)
				}
			}
		}
	}
	return begin, sync.OnceFunc(func() { close(stop) })
}

// leftovers returns the library's locks on the nodes. Reservations for a waiter expire by
// themselves.
func (w *world) leftovers(excused func(node int) bool) (left []string) {
	for i, n := range w.nodes {
		if excused(i) {
			continue
		}
		for _, name := range w.locks() {
			if owner, life, found := n.Get(name); found && !strings.HasPrefix(owner, "R:") {
				left = append(left, fmt.Sprintf("%s on node %d for %v", name, i, life))
			}
		}
	}
	return left
}

// frozenLong reports whether the node was frozen for so long that the release of an acquire in its
// socket may have been given up before the acquire was carried out. Its lock then lasts for a TTL,
// as docs/safety.md says.
func (w *world) frozenLong(node int) bool {
	return slices.ContainsFunc(w.faults, func(f fault) bool {
		return f.kind == "freeze" && f.node == node && f.lasts > w.ttl/2
	})
}
