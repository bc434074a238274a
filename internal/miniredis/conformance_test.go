package miniredis_test

import (
	"flag"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"

	"github.com/go-redlock/redlock/internal/conformance"
)

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m)
}

func TestMiniredisAnswersAsTheMasterInMemoryDoes(t *testing.T) {
	t.Parallel()
	mini := miniredis.RunT(t)
	mini.ClockTTL(true)
	conformance.Compare(t, mini.Addr(), false)
}
