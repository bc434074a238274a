package jitter_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/go-redlock/redlock/internal/jitter"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPausesStayBelowTheirBoundAndRepeatOnceSeeded(t *testing.T) { //nolint:paralleltest // one seed for all
	draw := func() (all [100]time.Duration) {
		for i := range all {
			if all[i] = jitter.N(time.Second); all[i] < 0 || all[i] >= time.Second {
				t.Errorf("%v is not from 0 to a second", all[i])
			}
		}
		return all
	}
	if first, second := draw(), draw(); first == second {
		t.Error("without a seed pauses repeat")
	}
	jitter.Seed(1)
	first, second := draw(), draw()
	jitter.Seed(1)
	if first == second || draw() != first {
		t.Error("what follows a seed does not repeat")
	}
}
