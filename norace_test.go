//go:build !race

package redlock_test

// raceDetector is true in a binary with the race detector, which makes everything ten times slower
// and larger.
const raceDetector = false
