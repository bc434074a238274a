package outcome_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/clustertest"
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

// A late node cannot be reached in time.
type late struct{}

func (late) Addr() string { return "late" }

func (late) Open() func() error { return func() error { return nil } }

func (late) Listen(context.Context, string, func(), func(wire.Notice)) error {
	return wire.ErrNoListen
}

func (late) Do(_ context.Context, calls []wire.Call) {
	for i := range calls {
		calls[i].Reply = wire.Reply{Verdict: wire.Unavailable, Unsent: true, Err: context.DeadlineExceeded}
	}
}

// A node's cause may be the end of a time, whatever ended the wait.
func TestTheCauseOfANodeIsNotTheOutcome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(3)
		c.Freeze(0, 1)
		l, err := redlock.New(append(c.Nodes()[:2], wire.Seal(late{})))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(50*time.Millisecond, func() { cancel(redlock.ErrHeld) }) // of another call
		_, err = l.TryLock(ctx, "a")
		if got := outcome.Of(err); got != "canceled" || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v counts as %q", err, got)
		}
		c.Thaw(0, 1)
		if err := l.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestTheVerdictWinsOverTheEndOfTheWait(t *testing.T) {
	t.Parallel()
	if got := outcome.Of(errors.Join(context.DeadlineExceeded, redlock.ErrHeld)); got != "held" {
		t.Errorf("a wait for a held lock that ran out of time counts as %q", got)
	}
}
