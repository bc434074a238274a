package pool

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/internal/seal"
)

// A client is a Node that is spoken to through go-redis.
type client struct {
	addr    string
	cluster bool
	prompt  atomic.Bool                  // nothing that a user wrote takes part in a round trip
	own     func() redis.UniversalClient // makes a go-redis client of our own

	server  atomic.Pointer[string] // run id, "" where a connection does not tell it; nil before the first connection
	changes atomic.Int64           // how often it was another than before
	apart   atomic.Bool            // the server does not take commands for several locks

	mu    sync.Mutex
	redis redis.UniversalClient // nil unless there are users
	users int
}

var _ Node = (*client)(nil)

// Addr implements Node.
func (c *client) Addr() string { return c.addr }

// Sealed implements Node.
func (c *client) Sealed(seal.Seal) {}

// Cluster reports whether the node is a whole cluster, which cannot be kept out of a quorum as one server can.
func (c *client) Cluster() bool { return c.cluster }

// Prompt reports whether Do is over once its context has ended, whatever it waits for: nothing that a user wrote takes part, which may take no
// notice of that.
func (c *client) Prompt() bool { return c.prompt.Load() }

// Open implements Node.
func (c *client) Open() func() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users++; c.redis == nil {
		c.redis = c.own()
	}
	return sync.OnceValue(func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.users--; c.users > 0 {
			return nil
		}
		r := c.redis
		c.redis = nil
		return r.Close()
	})
}

// current returns the client to use, and what to do when done with it. Where nobody has opened the node it is one for this call alone.
func (c *client) current() (r redis.UniversalClient, done func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.redis != nil {
		return c.redis, func() {}
	}
	once := c.own()
	return once, func() { _ = once.Close() }
}

// Do implements Node.
func (c *client) Do(ctx context.Context, calls []Call) {
	if len(calls) == 0 {
		return
	}
	for range 2 { // once more where the first found another server, and so sent nothing
		changes := c.changes.Load() // before the client is looked up: see replace
		r, done := c.current()
		c.carry(ctx, r, calls)
		done()
		if c.changes.Load() == changes || c.doubt(calls) {
			return
		}
	}
}

// doubt takes back what a server may have answered that is not the node's any more. It returns false if nothing was sent.
func (*client) doubt(calls []Call) (sent bool) {
	for i := range calls {
		reply := &calls[i].Reply
		sent = sent || !reply.Unsent
		if reply.Verdict != Unavailable {
			*reply = Reply{Verdict: Unavailable, Err: errReplaced}
		}
	}
	return sent
}

// carry makes the round trip. Connections that the server had closed meanwhile are found out one by one, before anything is sent.
func (c *client) carry(ctx context.Context, r redis.UniversalClient, calls []Call) {
	defer func() {
		if recover() == nil {
			return
		}
		for i := range calls { // go-redis makes room for whatever length an answer claims to have
			calls[i].Reply = Reply{Verdict: Unavailable, Err: ErrBadReply}
		}
	}()
	for again := true; again; again = stale(calls) {
		for i := range calls {
			calls[i].form, calls[i].also = usual, nil
		}
		if len(calls) == 1 {
			c.single(ctx, r, &calls[0])
		} else {
			c.batch(ctx, r, calls)
		}
	}
}

// stale reports whether none of the calls was sent because the server had closed the connection. The next try finds another one.
func stale(calls []Call) bool {
	for i := range calls {
		if !errors.Is(calls[i].Reply.Err, errStale) {
			return false
		}
	}
	return true
}

// A command is one that go-redis must not send again by itself: where the first reply was lost it would find its own work
// done, and say that somebody else did it.
type command struct{ *redis.StringCmd }

// NoRetry implements redis.Cmder.
func (command) NoRetry() bool { return true }

// command makes the command of these words. It lives in the call, and go-redis is done with both when it returns.
func (c *Call) command(ctx context.Context, words []any) command {
	c.cmd = *redis.NewStringCmd(ctx, words...)
	return command{&c.cmd}
}

// single sends one request, in one form after the other until one settles it.
func (c *client) single(ctx context.Context, r redis.UniversalClient, call *Call) {
	for settled := false; !settled; {
		words := call.Request.usual()
		if call.form != usual {
			words = call.words(nil)
		}
		settled = c.settle(call, r.Process(ctx, call.command(ctx, words)))
	}
}

