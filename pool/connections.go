package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/internal/wire"
)

// ErrConnecting is the cause of [Unavailable] if the time of a request was over while its
// connection was still being made. Nothing was sent. The connection is kept for later requests, so
// one of them finds it in the end, however far away the node is.
var ErrConnecting = wire.ErrConnecting

var (
	errInUse       = errors.New("all connections to the node are in use")
	errUnconnected = errors.New("no connection")
)

const (
	// redialPause is for how long the failure to connect, or to get an answer, answers for further
	// requests. A node that refuses connections would cost an attempt for each; one that is back is
	// found this much later.
	redialPause = 20 * time.Millisecond
	// hedge is after how long without an answer a further attempt begins, while requests wait. The
	// kernel sends a lost SYN again after 1, 3 and 7 s: a new attempt finds a node that is back
	// sooner.
	hedge = time.Second
)

// A connection carries requests to a node, those of one goroutine at a time.
type connection struct {
	carrier
	raw    *conn  // nil: a cluster's, which has many
	server string // run id of the server at its end, "" where it does not tell
	end    func() // closes it, also while it is in use

	recent bool   // the server has told a version that knows what the scripts need
	apart  bool   // the server does not take commands for several locks
	served bool   // an answer to a request came over it
	hungUp error  // the server has
	broken bool   // it cannot be used again
	calls  []call // of the present round trip
	gone   bool   // the address leads to another server now; with connections.mu
}

// trip is what a round trip takes at least, with some room; 0: unknown.
func (cn *connection) trip() time.Duration {
	if cn.raw == nil {
		return 0
	}
	return cn.raw.trip + cn.raw.trip/16
}

// A carrier takes commands to a server: a connection of go-redis, or its client for a cluster.
type carrier interface {
	Process(ctx context.Context, cmd redis.Cmder) error
	Pipeline() redis.Pipeliner
}

// connections are those to one node. A request takes one that rests. Where none does, it has one
// made, in the background and on a time that is not the request's: masters may be so far apart that
// connecting takes longer than a request may. What is made once the request has given up is kept
// for the next.
type connections struct {
	connect func(context.Context, earlyData) (*connection, error) // makes one
	// how long that may take at least
	timeout   time.Duration
	secured   bool          // over TLS
	size      int           // how many there may be
	maxIdle   time.Duration // how long one may rest
	sentinels bool          // are asked where to

	ctx    context.Context //nolint:containedctx // of the attempts: it ends them when no request will come
	cancel context.CancelFunc

	mu    sync.Mutex
	ready []*connection            // those that rest, the last used at the end
	all   map[*connection]struct{} // those that rest or are in use
	// run id of the server that they lead to; nil before the first
	server  *string
	told    int           // number of the attempt whose connection has told that
	begun   int           // attempts so far, which number them
	making  int           // attempts under way
	early   int           // of them, those whose connection has a request already
	latest  time.Time     // when the latest of them began
	longest time.Duration // that a request would have waited
	failed  error         // of the latest attempt; nil if it succeeded
	when    time.Time     // it failed
	// the server hung up on a connection before it answered, and has answered on none since
	doubtful bool
	waiting  []*waiter   // requests, in the order they came
	alarm    *time.Timer // set while any rest: see retire
	closed   bool
}

// A waiter is a request that waits for a connection.
type waiter struct {
	got       chan offer
	until     time.Time     // when its time is over; zero: never
	request   *wire.Request // it, where it may go out with a greeting
	sentEarly bool          // it went out with a greeting; with connections.mu
	left      bool          // it does not wait any more; with connections.mu
}

// An offer is a connection, or why there is none.
type offer struct {
	cn  *connection
	err error
}

