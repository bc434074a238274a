//go:build unix

package leash_test

import (
	"bufio"
	"errors"
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
	if life, ok := os.LookupEnv("LEASH_TEST_LIFE"); ok {
		hold(life)
	}
	goleak.VerifyTestMain(m)
}

// hold runs a shell script on a leash that ends after life and is never extended. It writes down
// the deadline.
func hold(life string) {
	d, err := time.ParseDuration(life)
	check(err)
	grace, err := time.ParseDuration(os.Getenv("LEASH_TEST_GRACE"))
	check(err)
	l, err := leash.Start(leash.Command{
		Path: "/bin/sh", Args: []string{"sh", "-c", os.Args[1]}, Env: os.Environ, Grace: grace, Slack: stop - grace,
		Until: func() time.Time {
			_, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			check(err) // there is no child: how long the guardian takes to start would count
			until := time.Now().Add(d)
			check(os.WriteFile(os.Getenv("LEASH_TEST_UNTIL"), []byte(until.Format(time.RFC3339Nano)), 0o600))
			return until
		},
	})
	check(err)
	<-l.Gone()
	os.Exit(l.ExitCode())
}

// check ends the holder if there is an error, and says so where the script would.
func check(err error) {
	if err != nil {
		_ = os.WriteFile(os.Getenv("LEASH_TEST_OUT"), []byte(err.Error()), 0)
		os.Exit(1)
	}
}

// A holder is a process that holds a script on a leash. The script and all its descendants have out
// open, so they are gone when out ends.
type holder struct {
	*exec.Cmd
	out   *bufio.Reader
	until string // the file with the deadline, once the script runs
}

// start starts a holder whose leash ends after life, and that stops the script with that grace.
func start(t *testing.T, life, grace time.Duration, script string) *holder {
	t.Helper()
	dir := t.TempDir()
	pipe := filepath.Join(dir, "out")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	h := &holder{Cmd: exec.CommandContext(t.Context(), os.Args[0], "exec >"+pipe+" 2>&1;"+script), until: filepath.Join(dir, "until")}
	h.Env = append(os.Environ(), "LEASH_TEST_LIFE="+life.String(), "LEASH_TEST_GRACE="+grace.String(), "LEASH_TEST_UNTIL="+h.until, "LEASH_TEST_OUT="+pipe)
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

// gone waits until nothing of the script is left, and returns how long before the deadline that
// happened.
func (h *holder) gone(t *testing.T) time.Duration {
	t.Helper()
	if _, err := io.Copy(io.Discard, h.out); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	text, err := os.ReadFile(h.until)
	if err != nil {
		t.Fatal(err)
	}
	until, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		t.Fatal(err)
	}
	return until.Sub(now)
}

const (
	long     = time.Hour
	stop     = 900 * time.Millisecond  // from SIGTERM to the deadline
	brief    = stop / 9                // a grace that leaves the kernel time
	ample    = stop / 2                // one that leaves the command time
	short    = 2950 * time.Millisecond // too short for one who looks at the clock once a second
	family   = `sleep 1000 & (sleep 1000 & sleep 1000) & `
	stubborn = `trap "" TERM HUP INT; ` + family
)

func TestExitStatusPassesThrough(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -KILL $$": 137, "kill -TERM $$": 143} {
		h := start(t, long, brief, script)
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
		h := start(t, long, brief, before+"echo ready; exit 3")
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
	h := start(t, short, brief, stubborn+"echo ready; wait")
	h.await(t, "ready")
	if early := h.gone(t); early < 0 {
		t.Errorf("gone %v after the deadline", -early)
	}
	_ = h.Wait()
	if got := h.ProcessState.ExitCode(); got != 137 {
		t.Errorf("exit status %d, not that of SIGKILL", got)
	}
}

func TestGroupIsToldToEndBeforeItIsKilled(t *testing.T) {
	t.Parallel()
	h := start(t, short, ample, `trap "echo told; exit 9" TERM; echo ready; sleep 1000 & wait`)
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
	h := start(t, long, brief, stubborn+"echo ready; wait")
	h.await(t, "ready")
	_ = h.Process.Kill()
	h.gone(t) // otherwise it would take 1000 s
}

func TestGroupIsGoneBeforeTheDeadlineThoughItsHolderIsFrozen(t *testing.T) {
	t.Parallel()
	h := start(t, short, brief, stubborn+"echo ready; wait")
	h.await(t, "ready")
	_ = h.Process.Signal(syscall.SIGSTOP)
	if early := h.gone(t); early < 0 {
		t.Errorf("gone %v after the deadline", -early)
	}
}

func TestACommandThatCannotBeStartedIsAnError(t *testing.T) {
	t.Parallel()
	until := func() time.Time { return time.Now().Add(time.Hour) }
	if _, err := leash.Start(leash.Command{Path: "/no/such/command", Args: []string{"x"}, Env: os.Environ, Until: until}); err == nil {
		t.Error("no error")
	}
}

func TestACommandIsNotStartedAfterItsDeadline(t *testing.T) {
	t.Parallel()
	ran := filepath.Join(t.TempDir(), "ran")
	_, err := leash.Start(leash.Command{Path: "/bin/sh", Args: []string{"sh", "-c", "echo >" + ran}, Env: os.Environ, Until: time.Now})
	if !errors.Is(err, leash.ErrOver) {
		t.Errorf("error: %v", err)
	}
	if _, err := os.Stat(ran); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it has run: %v", err)
	}
}
