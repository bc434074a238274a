package pool_test

import (
	"net"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// The first lookup of a name makes a channel of the resolver. Made in a bubble, it would belong
	// to that bubble, and the next lookup elsewhere would end the tests.
	_, _ = net.LookupHost("localhost")
	goleak.VerifyTestMain(m)
}
