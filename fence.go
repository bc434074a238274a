package redlock

import (
	"sync"

	"github.com/go-redlock/redlock/internal/clock"
)

// seenNames bounds for how many names each generation remembers tokens.
const seenNames = 4096

// tokens remembers the greatest fencing token seen for each recently used name. So hints do not
// fall behind if this machine's wall clock does. Forgetting a token is harmless, so two generations
// of a map suffice: when the young one is full it becomes the old one, and the old one is dropped.
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

// hint is the token that an attempt at the lock asks for if it begins at start: the time, in
// microseconds, or more if this clock lags behind the tokens it has seen.
func (t *tokens) hint(lock string, start clock.Moment) uint64 {
	return max(uint64(max(start.Wall.Microseconds(), 1)), t.last(lock)+1)
}
