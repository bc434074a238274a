//go:build unix

package leash_test

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/go-redlock/redlock/cmd/redlock/internal/leash"
)

func TestMain(m *testing.M) {
	leash.Guard()
	if until, ok := os.LookupEnv("LEASH_TEST_UNTIL"); ok {
		hold(until)
	}
	goleak.VerifyTestMain(m)
}

// hold runs a shell script on a leash that ends at that time and is never extended.
func hold(deadline string) {
	until, err := time.Parse(time.RFC3339Nano, deadline)
	if err != nil {
		panic(err)
	}
	l, err := leash.Start(leash.Command{
		Path: "/bin/sh", Args: []string{"sh", "-c", os.Args[1]}, Env: os.Environ(),
		Until: time.Now().Add(time.Until(until)), Grace: 300 * time.Millisecond, Slack: 200 * time.Millisecond,
	})
	if err != nil {
		panic(err)
	}
	<-l.Gone()
	os.Exit(l.ExitCode())
}

// A holder is a process that holds a script on a leash. The script and all its descendants have out
// open, so they are gone when out ends.
type holder struct {
	*exec.Cmd
	out   *bufio.Reader
	began time.Time
}

// start starts a holder whose leash ends after life, counted from now: how long the holder takes to
// start does not put that off.
func start(t *testing.T, life time.Duration, script string) *holder {
	t.Helper()
	pipe := filepath.Join(t.TempDir(), "out")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	h := &holder{Cmd: exec.CommandContext(t.Context(), os.Args[0], "exec >"+pipe+" 2>&1;"+script), began: time.Now()}
	h.Env = append(os.Environ(), "LEASH_TEST_UNTIL="+h.began.Add(life).Format(time.RFC3339Nano))
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Process.Kill(); _ = h.Wait() })
	out, err := os.Open(pipe)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = out.Close() })
	h.out = bufio.NewReader(out)
	return h
}

// await waits for a line of the script.
func (h *holder) await(t *testing.T, line string) {
	t.Helper()
	got, err := h.out.ReadString('\n')
	if err != nil || strings.TrimSpace(got) != line {
		t.Fatalf("the script said %q (%v), not %q", got, err, line)
	}
}

// gone waits until nothing of the script is left, and returns how long after the start that
// happened.
func (h *holder) gone(t *testing.T) time.Duration {
	t.Helper()
	if _, err := io.Copy(io.Discard, h.out); err != nil {
		t.Fatal(err)
	}
	return time.Since(h.began)
}

const (
	long     = time.Hour
	family   = `sleep 1000 & (sleep 1000 & sleep 1000) & `
	stubborn = `trap "" TERM HUP INT; ` + family
)

func TestExitStatusPassesThrough(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -KILL $$": 137, "kill -TERM $$": 143} {
		h := start(t, long, script)
		h.gone(t)
		_ = h.Wait()
		if got := h.ProcessState.ExitCode(); got != want {
			t.Errorf("%q: exit status %d, not %d", script, got, want)
		}
	}
}

func TestWhatACommandLeavesBehindIsStoppedBeforeItCountsAsEnded(t *testing.T) {
	t.Parallel()
	for _, before := range []string{family, stubborn} {
		h := start(t, long, before+"echo ready; exit 3")
		h.await(t, "ready")
		h.gone(t)
		_ = h.Wait()
		if got := h.ProcessState.ExitCode(); got != 3 {
			t.Errorf("exit status %d, not 3", got)
		}
	}
}

func TestGroupIsGoneBeforeTheDeadline(t *testing.T) {
	t.Parallel()
	h := start(t, 2*time.Second, stubborn+"echo ready; wait")
	h.await(t, "ready")
	if took := h.gone(t); took > 2*time.Second {
		t.Errorf("gone after %v, the deadline was after 2s", took)
	}
	_ = h.Wait()
	if got := h.ProcessState.ExitCode(); got != 137 {
		t.Errorf("exit status %d, not that of SIGKILL", got)
	}
}

func TestGroupIsToldToEndBeforeItIsKilled(t *testing.T) {
	t.Parallel()
	h := start(t, 2*time.Second, `trap "echo told; exit 9" TERM; echo ready; sleep 1000 & wait`)
	h.await(t, "ready")
	h.await(t, "told")
	h.gone(t)
	_ = h.Wait()
	if got := h.ProcessState.ExitCode(); got != 9 {
		t.Errorf("exit status %d, not the command's own", got)
	}
}

func TestGroupIsGoneOnceItsHolderIsKilled(t *testing.T) {
	t.Parallel()
	h := start(t, long, stubborn+"echo ready; wait")
	h.await(t, "ready")
	_ = h.Process.Kill()
	h.gone(t) // otherwise it would take 1000 s
}

func TestGroupIsGoneBeforeTheDeadlineThoughItsHolderIsFrozen(t *testing.T) {
	t.Parallel()
	h := start(t, 2*time.Second, stubborn+"echo ready; wait")
	h.await(t, "ready")
	_ = h.Process.Signal(syscall.SIGSTOP)
	if took := h.gone(t); took > 2*time.Second {
		t.Errorf("gone after %v, the deadline was after 2s", took)
	}
}

func TestACommandThatCannotBeStartedIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := leash.Start(leash.Command{Path: "/no/such/command", Args: []string{"x"}, Until: time.Now().Add(time.Hour)}); err == nil {
		t.Error("no error")
	}
}
