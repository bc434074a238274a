// Package outcome has the words by which metrics and traces tell outcomes apart.
package outcome

import (
	"context"
	"errors"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/wire"
)

// Of returns a word for what a call ended with.
func Of(err error) string {
	if q, ok := err.(*redlock.QuorumError); ok { //nolint:errorlint // what it wraps may be another's
		// its verdict, or the context's error if there was none: the rest is what ended the wait,
		// and the nodes' causes; and a context's cause is no verdict of this call
		switch err = q.Unwrap()[0]; {
		case errors.Is(err, context.Canceled):
			return "canceled"
		case errors.Is(err, context.DeadlineExceeded):
			return "deadline"
		}
	}
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, redlock.ErrLost):
		return "lost"
	case errors.Is(err, redlock.ErrHeld):
		return "held"
	case errors.Is(err, redlock.ErrTooLate):
		return "too_late"
	case errors.Is(err, redlock.ErrNoQuorum):
		return "no_quorum"
	case errors.Is(err, redlock.ErrReleased):
		return "released"
	case errors.Is(err, redlock.ErrClosed):
		return "closed"
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	return "other"
}

// OfNode returns a word for what one node answered.
func OfNode(v redlock.Verdict) string {
	switch v {
	case wire.OK:
		return "ok"
	case wire.Held:
		return "held"
	case wire.Gone:
		return "gone"
	case wire.Raised:
		return "raised"
	case wire.Quarantined:
		return "quarantined"
	case wire.Refused:
		return "refused"
	case wire.Unavailable:
		return "unavailable"
	case wire.Unanswered:
	}
	return "other"
}

// OfDropped returns a word for why a release was given up, for which a [redlock.DroppedEvent] gives
// this error.
func OfDropped(err error) string {
	if err != nil {
		return "refused"
	}
	return "backlog"
}