func newConnections(timeout, maxIdle time.Duration, size int) *connections {
	s := &connections{timeout: timeout, maxIdle: maxIdle, size: size, all: make(map[*connection]struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// take returns a connection, which the caller gives back. It waits for one no longer than until the
// deadline of ctx, also where ctx does not end then. A request that is all the caller has to send
// may go out while it waits: see earlyData.
func (s *connections) take(ctx context.Context, request *wire.Request) (*connection, error) {
	s.mu.Lock()
	if last := len(s.ready) - 1; last >= 0 {
		cn := s.ready[last]
		s.ready[last] = nil
		s.ready = s.ready[:last]
		s.mu.Unlock()
		return cn, nil
	}
	w, err := s.enqueue(ctx, request)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	cn, err := s.await(ctx, w)
	if err != nil {
		return nil, err
	}
	if !w.sentEarly && !w.until.IsZero() && w.until.Sub(now()) < cn.trip() {
		s.give(cn) // an answer could not come in time, and the connection would be lost with it
		return nil, ErrConnecting
	}
	return cn, nil
}

// enqueue has the request wait for a connection. With mu held.
func (s *connections) enqueue(ctx context.Context, request *wire.Request) (*waiter, error) {
	switch {
	case s.closed:
		return nil, redis.ErrClosed
	case s.failed != nil && s.making == 0 && now().Sub(s.when) < redialPause:
		return nil, s.failed
	}
	w := &waiter{got: make(chan offer, 1), request: request}
	if until, bounded := ctx.Deadline(); bounded {
		w.until = until
		s.longest = max(s.longest, until.Sub(now()))
	}
	s.waiting = append(s.waiting, w)
	s.grow()
	return w, nil
}

// grow begins an attempt to connect if requests wait for more connections than are being made: one
// at a time where the latest has failed or was hung up on, and one more where nothing has come of
// it for long. A connection that has a request already is none of those. With mu held.
func (s *connections) grow() {
	lacks := func() bool {
		if s.failed != nil || s.doubtful {
			return s.making == 0 && (!s.doubtful || len(s.all) == 0)
		}
		return s.making-s.early < len(s.waiting)
	}
	for len(s.waiting) > 0 && s.making+len(s.all) < s.size && (lacks() || now().Sub(s.latest) >= hedge) {
		s.making++
		s.begun++
		s.latest = now()
		go s.attempt(s.begun, max(s.timeout, s.longest))
	}
}

// patience is how long making a connection may take.
func (s *connections) patience() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(s.timeout, s.longest)
}

// attempt makes a connection.
func (s *connections) attempt(number int, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	h := handshake{attempt: number}
	cn, err := func() (cn *connection, err error) {
		defer func() {
			// a user's function, or an answer of a length that there is no room for
			if recover() != nil {
				cn, err = nil, ErrBadReply
			}
		}()
		return s.connect(ctx, func(trip time.Duration) []byte { return s.sendEarly(&h, trip) })
	}()
	// the deadline of a read may come a little before that of ctx, though they are the same
	if deadline, _ := ctx.Deadline(); err != nil && s.ctx.Err() == nil && !now().Before(deadline) {
		err = s.tooFar(timeout)
	}
	if s.made(cn, err, &h) {
		s.unread(cn, h.early.request)
	}
}

// tooFar is the error of an attempt that was not over in time.
func (s *connections) tooFar(timeout time.Duration) error {
	if s.secured { // a server that speaks no TLS waits for the rest of a command
		return fmt.Errorf("%w within %v (Timeout of pool.Dialer): does it speak TLS on that port?", errUnconnected, timeout)
	}
	return fmt.Errorf("%w within %v (Timeout of pool.Dialer)", errUnconnected, timeout)
}

// made hands out the connection that an attempt has made, or tells that it has failed. It reports
// whether the connection is kept for now, for the answer to a request that has left is to be read.
func (s *connections) made(cn *connection, err error, h *handshake) (keep bool) {
	s.mu.Lock()
	s.making--
	early, left := s.finish(h)
	var end []*connection
	switch {
	case err != nil:
		s.failed, s.when = failure(&wire.Request{}, err).Err, now() // which holds no secret
		early.refuse(err)
		if s.making == 0 {
			s.refuse(s.failed)
		}
	case s.closed:
		end = append(end, cn)
		early.refuse(redis.ErrClosed)
	case h.attempt < s.told && cn.server != *s.server: // one begun later leads elsewhere by now
		s.failed = nil
		end = append(end, cn)
		early.refuse(errReplaced)
		s.grow()
	default:
		s.failed = nil
		end = s.identify(cn, h.attempt)
		s.all[cn] = struct{}{}
		switch sent := cn.raw != nil && cn.raw.sentEarly; {
		case sent && left:
			keep = true
		case sent:
			early.got <- offer{cn: cn}
		default: // if any has gone out early, then over one of which nothing came
			early.refuse(errAhead)
			s.offer(cn)
		}
		s.grow()
	}
	s.mu.Unlock()
	for _, cn := range end {
		cn.end()
	}
	return keep
}

// identify notes which server the new connection leads to. If the earlier ones led to another,
// which may be another node's too, what comes over them would count as a vote of this one: so all
// of them go, and no request that they carry counts. A server that does not tell its run id may be
// any. With mu held.
func (s *connections) identify(cn *connection, attempt int) (earlier []*connection) {
	if s.server == nil || *s.server != cn.server {
		for old := range s.all {
			old.gone = true
			earlier = append(earlier, old)
		}
		clear(s.all)
		clear(s.ready)
		s.ready = s.ready[:0]
	}
	s.server, s.told = &cn.server, max(s.told, attempt)
	return earlier
}

// offer has the connection used by the request that has waited longest, or rest. With mu held.
func (s *connections) offer(cn *connection) {
	if len(s.waiting) == 0 {
		s.ready = append(s.ready, cn)
		if s.alarm == nil && cn.raw != nil && !s.closed {
			s.alarm = after(s.maxIdle, s.retire)
		}
		return
	}
	w := s.waiting[0]
	s.waiting = slices.Delete(s.waiting, 0, 1)
	w.got <- offer{cn: cn}
}

// refuse answers all requests that wait. With mu held.
func (s *connections) refuse(err error) {
	for _, w := range s.waiting {
		w.got <- offer{err: err}
	}
	s.waiting = nil
}

// await waits until the request has a connection, or its time is over.
func (s *connections) await(ctx context.Context, w *waiter) (*connection, error) {
	ctx, cancel := ending(ctx)
	defer cancel()
	again := every(hedge)
	defer again.Stop()
	for waiting := true; waiting; {
		select {
		case o := <-w.got:
			return o.cn, o.err
		case <-again.C:
			s.mu.Lock()
			s.grow()
			s.mu.Unlock()
		case <-ctx.Done():
			waiting = false
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case o := <-w.got:
		return o.cn, o.err
	default:
	}
	if w.left = true; w.sentEarly {
		return nil, earlyError{ctx.Err()}
	}
	i := slices.Index(s.waiting, w)
	s.waiting = slices.Delete(s.waiting, i, i+1)
	return nil, s.inVain()
}

// inVain is the error of a request that has no connection at the end of its time. With mu held.
func (s *connections) inVain() error {
	switch {
	case s.making == 0 && s.failed == nil:
		return errInUse
	case s.failed != nil:
		return fmt.Errorf("%w; the last attempt: %w", ErrConnecting, s.failed)
	case s.sentinels:
		return fmt.Errorf("%w: the sentinels are asked for the master, or it does not answer", ErrConnecting)
	default:
		return ErrConnecting
	}
}

// give takes a connection back. It returns false if the address leads to another server than the
// one at the end of this.
func (s *connections) give(cn *connection) (same bool) {
	s.mu.Lock()
	same = !cn.gone
	kept := !s.closed && !cn.broken && !cn.gone
	if cn.served && s.doubtful {
		s.doubtful = false
		s.grow()
	}
	if kept {
		s.offer(cn)
	} else {
		delete(s.all, cn)
		s.replace(cn)
	}
	s.mu.Unlock()
	if !kept {
		cn.end()
	}
	return same
}

// replace begins an attempt to connect in place of cn, if requests wait for it. One over which
// nothing was answered before the server hung up is no better than none: it is a failure to
// connect. With mu held.
func (s *connections) replace(cn *connection) {
	if !cn.served && cn.hungUp != nil {
		s.doubtful = true
		s.failed, s.when = failure(&wire.Request{}, cn.hungUp).Err, now()
		if s.making == 0 && len(s.all) == 0 {
			s.refuse(s.failed)
		}
		return
	}
	s.grow()
}

// retire closes the connections that have rested for long enough, and comes back for the next.
func (s *connections) retire() {
	s.mu.Lock()
	var end []*connection
	s.alarm = nil
	for len(s.ready) > 0 {
		oldest := s.ready[0]
		if left := s.maxIdle - elapsed(oldest.raw.used, now()); left > 0 {
			s.alarm = after(left, s.retire)
			break
		}
		s.ready = slices.Delete(s.ready, 0, 1)
		delete(s.all, oldest)
		end = append(end, oldest)
	}
	s.mu.Unlock()
	for _, cn := range end {
		cn.end()
	}
}

// close ends all connections, those in use and in the making too.
func (s *connections) close() {
	s.cancel()
	s.mu.Lock()
	s.closed = true
	if s.alarm != nil {
		s.alarm.Stop()
	}
	all := s.all
	s.all, s.ready = make(map[*connection]struct{}), nil
	s.refuse(redis.ErrClosed)
	s.mu.Unlock()
	for cn := range all {
		cn.end()
	}
}
