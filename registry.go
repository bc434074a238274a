package redlock

import "sync"

// A registry holds what lives until the Locker is closed. Its mutex comes after those of attempts.
type registry[T comparable] struct {
	mu     sync.Mutex
	live   map[T]struct{}
	closed bool
}

// add adds x. It returns false if the registry was closed before.
func (r *registry[T]) add(x T) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	if r.live == nil {
		r.live = make(map[T]struct{})
	}
	r.live[x] = struct{}{}
	return true
}

// remove removes x, if it is there.
func (r *registry[T]) remove(x T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.live, x)
}

// count is how many are there.
func (r *registry[T]) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.live)
}

// close has the registry take no more. The first call returns all that are there.
func (r *registry[T]) close() (live []T, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, false
	}
	r.closed = true
	for x := range r.live {
		live = append(live, x)
	}
	return live, true
}
