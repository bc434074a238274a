package pool

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/internal/wire"
)

// listenPatience is how long making a subscription may take at least. Nobody waits for it in a
// hurry. If the server or this machine is too busy, a new attempt would cost it the same again.
const listenPatience = 10 * time.Second

// A client is a node that is reached through go-redis.
type client struct {
	addr      string
	connector *connector          // nil for a cluster
	own       func() *connections // makes them, without connecting
	prompt    atomic.Bool         // no user code takes part in a round trip
	// a round trip, as measured with the latest connection; 0: unknown
	trip    atomic.Int64
	shown   atomic.Pointer[shown]
	secured bool          // over TLS
	timeout time.Duration // how long making a connection may take at least
	maxIdle time.Duration // how long a connection may rest

	mu          sync.Mutex
	connections *connections // nil unless there are users
	users       int
}

var _ wire.Node = (*client)(nil)

// Addr implements wire.Node.
func (c *client) Addr() string { return c.addr }

// Cluster reports whether the node is a whole cluster, which the restart guard cannot keep out of a
// quorum.
func (c *client) Cluster() bool { return c.connector == nil }

// Prompt reports whether Do always returns at its deadline: no user code takes part, which might
// ignore the deadline.
func (c *client) Prompt() bool { return c.prompt.Load() }

// RoundTrip returns how long a round trip to the node takes, as measured when the latest connection
// was made, or 0 if none was made yet.
func (c *client) RoundTrip() time.Duration { return time.Duration(c.trip.Load()) }

// Time returns what the server's clock shows now, as it told when the latest connection was made: a
// round trip out at most, and by what the clocks have come apart since. False: it has not told yet.
func (c *client) Time() (time.Time, bool) {
	s := c.shown.Load()
	if s == nil {
		return time.Time{}, false
	}
	return s.server.Add(elapsed(s.at, now())), true
}

// shown is what a server's clock showed at a time of ours.
type shown struct{ server, at time.Time }

// Open implements wire.Node.
func (c *client) Open() func() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users++; c.connections == nil {
		c.connections = c.own()
	}
	return sync.OnceValue(func() error {
		if last := c.signOff(); last != nil {
			last.close()
		}
		return nil
	})
}

// signOff ends one use. It returns the connections if that was the last one: the caller closes them
// without mu, because that may run user code.
func (c *client) signOff() (unused *connections) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users--; c.users == 0 {
		unused, c.connections = c.connections, nil
	}
	return unused
}

// current returns the connections to use, and a function to call after that. If nobody has opened
// the node, the connections are for this call alone.
func (c *client) current() (s *connections, done func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.connections != nil {
		return c.connections, func() {}
	}
	once := c.own()
	return once, once.close
}

// Do implements wire.Node.
func (c *client) Do(ctx context.Context, calls []wire.Call) {
	if len(calls) == 0 {
		return
	}
	s, done := c.current()
	defer done()
	// several connections in turn may turn out to be closed by the server
	for again := true; again; again = stale(calls) {
		cn, err := s.take(ctx, lone(calls))
		if err != nil {
			unreached(calls, err)
			return
		}
		cn.carry(ctx, calls)
		sign(calls, cn.server)
		if !s.give(cn) {
			doubt(calls)
		}
	}
}

// lone returns the request if there is only one call.
func lone(calls []wire.Call) *wire.Request {
	if len(calls) == 1 {
		return calls[0].Request
	}
	return nil
}

// unreached answers calls that got no connection. A request that was sent over a connection that
// then failed may have been carried out, unless the server has read nothing.
func unreached(calls []wire.Call, err error) {
	_, sent := errors.AsType[earlyError](err)
	for i := range calls {
		calls[i].Reply = failure(calls[i].Request, err)
		calls[i].Reply.Unsent = !sent || distrusted(err) || turnedAway(err)
	}
}

