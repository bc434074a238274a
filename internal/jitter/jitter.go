// Package jitter draws the random part of pauses. The simulation seeds it, so that a schedule can
// be run again.
package jitter

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// A source is what random pauses come from after Seed.
type source struct {
	mu     sync.Mutex
	random *rand.Rand
}

var seeded atomic.Pointer[source]

// Seed makes N return the same numbers again. It is for tests.
func Seed(seed uint64) { seeded.Store(&source{random: rand.New(rand.NewPCG(seed, 0))}) } //nolint:gosec // nothing secret

// N returns a duration from zero to d, d excluded. It panics if d is not positive. It may be called
// concurrently.
func N(d time.Duration) time.Duration {
	s := seeded.Load()
	if s == nil {
		return rand.N(d) //nolint:gosec // nothing secret
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Duration(s.random.Int64N(int64(d)))
}
