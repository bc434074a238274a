package outcome_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/outcome"
	"github.com/go-redlock/redlock/internal/wire"
)

func TestEveryOutcomeHasAWord(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"ok":        nil,
		"held":      redlock.ErrHeld,
		"no_quorum": redlock.ErrNoQuorum,
		"too_late":  redlock.ErrTooLate,
		"lost":      redlock.ErrLost,
		"released":  redlock.ErrReleased,
		"closed":    redlock.ErrClosed,
		"deadline":  context.DeadlineExceeded,
		"canceled":  context.Canceled,
		"other":     errors.New("something else"),
	} {
		if err != nil {
			err = fmt.Errorf("wrapped: %w", err)
		}
		if got := outcome.Of(err); got != want {
			t.Errorf("Of(%v) = %q, want %q", err, got, want)
		}
	}
	seen := make(map[string]bool)
	for v := wire.OK; v <= wire.Unavailable; v++ {
		w := outcome.OfNode(v)
		if seen[w] || w == "other" {
			t.Errorf("OfNode(%v) = %q, which another verdict has too", v, w)
		}
		seen[w] = true
	}
}

func TestTheVerdictWinsOverTheEndOfTheWait(t *testing.T) {
	t.Parallel()
	if got := outcome.Of(errors.Join(context.DeadlineExceeded, redlock.ErrHeld)); got != "held" {
		t.Errorf("a wait for a held lock that ran out of time counts as %q", got)
	}
}