// sign notes in the replies which server has answered.
func sign(calls []wire.Call, server string) {
	for i := range calls {
		if r := &calls[i].Reply; r.Verdict != Unavailable {
			r.Server = server
		}
	}
}

// doubt discards answers that may come from a server that is no longer the node's.
func doubt(calls []wire.Call) {
	for i := range calls {
		if reply := &calls[i].Reply; reply.Verdict != Unavailable {
			*reply = wire.Reply{Verdict: Unavailable, Err: errReplaced}
		}
	}
}

// carry makes the round trip.
func (cn *connection) carry(ctx context.Context, calls []wire.Call) {
	defer func() {
		clear(cn.calls)
		if recover() == nil {
			return
		}
		cn.broken = true
		for i := range calls { // go-redis allocates whatever length an answer announces
			calls[i].Reply = wire.Reply{Verdict: Unavailable, Err: ErrBadReply}
		}
	}()
	cn.calls = slices.Grow(cn.calls[:0], len(calls))[:len(calls)]
	for i := range calls {
		cn.calls[i].Call, cn.calls[i].form = &calls[i], cn.first(calls[i].Request)
	}
	if len(calls) == 1 {
		cn.single(ctx, &cn.calls[0])
	} else {
		cn.batch(ctx, cn.calls)
	}
}

// A call is a wire.Call with its command for the server.
type call struct {
	*wire.Call
	form form
	cmd  redis.StringCmd // the latest
	also *call           // the next call that shares cmd
}

// note records what an error of go-redis says about the connection: after most errors go-redis does
// not use it again.
func (cn *connection) note(err error) {
	if err == nil || errors.Is(err, redis.Nil) {
		cn.served = true
		return
	}
	answer, answered := errors.AsType[redis.Error](err)
	switch {
	case answered:
		cn.served = true
	case hungUp(err):
		cn.hungUp = err
	}
	if !answered || strings.HasPrefix(answer.Error(), "READONLY") || strings.HasPrefix(answer.Error(), "MOVED") {
		cn.broken = true
	}
}

// stale reports whether no call was sent because the server had closed the connection. The next try
// finds another connection.
func stale(calls []wire.Call) bool {
	for i := range calls {
		if !errors.Is(calls[i].Reply.Err, errStale) {
			return false
		}
	}
	return true
}

// A command must not be sent again by go-redis: if the first reply was lost, the second would find
// the first one's work, and report it as another owner's.
type command struct{ *redis.StringCmd }

// NoRetry implements redis.Cmder.
func (command) NoRetry() bool { return true }

// command makes a command from words. The command is stored in c; go-redis uses neither after it
// has returned.
func (c *call) command(ctx context.Context, words []any) command {
	c.cmd = *redis.NewStringCmd(ctx, words...)
	return command{&c.cmd}
}

// single sends one request, in one form after the other until it is settled.
func (cn *connection) single(ctx context.Context, c *call) {
	for settled := false; !settled; {
		words := usualWords(c.Request)
		if c.form > usual {
			words = c.words(nil)
		}
		err := cn.Process(ctx, c.command(ctx, words))
		cn.note(err)
		settled = c.settle(err)
	}
}

// A batch has the slices that a round trip with several requests needs. They are used again.
type batch struct {
	groups
	words []any
	cmds  []redis.Cmder
}

var batches = sync.Pool{New: func() any { return new(batch) }}

// batch sends several requests in one round trip, and those that it does not settle in another.
func (cn *connection) batch(ctx context.Context, calls []call) {
	b := batches.Get().(*batch) //nolint:forcetypeassert // see above
	defer batches.Put(b)
	if cn.together() {
		b.group(calls)
	} else {
		b.single(calls)
	}
	for len(b.firsts) > 0 {
		b.words, b.cmds = b.words[:0], b.cmds[:0]
		for _, c := range b.firsts {
			begin := len(b.words)
			b.words = c.words(b.words)
			b.cmds = append(b.cmds, c.command(ctx, b.words[begin:]))
		}
		cn.send(ctx, b.cmds)
		b.firsts = cn.settleAll(b.firsts)
	}
}

