package pool

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/go-redlock/redlock/internal/wire"
)

// A boarding gives what goes out with the greeting of a connection, in one write: the request that
// has waited longest for one, if its time allows for a round trip that takes that long. So a
// request that finds no connection costs no round trip more than connecting does.
//
// The request is written once: from then on it waits for this connection and no other. Its answer
// comes behind those to the greeting, and so it is read after they have been judged, or not at all.
type boarding func(trip time.Duration) []byte

// A boarded error is why a connection came to nothing over which a request had gone out: it may
// have been carried out.
type boarded struct{ error }

// Unwrap returns the reason.
func (e boarded) Unwrap() error { return e.error }

// A gate is where a request boards the connection that one attempt makes.
type gate struct {
	attempt int     // its number
	rider   *waiter // it, once it has
	shut    bool    // the attempt is over
}

// board has the request that has waited longest go out with the greeting.
func (s *connections) board(g *gate, trip time.Duration) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g.shut || g.rider != nil || len(s.waiting) == 0 {
		return nil
	}
	w := s.waiting[0]
	if w.request == nil || !w.until.IsZero() && w.until.Sub(now()) < trip {
		return nil
	}
	ride := appendWords(nil, newCall(w.request, named).words(nil))
	if ride == nil {
		return nil
	}
	s.waiting = slices.Delete(s.waiting, 0, 1)
	s.boarded++
	g.rider, w.aboard = w, true
	return ride
}

// refuse tells a request that has boarded, if there is one, why the connection came to nothing.
// With mu held.
func (w *waiter) refuse(err error) {
	if w != nil {
		w.got <- offer{err: boarded{err}}
	}
}

// alight shuts the gate and returns the request that has boarded, if any still waits, and whether
// one does no more: its answer is in the way of others then. With mu held.
func (s *connections) alight(g *gate) (rider *waiter, left bool) {
	g.shut = true
	if g.rider == nil {
		return nil, false
	}
	s.boarded--
	if g.rider.left {
		return nil, true
	}
	return g.rider, false
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
