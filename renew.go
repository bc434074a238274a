package redlock

import (
	"log/slog"
	"time"

	"github.com/go-redlock/redlock/internal/clock"
)

// renewalSlack is how much sooner than due a renewal may be sent, to go out together with others;
// for a short TTL it is the part of it that slackDivisor says.
const (
	renewalSlack = 10 * time.Millisecond
	slackDivisor = 32
)

// startRenewal has the lease renewed until it ends: from a third of the TTL on, and when that fails
// again and again until the deadline. What is due at about the same time goes out together, so that
// the lines can batch it. Nobody waits for the answers.
func (le *Lease) startRenewal() {
	le.claim.mu.Lock()
	at := le.renewal()
	le.claim.unlock()
	le.claim.locker.renewals.Add(&le.renewing, renewing{le}, at)
}

// renewing is the renewal of a lease as a task: a lease has no exported method for it.
type renewing struct{ lease *Lease }

// Run implements schedule.Task: it renews the lease if it is time to, and returns when to look at
// it again; false if never.
func (r renewing) Run() (clock.Moment, bool) {
	le, c := r.lease, r.lease.claim
	c.mu.Lock()
	defer c.unlock()
	le.check()
	now := clock.Present(c.locker.clock)
	if le.cause != nil || now.Mono.Sub(le.start.Mono) >= le.terms.maxHold {
		return clock.Moment{}, false
	}
	ttl := c.terms.ttl
	if due := le.renewal(); due.Until(now) > min(renewalSlack, ttl/slackDivisor) {
		return due, true
	}
	if left := le.left(); left < ttl/3 && !le.danger {
		le.danger = true
		le.note(slog.LevelWarn, "redlock: lease in danger: its renewals fail", DangerEvent{Name: c.name, Left: left})
	}
	le.extend(true)
	return now.Add(le.retryPause()), true
}

// renewal is when the lease is to be renewed: a third of the TTL after the start of what set its
// deadline, or sooner where the drift takes most of a short one. With mu held.
func (le *Lease) renewal() clock.Moment {
	ttl := le.claim.terms.ttl
	return le.deadline.Add(min(ttl/3, validity(ttl)/2) - validity(ttl))
}
