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
//   - The resource checks the token and stores the new data in one atomic step.
//   - A new holder registers its token before its first read: an older holder then cannot overwrite
//     what the new one has read.
//   - The resource keeps the token for as long as an older holder may still write. It loses the
//     token if a key expires or is evicted, if a replica takes over without it, or if an older
//     backup is restored.
//
// # Tokens
//
// The token is [redlock.Lease.Fence]. A resource accepts an equal token, because one holder may
// write more than once. Token 0, which a lease without fencing has, is refused with [ErrNoToken],
// and so is a token too great for any lease. All functions may be called concurrently, in any
// number of processes.
//
// [redlock.Lease.Fence]: https://pkg.go.dev/github.com/go-redlock/redlock#Lease.Fence
package guard

import (
	"errors"
	"fmt"
)

// ErrStale says that the resource has seen a greater token: a later holder has used it. Nothing was
// changed.
var ErrStale = errors.New("guard: stale fencing token")

// ErrNoToken says that the token is 0, as for a lease without fencing, or too great for any lease.
var ErrNoToken = errors.New("guard: no fencing token")

// maxToken is above all tokens of leases. Every resource compares numbers up to it exactly.
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