// A batch has the slices that a round trip with several requests needs. They are used again.
type batch struct {
	groups
	words []any
	cmds  []redis.Cmder
}

var batches = sync.Pool{New: func() any { return new(batch) }}

// batch sends several requests in one round trip, and in another those that are not settled by it.
func (c *client) batch(ctx context.Context, r redis.UniversalClient, calls []Call) {
	b := batches.Get().(*batch) //nolint:forcetypeassert // see above
	defer batches.Put(b)
	if c.together() {
		b.group(calls)
	} else {
		b.single(calls)
	}
	for len(b.firsts) > 0 {
		b.words, b.cmds = b.words[:0], b.cmds[:0]
		for _, call := range b.firsts {
			begin := len(b.words)
			b.words = call.words(b.words)
			b.cmds = append(b.cmds, call.command(ctx, b.words[begin:]))
		}
		pipe := r.Pipeline()
		_ = pipe.BatchProcess(ctx, b.cmds...) // only queues them
		_, _ = pipe.Exec(ctx)                 // each command has its own error
		b.firsts = c.settleAll(b.firsts)
	}
}

// settleAll returns those calls that are not settled.
func (c *client) settleAll(firsts []*Call) []*Call {
	var open []*Call
	for _, call := range firsts {
		if err := call.cmd.Err(); call.also != nil {
			open = c.settleGroup(call, err, open)
		} else if !c.settle(call, err) {
			open = append(open, call)
		}
	}
	return open
}

// settle makes a Reply of what go-redis returned. It returns false if the server has done nothing yet and the request is to
// be sent in its next form.
func (c *client) settle(call *Call, err error) bool {
	if call.next(err) {
		return false
	}
	text := call.cmd.Val()
	if err == nil && call.native() && text == "OK" {
		call.Reply = c.signed(Reply{Verdict: OK})
	} else {
		call.Reply = c.signed(replyTo(call.Request, err, text))
	}
	return true
}

// replyTo is the Reply to r, for which go-redis returned an error or a text.
func replyTo(r *Request, err error, text string) Reply {
	if err != nil {
		return failure(r, err)
	}
	return parse(r.Verb, text)
}

// signed returns the Reply with the server's run id.
func (c *client) signed(reply Reply) Reply {
	if s := c.server.Load(); s != nil && reply.Verdict != Unavailable {
		reply.Server = *s
	}
	return reply
}

// identify takes the run id from what INFO said on a new connection. It fails if another server was at the other end before. One that does
// not tell its run id may be any: its answers must not be signed with the id that another connection told.
func (c *client) identify(info string) error {
	id := infoField(info, "run_id")
	if c.server.CompareAndSwap(nil, &id) {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if *c.server.Load() == id {
		return nil
	}
	c.replace(id)
	return errReplaced
}

// replace notes that the address leads to another server now. The connections that there are may lead to the one before, which may be
// another node's too: what came over one would count as a vote of this server. So all of them go, with their client, and
// no request that met the change counts; the first that does is sent over a connection made after it. With mu held.
func (c *client) replace(id string) {
	c.changes.Add(1) // first: who sees the new id sees that it has changed
	c.apart.Store(false)
	c.server.Store(&id)
	if c.redis != nil {
		old := c.redis
		c.redis = c.own()
		go old.Close() //nolint:errcheck // it is of no use any more
	}
}

// Listen implements Node.
func (c *client) Listen(ctx context.Context, inbox string, ready func(), heard func(Notice)) error {
	r, done := c.current()
	defer done()
	if c.cluster {
		return ErrNoListen // a script's PUBLISH there counts only the listeners of one of its nodes
	}
	sub := r.Subscribe(ctx)
	defer sub.Close()                                          //nolint:errcheck // it is of no use any more
	stop := context.AfterFunc(ctx, func() { _ = sub.Close() }) // ends Receive
	defer stop()
	if err := sub.Subscribe(ctx, inbox); err != nil {
		return listenError(ctx, err)
	}
	for {
		message, err := sub.Receive(ctx)
		if err != nil {
			return listenError(ctx, err)
		}
		switch m := message.(type) {
		case *redis.Subscription:
			ready()
		case *redis.Message:
			if n, ok := parseNotice(m.Payload); ok {
				heard(n)
			}
		}
	}
}

// listenError says why a subscription ended.
func listenError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return failure(&Request{}, err).Err
}
