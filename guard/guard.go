// Package guard keeps a protected resource safe from a holder that was paused past its lease: the
// resource remembers the greatest fencing token it has seen, and refuses a smaller one. There is a
// guard for SQL databases, for Redis and for files.
//
//	err = locks.Do(ctx, "report", func(ctx context.Context, lease *redlock.Lease) error {
//		return guard.WriteFile(path, lease.Fence(), text) // ErrStale if a later holder has written
//	})
//
// # For another resource
//
// Do as these do. Three things make a guard one:
//
//   - The resource checks the token and stores in one atomic step.
//   - A new holder registers its token before its first read: what it reads then cannot be
//     overwritten by an older holder.
//   - The resource keeps the token for as long as an older holder may yet write: a key that expires
//     or is evicted, a replica that takes over without it, or a backup that is played back forget
//     it.
//
// # Tokens
//
// The token is [redlock.Lease.Fence]. An equal one is accepted, for one holder writes more than
// once. Token 0, which a lease without fencing has, is refused with [ErrNoToken], and so is one
// above all that leases have. All functions may be called concurrently, in any number of processes.
//
// [redlock.Lease.Fence]: https://pkg.go.dev/github.com/go-redlock/redlock#Lease.Fence
package guard

import (
	"errors"
	"fmt"
)

// ErrStale says that the resource has seen a greater token. A later holder has been there, and
// nothing was changed.
var ErrStale = errors.New("guard: stale fencing token")

// ErrNoToken says that the token is 0, so the lease was taken without fencing and guards nothing,
// or above all that leases have.
var ErrNoToken = errors.New("guard: no fencing token")

// maxToken is above all tokens of leases. Up to there every resource can compare them exactly.
const maxToken = 1 << 53

func check(token uint64) error {
	if token == 0 || token > maxToken {
		return ErrNoToken
	}
	return nil
}

func stale(resource string, token uint64) error {
	return fmt.Errorf("%w %d for %q", ErrStale, token, resource)
}
