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
	// redialPause is how long a failure to connect, or to get an answer, is also the answer to
	// further requests. Otherwise a node that refuses connections would cost an attempt to connect
	// for each request. A node that is back is found this much later.
	redialPause = 20 * time.Millisecond
	// hedge is how long an attempt to connect may take before a further attempt begins, while
	// requests wait. The kernel sends a lost SYN again after 1, 3 and 7 s: a new attempt finds a
	// node that is back sooner.
	hedge = time.Second
)

// A connection carries requests to a node, for one goroutine at a time.
type connection struct {
	carrier
	raw    *conn  // nil: a cluster's, which has many
	server string // run id of the server at its end, "" if the server does not tell
	end    func() // closes it, also while it is in use

	recent bool   // the server's version is known, and the scripts work with it
	apart  bool   // the server does not take commands for several locks
	served bool   // it has brought an answer to a request
	hungUp error  // the server has
	broken bool   // it cannot be used again
	calls  []call // of the current round trip
	gone   bool   // the address leads to another server now; with connections.mu
}

// trip is how long a round trip takes at least, with a small margin; 0: unknown.
func (cn *connection) trip() time.Duration {
	if cn.raw == nil {
		return 0
	}
	return cn.raw.trip + cn.raw.trip/16
}

// A carrier sends commands to a server: a connection of go-redis, or its client for a cluster.
type carrier interface {
	Process(ctx context.Context, cmd redis.Cmder) error
	Pipeline() redis.Pipeliner
}

// connections are the connections to one node. A request takes an idle one. If there is none, it
// has one made, in the background and on a time limit that is not the request's: masters may be so
// far apart that connecting takes longer than a request may. A connection that is made after the
// request has given up is kept for the next one.
type connections struct {
	connect func(context.Context, earlyData) (*connection, error) // makes one
	// how long that may take at least
	timeout   time.Duration
	secured   bool          // over TLS
	size      int           // how many there may be
	maxIdle   time.Duration // how long one may be idle
	sentinels bool          // sentinels are asked for the address

	ctx    context.Context //nolint:containedctx // of the attempts: it ends them when no request will come
	cancel context.CancelFunc

	mu    sync.Mutex
	ready []*connection            // idle ones, the last used at the end
	all   map[*connection]struct{} // idle or in use
	// run id of the server to which they lead; nil before the first
	server  *string
	told    int           // number of the attempt whose connection reported that
	begun   int           // attempts so far, which number them
	making  int           // attempts under way
	early   int           // of these, the attempts that have sent a request already
	latest  time.Time     // when the latest of them began
	longest time.Duration // time that a request would have waited
	failed  error         // error of the latest attempt; nil if it succeeded
	when    time.Time     // it failed
	// the server closed a connection before it answered a request, and has answered none since
	doubtful bool
	waiting  []*waiter   // requests, in the order they came
	alarm    *time.Timer // set while any rest: see retire
	closed   bool
}

// A waiter is a request that waits for a connection.
type waiter struct {
	got       chan offer
	until     time.Time     // when its time is over; zero: never
	request   *wire.Request // the request, if it may be sent with a greeting
	sentEarly bool          // it was sent with a greeting; with connections.mu
	left      bool          // it no longer waits; with connections.mu
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
		s.give(cn) // no answer could come in time, and the connection would be lost too
		return nil, ErrConnecting
	}
	return cn, nil
}

// enqueue makes the request wait for a connection. With mu held.
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

// grow begins attempts to connect if requests wait for more connections than are being made. If the
// latest attempt failed, or the server closed its connection without an answer, there is only one
// attempt at a time. If the latest attempt takes long, one more begins. An attempt that has sent a
// request already does not count. With mu held.
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
			// a user's function panicked, or an answer announced a length that cannot be allocated
			if recover() != nil {
				cn, err = nil, ErrBadReply
			}
		}()
		return s.connect(ctx, func(trip time.Duration) []byte { return s.sendEarly(&h, trip) })
	}()
	// a read may end a little before ctx, although they have the same deadline
	if deadline, _ := ctx.Deadline(); err != nil && s.ctx.Err() == nil && !now().Before(deadline) {
		err = s.tooFar(timeout)
	}
	if s.made(cn, err, &h) {
		s.unread(cn, h.early.request)
	}
}

// tooFar is the error of an attempt that took too long.
func (s *connections) tooFar(timeout time.Duration) error {
	if s.secured { // a server without TLS waits for the rest of a command
		return fmt.Errorf("%w within %v (Timeout of pool.Dialer): does it speak TLS on that port?", errUnconnected, timeout)
	}
	return fmt.Errorf("%w within %v (Timeout of pool.Dialer)", errUnconnected, timeout)
}

// made hands out the connection that an attempt has made, or reports that it has failed. It returns
// true if the connection is not yet free, because the answer to a request that no longer waits must
// be read first.
func (s *connections) made(cn *connection, err error, h *handshake) (keep bool) {
	s.mu.Lock()
	s.making--
	early, left := s.finish(h)
	var end []*connection
	switch {
	case err != nil:
		s.failed, s.when = failure(&wire.Request{}, err).Err, now() // this contains no secret
		early.refuse(err)
		if s.making == 0 {
			s.refuse(s.failed)
		}
	case s.closed:
		end = append(end, cn)
		early.refuse(redis.ErrClosed)
	case h.attempt < s.told && cn.server != *s.server: // a later attempt has reached another server
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
		default: // a request that was sent early went over a connection that failed
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

// identify notes which server the new connection leads to. If earlier connections led to another
// server, which may be another node's too, an answer over them would count as a vote of this
// server: so all of them are closed, and no answer over them counts. Servers that do not tell a run
// id count as one. With mu held.
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

// offer gives the connection to the request that has waited longest, or makes it idle. With mu
// held.
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

// await waits until the request gets a connection, or its time is over.
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

// inVain is the error of a request that got no connection in its time. With mu held.
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

// give returns a connection. It returns false if the address now leads to another server than the
// connection does.
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

// replace begins an attempt to connect in place of cn, if requests wait. If the server closed cn
// before it answered any request, that counts as a failure to connect. With mu held.
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

// retire closes the connections that have been idle for too long, and sets the timer for the next.
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

// close ends all connections, also those in use and those that are being made.
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
