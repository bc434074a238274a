package pool

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/go-redlock/redlock/internal/wire"
)

// An earlyData function gives what goes out with the greeting of a connection, in one write: the
// request that has waited longest for one, if its time allows for a round trip that takes that
// long. So a request that finds no connection costs no round trip more than connecting does. The
// term is that of TLS 1.3 (RFC 8446, 2.3), where data goes out with the handshake.
//
// The request is written once: from then on it waits for this connection and no other. Its answer
// comes behind those to the greeting, and so it is read after they have been judged, or not at all.
type earlyData func(trip time.Duration) []byte

// An earlyError is why a connection came to nothing over which a request had gone out: it may
// have been carried out.
type earlyError struct{ error }

// Unwrap returns the reason.
func (e earlyError) Unwrap() error { return e.error }

// A handshake is one attempt to connect, and the request that goes out with its greeting.
type handshake struct {
	attempt int     // its number
	early   *waiter // the request, once it has gone out
	over    bool    // no request may go out with it any more
}

// sendEarly has the request that has waited longest go out with the greeting.
func (s *connections) sendEarly(h *handshake, trip time.Duration) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.over || h.early != nil || len(s.waiting) == 0 {
		return nil
	}
	w := s.waiting[0]
	if w.request == nil || !w.until.IsZero() && w.until.Sub(now()) < trip {
		return nil
	}
	early := appendWords(nil, newCall(w.request, named).words(nil))
	if early == nil {
		return nil
	}
	s.waiting = slices.Delete(s.waiting, 0, 1)
	s.early++
	h.early, w.sentEarly = w, true
	return early
}

// refuse tells a request that has gone out early, if there is one, why the connection came to
// nothing. With mu held.
func (w *waiter) refuse(err error) {
	if w != nil {
		w.got <- offer{err: earlyError{err}}
	}
}

// finish ends the handshake. It returns the request that has gone out with it, if that still waits,
// and whether one does no more: its answer is in the way of others then. With mu held.
func (s *connections) finish(h *handshake) (early *waiter, left bool) {
	h.over = true
	if h.early == nil {
		return nil, false
	}
	s.early--
	if h.early.left {
		return nil, true
	}
	return h.early, false
}

// unread reads the answer to a request that has gone out and is not waited for any more. No other
// may have it.
func (s *connections) unread(cn *connection, r *wire.Request) {
	defer func() {
		if recover() != nil { // an answer of a length that there is no room for
			cn.broken = true
		}
		s.give(cn)
	}()
	ctx, cancel := context.WithTimeout(s.ctx, s.patience())
	defer cancel()
	c := newCall(r, named)
	cn.note(cn.Process(ctx, c.command(ctx, c.words(nil))))
}

// appendWords appends a command as go-redis writes it, or returns nil if there is a word of a kind
// that no request has.
func appendWords(b []byte, words []any) []byte {
	spelled := make([]string, len(words))
	for i, word := range words {
		switch w := word.(type) {
		case string:
			spelled[i] = w
		case *string:
			spelled[i] = *w
		case *uint64:
			spelled[i] = strconv.FormatUint(*w, 10)
		case int, int64:
			spelled[i] = fmt.Sprint(w)
		default:
			return nil
		}
	}
	return appendCommand(b, spelled...)
}
