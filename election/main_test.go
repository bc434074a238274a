package election_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if addrs := os.Getenv(candidateVar); addrs != "" {
		os.Exit(candidate(addrs))
	}
	goleak.VerifyTestMain(m)
}
