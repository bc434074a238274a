//go:build unix

package main

import (
	"bytes"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/term"
)

// A watched is a `redlock top` on a terminal.
type watched struct {
	*exec.Cmd

	t        *testing.T
	terminal *os.File // the outer side
	side     *os.File // the inner side
	before   *term.State
	shown    bytes.Buffer
}

func (s *stand) top() *watched {
	s.t.Helper()
	w := &watched{Cmd: s.redlock("top", "--every", "200ms"), t: s.t}
	w.terminal, w.side = openTerminal(s.t)
	var err error
	if w.before, err = term.GetState(int(w.side.Fd())); err != nil {
		s.t.Fatal(err)
	}
	w.Stdin, w.Stdout, w.Stderr = w.side, w.side, w.side
	w.Env = append(w.Env, "TERM=xterm")
	w.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	s.start(w.Cmd)
	return w
}

// await reads what is shown until the text has come.
func (w *watched) await(text string) {
	w.t.Helper()
	for some := make([]byte, 4096); !strings.Contains(w.shown.String(), text); {
		n, err := w.terminal.Read(some)
		if err != nil {
			w.t.Fatalf("%q does not come (%v), but %q", text, err, w.shown.String())
		}
		w.shown.Write(some[:n])
	}
}

// ends checks that it ends, and has given the terminal back.
func (w *watched) ends() {
	w.t.Helper()
	w.await(wrapLines + showCursor + usualScreen)
	if got := exitCodeOf(w.Cmd); got != 0 {
		w.t.Errorf("exit code %d", got)
	}
	if after, err := term.GetState(int(w.side.Fd())); err != nil || !reflect.DeepEqual(after, w.before) {
		w.t.Errorf("the terminal's settings have changed (%v)", err)
	}
}

// press sends a key.
func (w *watched) press(key string) {
	w.t.Helper()
	if _, err := w.terminal.WriteString(key); err != nil {
		w.t.Fatal(err)
	}
}

func TestTopLeavesTheTerminalAsItWas(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	if out, err := s.redlock("run", "--min-hold", "1h", "--holder", "me", "job", "--", "true").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for how, end := range map[string]func(w *watched){
		"q":       func(w *watched) { w.press("q") },
		"^C":      func(w *watched) { w.press("\x03") },
		"SIGTERM": func(w *watched) { _ = w.Process.Signal(syscall.SIGTERM) },
	} {
		w := s.top()
		w.await("job    held    me ")
		if !strings.HasPrefix(w.shown.String(), otherScreen) {
			t.Errorf("%s: it shows %q on the usual screen", how, w.shown.String())
		}
		if raw, err := term.GetState(int(w.side.Fd())); err != nil || reflect.DeepEqual(raw, w.before) {
			t.Errorf("%s: keys wait for Enter (%v)", how, err)
		}
		end(w)
		w.ends()
	}
}

func TestTopGoesOnWhereANodeIsFrozen(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	w := s.top()
	w.await("5 of 5 nodes answer")
	if err := s.servers.Process(1).Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	w.await("4 of 5 nodes answer")
	w.await(s.servers.Addrs()[1] + ": ")
	if out, err := s.redlock("run", "--min-hold", "1h", "--holder", "me", "job", "--", "true").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w.await("job    held    me ")
	if err := s.servers.Process(1).Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	w.shown.Reset()
	w.await("5 of 5 nodes answer")
	w.press("q")
	w.ends()
}
