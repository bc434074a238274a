// Package outcome has the words by which metrics and traces tell outcomes apart.
package outcome

import (
	"context"
	"errors"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/pool"
)

// Of returns a word for what a call ended with.
func Of(err error) string {
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
	case pool.OK:
		return "ok"
	case pool.Held:
		return "held"
	case pool.Gone:
		return "gone"
	case pool.Raised:
		return "raised"
	case pool.Quarantined:
		return "quarantined"
	case pool.Refused:
		return "refused"
	case pool.Unavailable:
		return "unavailable"
	case pool.Unanswered:
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
