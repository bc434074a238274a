//go:build unix

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-redlock/redlock/cmd/redlock/internal/leash"
	"github.com/go-redlock/redlock/internal/redisserver"
	"github.com/go-redlock/redlock/internal/servertest"
)

// A stand is an environment for `redlock run`: masters, and a file that the command and all its
// descendants keep locked, by flock, as long as one of them lives.
type stand struct {
	t       *testing.T
	servers *redisserver.Servers
	file    string
}

func newStand(t *testing.T) *stand {
	t.Helper()
	if _, err := exec.LookPath("flock"); err != nil {
		servertest.Missing(t, err)
	}
	return &stand{t, startServers(t, 5), filepath.Join(t.TempDir(), "alive")}
}

// redlock returns a call of redlock that is ready to start.
func (s *stand) redlock(args ...string) *exec.Cmd {
	c := exec.CommandContext(s.t.Context(), "redlock", args...)
	c.Env = append(os.Environ(), "REDLOCK_NODES="+strings.Join(s.servers.Addrs(), ","))
	return c
}

// goBuild returns the program as `go install` makes it.
func goBuild(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "redlock")
	if _, err := exec.LookPath("go"); err != nil {
		servertest.Missing(t, err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-buildmode=exe", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// family is a command that starts children and grandchildren, and prints a line when they run.
func (s *stand) family(before string) string {
	return fmt.Sprintf("exec 9>%s; flock 9; %s sleep 1000 & (sleep 1000 & sleep 1000) & echo ready; wait", s.file, before)
}

const stubborn = `trap "" TERM HUP INT;`

// ttl is the TTL of a lock whose end a test waits for. Where a machine is busy with other tests,
// redlock may get no processor for a second or two, and must not lose its lease by that.
const ttl = "5s"

// first starts a run of the command and returns once it is under way.
func (s *stand) first(script string) *exec.Cmd {
	s.t.Helper()
	c := s.redlock("run", "--ttl", ttl, "job", "--", "sh", "-c", script)
	ready, said, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	c.Stdout = said
	s.start(c)
	_ = said.Close()
	s.awaitReady(ready)
	_ = ready.Close()
	return c
}

// start starts a call. What it tells on its standard error is logged if the test fails.
func (s *stand) start(c *exec.Cmd) {
	s.t.Helper()
	told := s.told(c)
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if out, err := os.ReadFile(told); s.t.Failed() && len(out) > 0 {
			s.t.Logf("%s %s: %v\n%s", c.Path, c.Args, err, out)
		}
	})
}

// told sends a call's standard error to a file, unless it goes elsewhere, and returns its name.
// (Wait would wait for the end of a pipe, which the command's descendants keep open.)
func (s *stand) told(c *exec.Cmd) string {
	s.t.Helper()
	if c.Stderr != nil {
		return ""
	}
	file, err := os.CreateTemp(s.t.TempDir(), "told")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = file.Close() })
	c.Stderr = file
	return file.Name()
}

func (s *stand) awaitReady(r io.Reader) {
	s.t.Helper()
	if line, err := bufio.NewReader(r).ReadString('\n'); strings.TrimSpace(line) != "ready" {
		s.t.Fatalf("the command says %q: %v", line, err)
	}
}

// second runs another command under the same lock, and fails the test if any process of the first
// is left when it starts.
func (s *stand) second() {
	s.t.Helper()
	second, told := s.redlock("run", "job", "--", "flock", "--nonblock", s.file, "echo", "alone"), new(bytes.Buffer)
	second.Stderr = told
	if out, err := second.Output(); err != nil || string(out) != "alone\n" {
		s.t.Errorf("the second command starts while something of the first is left: %v\n%s%s", err, out, told)
	}
}

func exitCodeOf(c *exec.Cmd) int {
	_ = c.Wait()
	return c.ProcessState.ExitCode()
}

