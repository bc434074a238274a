// Package guard keeps a protected resource safe from a holder that was paused past its lease: the resource remembers the
// greatest fencing token it has seen, and refuses a smaller one. There is a guard for SQL databases, for Redis and for
// files; for another resource do as they do.
//
// Three things make a guard one. The resource checks the token and stores in one atomic step. A new holder
// registers its token before its first read: what it reads then cannot be overwritten by an older holder. And the resource keeps the token for
// as long as an older holder may yet write: a key that expires or is evicted, a replica that takes over without it, or a backup that
// is played back forget it.
//
// The token is [redlock.Lease.Fence]. Token 0, which a lease without fencing has, is refused.
//
// [redlock.Lease.Fence]: https://pkg.go.dev/github.com/go-redlock/redlock#Lease.Fence
package guard

import (
	"errors"
	"fmt"
)

// ErrStale says that the resource has seen a greater token. A later holder has been there, and nothing was changed.
var ErrStale = errors.New("guard: stale fencing token")

// ErrNoToken says that the token is 0, so the lease was taken without fencing and guards nothing, or above all that leases have.
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
