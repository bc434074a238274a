//go:build unix

package election_test

import (
	"syscall"
	"testing"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/servertest"
)

// A leader that is stopped past its term, and goes on, notices that it has lost the lead, and
// campaigns again.
func TestALeaderThatWasStoppedCampaignsAgain(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, 5)
	first := campaigner(t, s)
	one := first.token(t)
	next := campaigner(t, s)
	if err := first.process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	two := next.token(t)
	if err := first.process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if line := first.next(t); line != redlock.ErrLost.Error() {
		t.Errorf("the first says %s", line)
	}
	if err := next.process.Kill(); err != nil {
		t.Fatal(err)
	}
	if three := first.token(t); one >= two || two >= three {
		t.Errorf("the tokens are %d, %d, %d", one, two, three)
	}
}