// send sends commands in one round trip. Each has its own error.
func (cn *connection) send(ctx context.Context, cmds []redis.Cmder) {
	if len(cmds) == 1 { // which costs less alone
		_ = cn.Process(ctx, cmds[0])
		return
	}
	pipe := cn.Pipeline()
	_ = pipe.BatchProcess(ctx, cmds...) // only queues them
	_, _ = pipe.Exec(ctx)
}

// settleAll settles calls, and returns those that must be sent again.
func (cn *connection) settleAll(firsts []*call) []*call {
	var open []*call
	for _, c := range firsts {
		err := c.cmd.Err()
		cn.note(err)
		if c.also != nil {
			open = cn.settleGroup(c, err, open)
		} else if !c.settle(err) {
			open = append(open, c)
		}
	}
	return open
}

// settle makes a Reply from the result of go-redis. It returns false if the server has done nothing
// yet and the request must be sent in its next form.
func (c *call) settle(err error) bool {
	if c.next(err) {
		return false
	}
	text := c.cmd.Val()
	if err == nil && c.form == native && text == "OK" {
		c.Reply = wire.Reply{Verdict: OK}
	} else {
		c.Reply = replyTo(c.Request, err, text)
	}
	return true
}

// replyTo is the Reply to r, from the error or the text that go-redis returned.
func replyTo(r *wire.Request, err error, text string) wire.Reply {
	if err != nil {
		return failure(r, err)
	}
	if r.Verb == Acquire && r.Slots != nil && !r.Slots.Only {
		return parsePermit(len(r.Slots.Keys), text)
	}
	return parse(r.Verb, text)
}

// Listen implements wire.Node.
func (c *client) Listen(ctx context.Context, inbox string, ready func(), heard func(wire.Notice)) error {
	if c.connector == nil {
		// in a cluster a script's PUBLISH counts only the listeners of one server
		return wire.ErrNoListen
	}
	s, done := c.current()
	defer done()
	sub, end, err := s.subscribe(ctx, c.connector, inbox)
	if err != nil {
		return listenError(ctx, err)
	}
	defer end()
	ready()
	for {
		message, err := sub.Receive(ctx)
		if err != nil {
			return listenError(ctx, err)
		}
		if m, ok := message.(*redis.Message); ok {
			if n, ok := parseNotice(m.Payload); ok {
				n.Reader = wire.OfReaders(m.Channel)
				heard(n)
			}
		}
	}
}

// subscribe makes a connection that is subscribed to the inbox and to that of readers. The time
// limit for connecting includes the server's confirmations, which a proxy may never send. The
// subscription lasts until ctx ends, or end is called.
func (s *connections) subscribe(ctx context.Context, k *connector, inbox string) (sub *redis.PubSub, end func(), err error) {
	making, cancel := context.WithTimeout(ctx, max(s.patience(), listenPatience))
	defer cancel()
	closed := context.AfterFunc(s.ctx, cancel)
	defer closed()
	raw, client, stop, err := k.open(making, nil)
	if err != nil {
		return nil, nil, err
	}
	sub = client.Subscribe(ctx)
	over := context.AfterFunc(ctx, func() { _ = raw.Close() }) // ends Receive
	gone := context.AfterFunc(s.ctx, func() { _ = raw.Close() })
	end = func() {
		over()
		gone()
		_ = raw.Close()
		_ = sub.Close()
		_ = client.Close()
	}
	err = sub.Subscribe(making, inbox, wire.ReadersInbox(inbox))
	for i := 0; i < 2 && err == nil; i++ {
		_, err = sub.Receive(making) // the confirmations come first
	}
	if !stop() {
		err = context.Cause(making)
	}
	if err != nil {
		end()
		return nil, nil, err
	}
	return sub, end, nil
}

// listenError says why a subscription ended.
func listenError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return failure(&wire.Request{}, err).Err
}
