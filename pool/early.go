package pool

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/go-redlock/redlock/internal/wire"
)

// An earlyData function returns what is sent together with the greeting of a connection, in one
// write: the request that has waited longest for a connection, if its time allows for a round trip
// of that duration. So a request that finds no connection costs no round trip in addition to
// connecting. The term comes from TLS 1.3 (RFC 8446, 2.3), where data is sent with the handshake.
//
// The request is written once: from then on it waits for this connection and no other. Its answer
// comes after the answers to the greeting. So it is read only after they have been checked, or not
// at all.
type earlyData func(trip time.Duration) []byte

// An earlyError is why a connection failed over which a request had been sent: the request may have
// been carried out.
type earlyError struct{ error }

// Unwrap returns the reason.
func (e earlyError) Unwrap() error { return e.error }

// A handshake is one attempt to connect, and the request that is sent with its greeting.
type handshake struct {
	attempt int     // its number
	early   *waiter // the request, once it was sent
	over    bool    // no request may be sent with it any more
}

// sendEarly returns the request that has waited longest, to be sent with the greeting.
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

// refuse answers the request that was sent early, if there is one, with why the connection failed.
// With mu held.
func (w *waiter) refuse(err error) {
	if w != nil {
		w.got <- offer{err: earlyError{err}}
	}
}

// finish ends the handshake. It returns the request that was sent with it, if that still waits.
// left is true if that request no longer waits: then its answer must be read before the connection
// can be used. With mu held.
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

// unread reads the answer to a request that was sent but no longer waits. No other request may get
// that answer.
func (s *connections) unread(cn *connection, r *wire.Request) {
	defer func() {
		if recover() != nil { // an answer announced a length that cannot be allocated
			cn.broken = true
		}
		s.give(cn)
	}()
	ctx, cancel := context.WithTimeout(s.ctx, s.patience())
	defer cancel()
	c := newCall(r, named)
	cn.note(cn.Process(ctx, c.command(ctx, c.words(nil))))
}

// appendWords appends a command as go-redis writes it, or returns nil if a word has a type that no
// request uses.
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
