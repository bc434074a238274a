// Package servertest starts real masters for tests.
package servertest

import (
	"errors"
	"os"

	"github.com/go-redlock/redlock/internal/redisserver"
)

// A Test has the methods that are needed of a testing.TB, or of its replacement in a script.
type Test interface {
	Helper()
	Skip(args ...any)
	Fatal(args ...any)
	Cleanup(f func())
}

// Start starts n masters, which end with the test. If the machine has no server, it calls
// [Missing].
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

// Missing ends a test because the machine lacks something: the test is skipped, or fails with
// CI=true, because CI must have everything.
func Missing(t Test, what any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}
