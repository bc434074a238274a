//go:build !race

package redlock_test

// raceDetector is true where everything is ten times slower and larger.
const raceDetector = false
