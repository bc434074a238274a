package redlock

import (
	"context"
	"log/slog"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/dispatch"
	"github.com/go-redlock/redlock/internal/notify"
	"github.com/go-redlock/redlock/internal/release"
	"github.com/go-redlock/redlock/internal/schedule"
	"github.com/go-redlock/redlock/internal/wire"
)

// An engine is what all locks of a [Locker] share: the nodes and the lines to them, the background
// work, the log and the observers.
type engine struct {
	config
	lines    []*dispatch.Line
	quorum   int
	tokens   tokens
	notifier *notify.Notifier
	renewals *schedule.Schedule
	journal  journal
	outage   outage
	dispatch *dispatch.Dispatcher
	health   []health           // by node
	backlogs []*release.Backlog // by node
	leases   registry[closer]   // that have not ended
	closed   chan struct{}
}

// A closer ends when its Locker is closed.
type closer interface{ close() }

// hooks returns what the dispatcher calls for events of the nodes.
func (en *engine) hooks() dispatch.Hooks {
	return dispatch.Hooks{
		Full:  func(node int) bool { return en.backlogs[node].Full() },
		Alive: func(node int) { en.backlogs[node].Settle() },
		Heard: en.heard,
		Duplicate: func(node, of int) {
			en.journal.note(slog.LevelWarn, "redlock: two nodes are one server; the second has no vote",
				"node", en.lines[node].Node().Addr(), "same", en.lines[of].Node().Addr())
		},
	}
}

// heard reports an answer of a node to the log and the observers.
func (en *engine) heard(node int, v wire.Verb, r *wire.Reply, took time.Duration, back time.Time) {
	addr := en.lines[node].Node().Addr()
	en.health[node].watch(&en.journal, addr, v, r, back)
	if len(en.observers) > 0 {
		en.observe(context.Background(), NodeEvent{Node: addr, Verb: v, Verdict: r.Verdict, Latency: took, Err: r.Err})
	}
}

// gaveUp reports that the release of a key was given up: because the node refused it for too long,
// or, if why is nil, because too many releases wait.
func (en *engine) gaveUp(node int, why error) {
	addr := en.lines[node].Node().Addr()
	if why == nil {
		en.logger.Warn("redlock: gave up the release of a key, which lasts until its TTL: too many are owed to its node", "node", addr)
	} else {
		en.logger.Warn("redlock: a node refused the release of a key until its TTL was over", "node", addr, "error", why)
	}
	en.observe(context.Background(), DroppedEvent{Node: addr, Err: why})
}

// pause waits for d. It returns an error if ctx ended or the Locker was closed first.
func (en *engine) pause(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	over, timer := clock.After(en.clock, d)
	defer timer.Stop()
	select {
	case <-over:
		return nil
	case <-en.closed:
		return ErrClosed
	case <-ctx.Done():
		return ended(ctx)
	}
}

// hasListeners reports whether there is an observer or a logger. It calls no user code.
func (en *engine) hasListeners() bool {
	return len(en.observers) > 0 || en.logger.Handler() != slog.DiscardHandler
}

// listens reports whether an observer or the logger wants an event of that level. It calls the
// user's logger, so no mutex may be held.
func (en *engine) listens(level slog.Level) bool {
	return len(en.observers) > 0 || en.logger.Enabled(context.Background(), level)
}

// failed reports that a call which began then ended without a lease.
func (en *engine) failed(ctx context.Context, name string, k kind, err error, began time.Time) {
	if len(en.observers) > 0 {
		en.observe(ctx, FailedEvent{Name: name, Kind: k.name(), Err: err, Wait: en.clock.Now().Sub(began)})
	}
}

// emit logs an event, and passes it to the observers.
func (en *engine) emit(ctx context.Context, level slog.Level, text string, e Event) {
	if en.logger.Enabled(ctx, level) {
		en.logger.Log(ctx, level, text, "event", e)
	}
	en.observe(ctx, e)
}

// observe passes an event to the observers.
func (en *engine) observe(ctx context.Context, e Event) {
	for _, o := range en.observers {
		if c, ok := o.(ContextObserver); ok {
			c.ObserveContext(ctx, e)
		} else {
			o.Observe(e)
		}
	}
}