func TestCommandIsGoneBeforeAnotherStartsWhereTheMastersFreeze(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	first := s.first(s.family(stubborn))
	began := time.Now()
	for i := range 3 {
		if err := s.servers.Process(i).Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	if got := exitCodeOf(first); got != exitLost {
		t.Errorf("exit code %d, not %d", got, exitLost)
	}
	t.Logf("stopped %v after the masters froze, the TTL is %s", time.Since(began), ttl)
	for i := range 3 {
		_ = s.servers.Process(i).Signal(syscall.SIGCONT)
	}
	s.second()
}

func TestALockThatIsLostBeforeTheCommandIsStartedIsTold(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	err := (&runCmd{Name: "job"}).notRun(leash.ErrOver, streams{&out, &out})
	if exitCode(err) != exitLost || out.Len() > 0 {
		t.Errorf("exit code %d, and it says %q", exitCode(err), &out)
	}
	const want = `lock "job": lease lost: its deadline passed before the command was started`
	if got := message(err); got != want {
		t.Errorf("it says %q, not %q", got, want)
	}
}

func TestCommandIsGoneBeforeAnotherStartsWhereRedlockIsKilled(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	first := s.first(s.family(stubborn))
	_ = first.Process.Kill()
	s.second()
}

func TestCommandOfARunInsideARunIsGoneBeforeAnotherStarts(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	first := s.first("exec redlock run --ttl " + ttl + " inner -- sh -c '" + s.family(stubborn) + "'")
	_ = first.Process.Kill()
	s.second()
}

func TestCommandIsGoneBeforeAnotherStartsWhereRedlockIsFrozen(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	first := s.first(s.family(stubborn))
	_ = first.Process.Signal(syscall.SIGSTOP)
	s.second()
	_ = first.Process.Signal(syscall.SIGCONT)
	if got := exitCodeOf(first); got != exitLost {
		t.Errorf("exit code %d, not %d", got, exitLost)
	}
}

func TestCommandIsGoneBeforeAnotherStartsWhereTheLockIsTakenAway(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	first := s.first(s.family(stubborn))
	if out, err := s.redlock("release", "--force", "--yes", "job").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := exitCodeOf(first); got != exitLost {
		t.Errorf("exit code %d, not %d", got, exitLost)
	}
	s.second()
}

func TestCommandIsGoneBeforeAnotherStartsWhereTheTerminalHangsUp(t *testing.T) {
	t.Parallel()
	for _, descendants := range []string{"", `(trap "" HUP TERM; exec sleep 1000) &`} {
		s := newStand(t)
		terminal, side := openTerminal(t)
		first := s.redlock("run", "--ttl", ttl, "job", "--", "sh", "-c", s.family(descendants))
		first.Stdin, first.Stdout, first.Stderr = side, side, side
		first.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		s.start(first)
		_ = side.Close()
		s.awaitReady(terminal)
		_ = terminal.Close()
		s.second()
		if got := exitCodeOf(first); got != exitSignal+int(syscall.SIGHUP) {
			t.Errorf("exit code %d, not that of SIGHUP", got)
		}
	}
}

func TestInterruptFromTheTerminalReachesTheCommand(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	terminal, side := openTerminal(t)
	c := s.redlock("run", "job", "--", "sh", "-c", `trap "exit 9" INT; echo ready; while :; do sleep 0.1; done`)
	c.Stdin, c.Stdout, c.Stderr = side, side, side
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	s.start(c)
	_ = side.Close()
	s.awaitReady(terminal)
	if _, err := terminal.WriteString("\x03"); err != nil {
		t.Fatal(err)
	}
	if got := exitCodeOf(c); got != 9 {
		t.Errorf("exit code %d, not the command's own", got)
	}
}

// openTerminal opens a pseudo-terminal and returns its two sides.
func openTerminal(t *testing.T) (outer, inner *os.File) {
	t.Helper()
	outer, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		servertest.Missing(t, err)
	}
	t.Cleanup(func() { _ = outer.Close() })
	name, err := terminalName(outer)
	if err != nil {
		servertest.Missing(t, err)
	}
	inner, err = os.OpenFile(name, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		servertest.Missing(t, err)
	}
	t.Cleanup(func() { _ = inner.Close() })
	return outer, inner
}

func TestSignalsReachTheCommandAndTheLockIsKeptUntilItHasEnded(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1} {
		first := s.first(fmt.Sprintf(`exec 9>%s; flock 9; trap "sleep 0.3; exit 9" TERM INT HUP USR1; echo ready; while :; do sleep 0.05; done`, s.file))
		_ = first.Process.Signal(sig)
		s.second()
		if got := exitCodeOf(first); got != 9 {
			t.Errorf("%v: exit code %d, not the command's own", sig, got)
		}
	}
}

func TestASignalEndsTheWaitForTheLock(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.first(s.family(""))
	waiting := s.redlock("run", "job", "--", "true")
	s.start(waiting)
	// When redlock is connected to a node, it is past its start, where a signal would end it
	// anyway.
	_ = waiting.Process.Signal(syscall.SIGTERM)
	_ = waiting.Wait()
	if status, ok := waiting.ProcessState.Sys().(syscall.WaitStatus); !ok || waiting.ProcessState.ExitCode() != 143 && status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v", waiting.ProcessState)
	}
}

// TestOneOfManyRunsAtOnceRunsTheCommand starts many runs at once: 40, or as many as
// REDLOCK_TEST_RUNS says. The command of the run that has the lock lasts longer than all others.
func TestOneOfManyRunsAtOnceRunsTheCommand(t *testing.T) { //nolint:paralleltest // uses all processors
	runs := 40
	if text := os.Getenv("REDLOCK_TEST_RUNS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		runs = n
	}
	s := newStand(t)
	dir := t.TempDir()
	end := filepath.Join(dir, "end")
	if err := syscall.Mkfifo(end, 0o600); err != nil {
		t.Fatal(err)
	}
	gate, err := os.OpenFile(end, os.O_RDWR, 0) // does not wait for a reader
	if err != nil {
		t.Fatal(err)
	}
	defer gate.Close() //nolint:errcheck // only its opening and closing matter
	began := filepath.Join(dir, "began")
	codes := make(chan int, runs)
	var starting sync.WaitGroup
	for range runs {
		c := s.redlock("run", "--no-wait", "--ttl", "30s", "nightly", "--", "sh", "-c", fmt.Sprintf("echo x >>%s; read line <%s", began, end))
		starting.Go(func() {
			if err := c.Start(); err != nil {
				t.Error(err)
				codes <- -1
				return
			}
			go func() { codes <- exitCodeOf(c) }()
		})
	}
	starting.Wait()
	count := map[int]int{}
	for range runs - 1 {
		count[<-codes]++
	}
	_, _ = gate.WriteString(strings.Repeat("go\n", runs))
	count[<-codes]++
	text, err := os.ReadFile(began)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "x"); n != 1 || count[0] != 1 {
		t.Errorf("of %d runs %d have started the command; exit codes: %v", runs, n, count)
	}
	t.Logf("%d runs, exit codes: %v", runs, count)
}
