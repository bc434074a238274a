//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-redlock/redlock"
)

// A held is what the command runs under: the leases of its locks, or the lease of a permit.
type held interface {
	Until() time.Time
	Done() <-chan struct{}
	Unlock(ctx context.Context) error
}

// checkSlots checks the flag --slots.
func (r *runCmd) checkSlots() error {
	switch {
	case r.Slots == nil:
		return nil
	case *r.Slots < 1 || *r.Slots > redlock.MaxPermits:
		return usageError{fmt.Errorf("--slots=%d: from 1 to %d", *r.Slots, redlock.MaxPermits)}
	case r.Shared:
		return usageError{errors.New("--slots: not with --shared")}
	case len(r.Also) > 0:
		return usageError{errors.New("--slots: it goes with one name only, not with --also")}
	}
	return nil
}

// take takes the locks, or a permit.
func (r *runCmd) take(ctx context.Context, locks *redlock.Locker) (held, error) {
	var opts []redlock.MutexOption
	try := r.NoWait || r.Wait != nil && *r.Wait == 0
	if r.Wait != nil && !try {
		opts = append(opts, redlock.WithWait(*r.Wait))
	}
	if r.Slots != nil {
		s := locks.Semaphore(r.Name, *r.Slots, opts...)
		if try {
			return s.TryAcquire(ctx)
		}
		return s.Acquire(ctx)
	}
	var ms []*redlock.Mutex
	for _, name := range r.names() {
		m := locks.Mutex(name, opts...)
		if r.Shared {
			m = m.Shared()
		}
		ms = append(ms, m)
	}
	if try {
		return redlock.TryLockAll(ctx, ms...)
	}
	return redlock.LockAll(ctx, ms...)
}

// subject names what was to be taken, for errors.
func (r *runCmd) subject() string {
	switch {
	case r.Slots != nil:
		return fmt.Sprintf("permit of %q", r.Name)
	case len(r.Also) == 0:
		return fmt.Sprintf("lock %q", r.Name)
	}
	return fmt.Sprintf("locks %q", r.names())
}

// environment returns the command's environment variables.
func (r *runCmd) environment(h held) []string {
	env := append(os.Environ(), "REDLOCK_UNTIL="+h.Until().UTC().Format("2006-01-02T15:04:05.000Z07:00"))
	for i, name := range r.names() {
		suffix := ""
		if i > 0 {
			suffix = fmt.Sprintf("_%d", i+1)
		}
		var fence uint64
		switch h := h.(type) {
		case *redlock.Leases:
			fence = h.Lease(name).Fence()
		case *redlock.Lease:
			fence = h.Fence()
			env = append(env, fmt.Sprintf("REDLOCK_SLOT=%d", h.Slot()))
		}
		env = append(env, fmt.Sprintf("REDLOCK_NAME%s=%s", suffix, name), fmt.Sprintf("REDLOCK_FENCE%s=%d", suffix, fence))
	}
	return env
}
