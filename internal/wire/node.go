package wire

import (
	"context"
	"errors"
	"time"
)

// ErrNoListen is returned by Listen of a node that cannot have subscriptions, such as a whole
// cluster.
var ErrNoListen = errors.New("the node cannot have subscriptions")

// A Node is one independent master that takes requests in lock verbs.
//
// All methods may be called concurrently.
type Node interface {
	// Addr names the node in errors, logs and events. It holds no credential.
	Addr() string

	// Do carries the calls to the node in one round trip and fills in the Reply of each; an empty
	// slice does nothing. It returns when all are answered, when the deadline of ctx has passed, or
	// when the node cannot be reached. It keeps the deadline even if a connection is still being
	// made or an answer is outstanding, and even if ctx reports the deadline but never ends. A call
	// without an answer then has a Reply with [Unavailable]; its request may still be executed, now
	// or later, unless Reply.Unsent is set. Each request is carried out at most once, in no
	// particular order.
	Do(ctx context.Context, calls []Call)

	// Listen subscribes to an inbox, and to that of the same process's readers, until ctx ends. It
	// calls ready once the node has confirmed the subscription, and heard for each notice after
	// that, both one at a time from the calling goroutine or one of its own; they must not block.
	// It returns when ctx ends, with ctx's error, or when it cannot subscribe or the subscription
	// breaks, with the cause. It leaves no connection or goroutine behind. It does not try again.
	// [ErrNoListen] says that the node cannot have subscriptions at all.
	Listen(ctx context.Context, inbox string, ready func(), heard func(Notice)) error

	// Open registers one more user of the node and returns the function that ends that use. When
	// the last use ends, the node's connections are closed. A call after that makes its own
	// connection. The function is idempotent.
	Open() (closeNode func() error)
}

// A Call is one request to one node and, once [Node.Do] has returned, the node's reply to it.
type Call struct {
	Request *Request
	Reply   Reply
}

// A Notice tells an inbox about a lock that it waits for. It is a hint: it may be lost, late or
// wrong.
type Notice struct {
	Lock string // the lock key
	// Reader is true if the inbox of the process's readers was told.
	Reader bool
	// Shared is true if readers have the lock, and the inbox is the first in the queue: its waiter
	// should ask for the lock, which keeps further readers out.
	Shared bool
	// Next is zero if the node has reserved the lock for the inbox, which should claim it, or if
	// Shared is set. Otherwise the inbox is the second in the queue: if nobody has claimed the lock
	// after Next, its waiter should look at the lock.
	Next time.Duration
}
