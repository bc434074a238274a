package redlock

import (
	"sync"

	"github.com/go-redlock/redlock/internal/clock"
)

// seenNames bounds how many names a Locker remembers the tokens of.
const seenNames = 4096

// tokens remembers the greatest fencing token seen of each of the names used last. It keeps hints
// from falling behind where this machine's wall clock does. To forget is harmless, so two
// generations of a map do: when the young one is full it becomes the old one, and the old one is
// dropped.
type tokens struct {
	mu         sync.Mutex
	young, old map[string]uint64
}

// last returns the greatest token seen of name, or 0.
func (t *tokens) last(name string) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return max(t.young[name], t.old[name])
}

// observe remembers a token of name.
func (t *tokens) observe(name string, token uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.young == nil || len(t.young) >= seenNames {
		t.young, t.old = make(map[string]uint64), t.young
	}
	t.young[name] = max(token, t.young[name], t.old[name])
}

// hint is what the tokens of an attempt at the lock that begins now should be: the time, in
// microseconds, or more where this clock lags behind the tokens it has seen.
func (t *tokens) hint(lock string, start clock.Moment) uint64 {
	return max(uint64(max(start.Wall.Microseconds(), 1)), t.last(lock)+1)
}
