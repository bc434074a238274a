package redlock

import "sync"

// A registry holds what must end when the Locker is closed. Its mutex is locked after the mutexes
// of attempts.
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

// count returns how many values the registry holds.
func (r *registry[T]) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.live)
}

// close makes the registry refuse further values. The first call returns all values that it holds.
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
