// Package servertest starts real masters for tests.
package servertest

import (
	"errors"
	"os"

	"github.com/go-redlock/redlock/internal/redisserver"
)

// A Test is what is needed of a testing.TB, and of what stands for one in a script.
type Test interface {
	Helper()
	Skip(args ...any)
	Fatal(args ...any)
	Cleanup(f func())
}

// Start starts n masters, which end with the test. Where the machine has none to start it is a case
// of [Missing].
func Start(t Test, n int, args ...string) *redisserver.Servers {
	t.Helper()
	s, err := redisserver.Start(n, args...)
	switch {
	case errors.Is(err, redisserver.ErrNone):
		Missing(t, err)
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// Missing ends a test that lacks something of the machine: it is skipped, but fails under CI=true,
// where all is there.
func Missing(t Test, what any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}
