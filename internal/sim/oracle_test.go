package sim

import (
	"context"
	"sync"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/wire"
)

// A witness records the events of a client's leases, without calling their methods: a call would
// end a lease that is over.
type witness struct {
	client *client

	mu     sync.Mutex
	leases map[*redlock.Lease]time.Time // until when each lasts
}

func (w *witness) Observe(redlock.Event) {}

// ObserveContext implements redlock.ContextObserver.
func (w *witness) ObserveContext(ctx context.Context, e redlock.Event) {
	switch e := e.(type) {
	case redlock.AcquiredEvent:
		w.lasts(ctx, e.Name, e.Validity, false)
	case redlock.RenewedEvent:
		if e.Err == nil {
			w.lasts(ctx, e.Name, e.Left, true)
		}
	}
}

// lasts records that the lease of ctx lasts for d. If it was extended, that must have been before
// its end.
func (w *witness) lasts(ctx context.Context, name string, d time.Duration, extended bool) {
	le, ok := w.client.lease(ctx, name)
	if !ok {
		w.client.world.violate("client %d: a lease's event does not come with its context", w.client.number)
		return
	}
	now := w.client.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if ends, known := w.leases[le]; known && extended && now.After(ends) {
		w.client.world.violate("client %d: the lease of %s was revived %v after it had ended", w.client.number, name, now.Sub(ends))
	}
	w.leases[le] = now.Add(d)
}

// lost records that a node has restarted without its data, at all addresses that lead to it.
func (w *world) lost(node int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, n := range w.nodes {
		if n == w.nodes[node] {
			w.losses[i] = time.Now()
		}
	}
}

// restored records that a node has data again: the owner in that data may extend the lock.
func (w *world) restored(node int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, n := range w.nodes {
		if n == w.nodes[node] {
			delete(w.losses, i)
		}
	}
}

// quarantined judges the answers of a node to requests that were sent at that time: a node that has
// lost its data within the guard's time must grant no lock.
func (w *world) quarantined(node int, sent time.Time, calls []wire.Call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at, lost := w.losses[node]
	if !w.regime.guard || !lost || !sent.After(at) || time.Since(at) >= w.ttl {
		return
	}
	for i := range calls {
		c := &calls[i]
		if v := c.Request.Verb; (v == wire.Acquire || v == wire.Rejoin) && c.Reply.Verdict == wire.OK {
			w.note("node %d gave a lock away (%v) %v after it had lost its data", node, v, time.Since(at))
		}
	}
}

// An extension is known by its owner, and by when its requests count as unanswered.
type extension struct {
	owner string
	until time.Time
}

// begin records the owner of the attempt under way.
func (c *client) begin(calls []wire.Call) {
	for i := range calls {
		if r := calls[i].Request; r.Verb == wire.Acquire {
			c.owner.Store(&r.Owner)
		} else if r.Verb == wire.Repair && r.Token > uint64(time.Now().UnixMicro()) {
			c.world.ahead.Store(true)
		}
	}
}

// mourn records a node's answer to an extension. When a majority has said that the lock is gone, no
// lease of it may be valid any more.
func (w *world) mourn(ctx context.Context, calls []wire.Call) {
	if !w.regime.hands {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range calls {
		r, reply := calls[i].Request, &calls[i].Reply
		until, _ := ctx.Deadline()
		// several have one deadline
		if r.Verb != wire.Extend || reply.Verdict != wire.Gone || len(calls) > 1 {
			continue
		}
		e := extension{r.Owner, until}
		if w.gone[e]++; w.gone[e] > len(w.nodes)/2 && w.ends[r.Owner].IsZero() {
			w.ends[r.Owner] = time.Now()
		}
	}
}

// outlived judges a lease that is still valid, of the latest attempt of its client.
func (c *client) outlived(h *holding) {
	w := c.world
	w.mu.Lock()
	defer w.mu.Unlock()
	owner := c.owner.Load()
	if !w.regime.hands || owner == nil || h.Err() != nil {
		return
	}
	if at := w.ends[*owner]; !at.IsZero() && time.Since(at) > 0 {
		w.note("client %d: a lease is valid %v after a majority has told that its lock is gone", c.number, time.Since(at))
	}
}
