package redlock

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redlock/redlock/internal/dispatch"
	"github.com/go-redlock/redlock/internal/wire"
)

const (
	// unrest is how long a wait without a quorum, or making a connection, lasts before it is
	// logged.
	unrest = time.Second
	// minLogPause and maxLogPause bound how long a change that was just logged is not logged again:
	// see pace.
	minLogPause, maxLogPause = 10 * time.Second, 10 * time.Minute
)

// A journal passes lines to the logger, in the order in which they were noted, from a separate
// goroutine. So the user's logger never runs while a mutex is held, and delays no node.
type journal struct {
	logger *slog.Logger
	spawn  func(func()) // runs it in a goroutine

	mu    sync.Mutex
	lines []journalLine
	busy  bool // write is running
}

type journalLine struct {
	level slog.Level
	text  string
	args  []any
}

// note queues a line for the log. It may be called with any mutex held.
func (j *journal) note(level slog.Level, text string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, journalLine{level, text, args})
	if !j.busy {
		j.busy = true
		j.spawn(j.write)
	}
}

// write logs what was noted.
func (j *journal) write() {
	for lines := j.take(); len(lines) > 0; lines = j.take() {
		for _, l := range lines {
			j.logger.Log(context.Background(), l.level, l.text, l.args...)
		}
	}
}

// take returns the lines that are to be logged. If there are none, write ends.
func (j *journal) take() []journalLine {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines
	j.lines, j.busy = nil, len(lines) > 0
	return lines
}

// A pace keeps a repeated change from filling the log: each time the change is logged, the pause
// before it is logged again doubles, up to maxLogPause. If the change then stays away for a further
// pause, the pauses start anew.
type pace struct {
	next  time.Time
	pause time.Duration
}

// allows reports whether a change that happens now is logged.
func (p *pace) allows(now time.Time) bool {
	if now.Before(p.next) {
		return false
	}
	p.pause *= 2
	if now.Sub(p.next) >= p.pause {
		p.pause = 0
	}
	p.pause = min(max(p.pause, minLogPause), maxLogPause)
	p.next = now.Add(p.pause)
	return true
}

// A health is what was logged about one node.
type health struct {
	ill atomic.Bool // its last answers were failures

	mu      sync.Mutex
	verdict Verdict   // of these
	verb    wire.Verb // what was asked
	since   time.Time // when they began
	told    bool      // it was logged that the node does not serve
	unsaid  bool      // but not yet with this verdict
	paces   [wire.Unavailable + 1]pace
}

// watch logs when the node ceases to serve, with the cause, and when it serves again.
func (h *health) watch(j *journal, node string, v wire.Verb, r *wire.Reply, now time.Time) {
	switch r.Verdict {
	case wire.Refused, wire.Unavailable, wire.Quarantined:
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.fails(v, r, now) {
			j.note(slog.LevelWarn, "redlock: node does not serve", h.details(node, r)...)
		}
	default:
		if !h.ill.Load() {
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if after := now.Sub(h.since); h.recovers(v) {
			j.note(slog.LevelInfo, "redlock: node serves again", "node", node, "after", after)
		}
	}
}

// details returns the attributes that are logged with a failure.
func (h *health) details(node string, r *wire.Reply) []any {
	args := []any{"node", node, "verdict", r.Verdict.String(), "verb", h.verb.String()}
	if r.Verdict == wire.Quarantined {
		return append(args, "for", r.TTL)
	}
	return append(args, "error", r.Err)
}

// fails notes a failure, and reports whether it is logged. With mu held.
func (h *health) fails(v wire.Verb, r *wire.Reply, now time.Time) bool {
	if !h.ill.Swap(true) {
		h.since = now
	}
	if h.verdict != r.Verdict {
		h.verdict, h.verb, h.unsaid = r.Verdict, v, true
	}
	switch {
	case !h.unsaid:
	case errors.Is(r.Err, wire.ErrConnecting) && now.Sub(h.since) < unrest:
		// Connecting takes a while with every node.
	case h.paces[r.Verdict].allows(now):
		h.told, h.unsaid = true, false
		return true
	}
	return false
}

// recovers notes an answer, and reports whether it is logged that the node serves again. A node
// that refused some requests while it carried out others serves again once it carries out the kind
// that it refused. With mu held.
func (h *health) recovers(v wire.Verb) (tell bool) {
	switch h.verdict {
	case wire.Refused:
		if v != h.verb && h.verb != wire.Check {
			return false
		}
	case wire.Quarantined: // which only keeps it from granting locks
		if !dispatch.Takes(v) && v != wire.Check {
			return false
		}
	default:
	}
	h.ill.Store(false)
	h.verdict, h.unsaid = wire.OK, false
	tell, h.told = h.told, false
	return tell
}

// An outage is what was logged about a missing quorum.
type outage struct {
	told atomic.Bool

	mu    sync.Mutex
	since time.Time
	pace  pace
}

// lasts notes that a Lock has found no quorum since then, and still waits. That is logged once for
// all waiting calls.
func (o *outage) lasts(j *journal, since, now time.Time, why *QuorumError) {
	if now.Sub(since) < unrest {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.told.Load() && o.pace.allows(now) {
		o.told.Store(true)
		o.since = since
		j.note(slog.LevelWarn, "redlock: Lock waits without a quorum", "error", why)
	}
}

// over notes that a quorum has answered.
func (o *outage) over(j *journal, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.told.Swap(false) {
		j.note(slog.LevelInfo, "redlock: a quorum answers again", "after", now.Sub(o.since))
	}
}
