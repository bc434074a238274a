//go:build unix

package main

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// An ignorance is a way to start redlock with signals ignored. Each test sends those signals.
type ignorance struct {
	redlock string // the program
	start   string // what a shell does before it executes redlock
	flag    string
	signals []syscall.Signal
}

var ignorances = map[string]ignorance{
	"nohup":                    {"redlock", `trap "" HUP`, "", []syscall.Signal{syscall.SIGHUP}},
	"a script's background":    {"redlock", `trap "" INT QUIT`, "", []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT}},
	"the flag":                 {"redlock", ":", "--ignore-signal=TERM,SIGUSR1", []syscall.Signal{syscall.SIGTERM, syscall.SIGUSR1}},
	"both, and an end to none": {"redlock", `trap "" HUP CHLD`, "--ignore-signal=term", []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM}},
}

// under returns a call of redlock, which a shell executes after it has ignored the signals. The
// process may get signals as soon as it runs.
func (s *stand) under(i ignorance, args ...string) *exec.Cmd {
	args = append([]string{"-c", i.start + `; exec "$@"`, "sh", i.redlock}, args...)
	c := exec.CommandContext(s.t.Context(), "sh", args...)
	c.Env = s.redlock().Env
	return c
}

// lines starts a call, and returns its output line by line.
func (s *stand) lines(c *exec.Cmd) *bufio.Reader {
	s.t.Helper()
	out, err := c.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	s.start(c)
	return bufio.NewReader(out)
}

// await fails the test unless this is the next line.
func await(t *testing.T, out *bufio.Reader, want string) {
	t.Helper()
	if line, err := out.ReadString('\n'); strings.TrimSpace(line) != want {
		t.Fatalf("the command says %q (%v), not %q", line, err, want)
	}
}

// pipe makes a named pipe that can be written to even if nobody reads.
func pipe(t *testing.T) (name string, w *os.File) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return name, w
}

func TestSignalsThatWereIgnoredStayIgnoredWhileTheCommandRuns(t *testing.T) {
	t.Parallel()
	for name, i := range ignorances {
		s := newStand(t)
		// If redlock did not ignore one of them, it would end, and so would the command. The
		// command answers the last one.
		args := []string{"run", "job", "--", "sh", "-c", `trap "echo heard; exit 7" USR2; sleep 1000 & echo ready; wait`}
		if i.flag != "" {
			args = append([]string{"run", i.flag}, args[1:]...)
		}
		c := s.under(i, args...)
		out := s.lines(c)
		await(t, out, "ready")
		for _, sig := range i.signals {
			_ = c.Process.Signal(sig)
		}
		_ = c.Process.Signal(syscall.SIGUSR2)
		await(t, out, "heard")
		if got := exitCodeOf(c); got != 7 {
			t.Errorf("%s: exit code %d, not the command's own", name, got)
		}
	}
}

func TestTheCommandIgnoresWhatRedlockWasStartedToIgnore(t *testing.T) {
	t.Parallel()
	for name, i := range ignorances {
		s := newStand(t)
		args := []string{"run", "job", "--", "sh", "-c"}
		if i.flag != "" {
			args = []string{"run", i.flag, "job", "--", "sh", "-c"}
		}
		kills := ""
		for _, sig := range i.signals {
			kills += "kill -" + map[syscall.Signal]string{
				syscall.SIGHUP: "HUP", syscall.SIGINT: "INT", syscall.SIGQUIT: "QUIT", syscall.SIGTERM: "TERM", syscall.SIGUSR1: "USR1",
			}[sig] + " $$;"
		}
		if out, err := s.under(i, append(args, kills+"exit 9")...).CombinedOutput(); err == nil || !strings.Contains(err.Error(), "status 9") {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}

func TestSignalsThatWereIgnoredDoNotEndTheWaitForTheLock(t *testing.T) {
	t.Parallel()
	for name, i := range ignorances {
		s := newStand(t)
		end, w := pipe(t)
		first := s.first("echo ready; read line <" + end)
		waits := s.monitor(`"subscribe"`)
		args := []string{"run", "job", "--", "echo", "mine"}
		if i.flag != "" {
			args = append([]string{"run", i.flag}, args[1:]...)
		}
		c := s.under(i, args...)
		out := s.lines(c)
		waits()
		for _, sig := range i.signals {
			_ = c.Process.Signal(sig)
		}
		_, _ = w.WriteString("go\n")
		if got := exitCodeOf(first); got != 0 {
			t.Errorf("%s: the first ends with %d", name, got)
		}
		await(t, out, "mine")
		if got := exitCodeOf(c); got != 0 {
			t.Errorf("%s: exit code %d", name, got)
		}
	}
}

func TestSignalsThatWereIgnoredDoNotEndOtherSubcommands(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	c := s.under(ignorances["a script's background"], "inspect", "--watch", "--every", "20ms", "--json", "job")
	out := s.lines(c)
	state := func() string {
		line, err := out.ReadString('\n')
		_, state, _ := strings.Cut(line, `"state":"`)
		state, _, _ = strings.Cut(state, `"`)
		if err != nil {
			t.Fatalf("it has ended: %v", err)
		}
		return state
	}
	if got := state(); got != "free" {
		t.Fatalf("the lock is %s", got)
	}
	_ = c.Process.Signal(syscall.SIGINT)
	_ = c.Process.Signal(syscall.SIGQUIT)
	if out, err := s.redlock("run", "--min-hold", "1h", "job", "--", "true").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for state() != "held" { //nolint:revive // every line is read
	}
	_ = c.Process.Signal(syscall.SIGTERM)
	if got := exitCodeOf(c); got != 0 {
		t.Errorf("exit code %d", got)
	}
}

// monitor returns a function that waits until the first master gets this command.
func (s *stand) monitor(command string) func() {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.servers.Addrs()[0])
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	if _, err := conn.Write([]byte("MONITOR\r\n")); err != nil {
		s.t.Fatal(err)
	}
	seen := bufio.NewReader(conn)
	await(s.t, seen, "+OK")
	return func() {
		s.t.Helper()
		for {
			line, err := seen.ReadString('\n')
			if err != nil {
				s.t.Fatal(err)
			}
			if strings.Contains(strings.ToLower(line), command) {
				return
			}
		}
	}
}

// Go handles the others before main is called. Only in a program with its symbol table can redlock
// find out which were ignored. `go install` makes such a program, `go test` does not.
func TestSignalsThatAShellTrapsToNothingStayIgnored(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" || strconv.IntSize != 64 {
		t.Skip("not known on this system")
	}
	trapped := ignorance{goBuild(t), `trap "" TERM USR1 PIPE CHLD`, "", nil}
	s := newStand(t)
	end, w := pipe(t)
	first := s.first("echo ready; read line <" + end)
	waits := s.monitor(`"subscribe"`)
	c := s.under(trapped, "run", "job", "--", "sh", "-c", "kill -TERM $PPID; kill -USR1 $PPID; kill -TERM $$; kill -USR1 $$; kill -PIPE $$; exit 7")
	s.start(c)
	waits()
	_ = c.Process.Signal(syscall.SIGTERM)
	_, _ = w.WriteString("go\n")
	if got := exitCodeOf(first); got != 0 {
		t.Errorf("the first ends with %d", got)
	}
	if got := exitCodeOf(c); got != 7 {
		t.Errorf("exit code %d, not the command's own", got)
	}
}
