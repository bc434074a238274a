//go:build unix

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/go-redlock/redlock/internal/servertest"
)

func init() { programs["become"] = become }

// nobody is a user without privileges.
const nobody = 65534

// become is a program that any user may run as root. Like sudo, it becomes root permanently and
// executes a command.
func become() {
	if err := syscall.Setuid(0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	path, err := exec.LookPath(os.Args[1])
	if err == nil {
		err = syscall.Exec(path, os.Args[1:], os.Environ()) //nolint:gosec // a test's own command
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// A servant is a call of redlock by nobody. It records what redlock and its command print.
type servant struct {
	*exec.Cmd
	out, err *bufio.Reader
}

// servant starts `redlock run job -- args…` as nobody, with the TTL of these tests.
func (s *stand) servant(args ...string) *servant {
	s.t.Helper()
	return s.servantOf("redlock", append([]string{"run", "--ttl", ttl, "job", "--"}, args...)...)
}

// servantOf starts a program as nobody, who can call redlock and become, and waits until the
// command says that it is ready.
func (s *stand) servantOf(program string, args ...string) *servant {
	s.t.Helper()
	if os.Getuid() != 0 {
		servertest.Missing(s.t, "it takes root to start processes of different users")
	}
	dir, err := os.MkdirTemp("", "redlock")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	check := func(err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	check(os.Chmod(dir, 0o755)) //nolint:gosec // so that nobody can read it
	self, err := os.Executable()
	check(err)
	binary, err := os.ReadFile(self)
	check(err)
	for name, mode := range map[string]os.FileMode{"redlock": 0o755, "become": 0o755 | os.ModeSetuid} {
		path := filepath.Join(dir, name)
		check(os.WriteFile(path, binary, 0o700)) //nolint:gosec // a program
		check(os.Chmod(path, mode))
	}
	c := exec.CommandContext(s.t.Context(), filepath.Join(dir, program), args...)
	c.Env = s.redlock().Env
	c.Env = append(c.Env, "PATH="+dir+":"+os.Getenv("PATH"))
	c.Dir = dir
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := c.StdoutPipe()
	check(err)
	errOut, err := c.StderrPipe()
	check(err)
	s.start(c)
	v := &servant{c, bufio.NewReader(out), bufio.NewReader(errOut)}
	await(s.t, v.out, "ready")
	return v
}

// says waits until redlock prints that.
func (v *servant) says(t *testing.T, want string) {
	t.Helper()
	for {
		line, err := v.err.ReadString('\n')
		if err != nil {
			t.Fatalf("it does not say %q: %v", want, err)
		}
		if strings.Contains(line, want) {
			return
		}
		if strings.Contains(line, "was stopped") {
			t.Fatalf("it says %q", line)
		}
	}
}

func TestACommandOfAnotherUserIsNotSaidToBeStopped(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*stand){
		"the masters freeze": func(s *stand) {
			for i := range 3 {
				_ = s.servers.Process(i).Signal(syscall.SIGSTOP)
			}
		},
		"the lock is taken away": func(s *stand) {
			if out, err := s.redlock("release", "--force", "--yes", "job").CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		},
	} {
		for _, shell := range []string{`exec become sh -c "$1"`, `become sh -c "$1"; true`} {
			s := newStand(t)
			end, w := pipe(t)
			v := s.servant("sh", "-c", shell, "sh", "echo ready; read line <"+end+"; echo ended")
			lose(s)
			v.says(t, "cannot stop the command")
			_, _ = w.WriteString("go\n") // the command has gone on all the time
			await(t, v.out, "ended")
			v.says(t, "could not be stopped")
			if got := exitCodeOf(v.Cmd); got != exitUnstopped {
				t.Errorf("%s: exit code %d, not %d", name, got, exitUnstopped)
			}
		}
	}
}

func TestTheLockIsKeptWhileSomethingOfAnotherUserIsLeftBehind(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	end, w := pipe(t)
	// The command ends only when the process that it leaves behind has become another user's:
	// before, redlock could stop that process.
	const script = `d=$(mktemp -d); mkfifo "$d/up"; become sh -c "echo up >$d/up; $1" & read up <"$d/up"; rm -r "$d"; exit 3`
	v := s.servant("sh", "-c", script, "sh", "echo ready; read line <"+end)
	v.says(t, "cannot stop the command, or what it has left behind")
	other := s.redlock("run", "--no-wait", "job", "--", "true")
	s.start(other)
	if got := exitCodeOf(other); got != exitHeld {
		t.Errorf("another has the lock meanwhile: exit code %d", got)
	}
	_, _ = w.WriteString("go\n")
	if got := exitCodeOf(v.Cmd); got != 3 {
		t.Errorf("exit code %d, not the command's own", got)
	}
}

func TestASignalThatCannotBePassedOnIsTold(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	end, w := pipe(t)
	v := s.servant("become", "sh", "-c", "echo ready; read line <"+end+"; exit 4")
	_ = v.Process.Signal(syscall.SIGTERM)
	v.says(t, "SIGTERM cannot be passed on")
	_, _ = w.WriteString("go\n")
	if got := exitCodeOf(v.Cmd); got != 4 {
		t.Errorf("exit code %d, not the command's own", got)
	}
}

// This is what the handbook recommends: redlock runs inside sudo.
func TestRedlockInsideSudoStopsItsCommand(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	v := s.servantOf("become", "redlock", "run", "--ttl", ttl, "job", "--", "sh", "-c", s.family(stubborn))
	if out, err := s.redlock("release", "--force", "--yes", "job").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, _ = io.Copy(io.Discard, v.out)
	if got := exitCodeOf(v.Cmd); got != exitLost {
		t.Errorf("exit code %d, not %d", got, exitLost)
	}
}
