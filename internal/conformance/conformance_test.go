package conformance_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/go-redlock/redlock/internal/conformance"
	"github.com/go-redlock/redlock/internal/servertest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m)
}

func TestRealServersAnswerAsTheMasterInMemoryDoes(t *testing.T) {
	t.Parallel()
	addrs := strings.FieldsFunc(os.Getenv("REDLOCK_TEST_ADDRS"), func(r rune) bool { return r == ',' || r == ' ' })
	if len(addrs) == 0 {
		addrs = servertest.Start(t, 1).Addrs()
	}
	for _, addr := range addrs {
		t.Run(addr, func(t *testing.T) {
			t.Parallel()
			conformance.Compare(t, addr, true)
		})
	}
}
