package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// childVar names the environment variable that makes this program run as a child of itself.
const childVar = "REDLOCK_BENCH_CHILD"

// A child is this program in another process, with another task. It ends when its parent does.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out io.ReadCloser
}

func startChild(part string, setup any) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", part, err)
	}
	arg, err := json.Marshal(setup)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", part, err)
	}
	c := &child{cmd: exec.Command(self, string(arg))} //nolint:gosec // ourselves
	c.cmd.Env = append(os.Environ(), childVar+"="+part)
	c.cmd.Stderr = os.Stderr
	var errIn, errOut error
	c.in, errIn = c.cmd.StdinPipe()
	c.out, errOut = c.cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut, c.cmd.Start()); err != nil {
		return nil, fmt.Errorf("start %s: %w", part, err)
	}
	return c, nil
}

func (c *child) freeze() error { return c.cmd.Process.Signal(syscall.SIGSTOP) }
func (c *child) thaw() error   { return c.cmd.Process.Signal(syscall.SIGCONT) }

// kill ends the child at once.
func (c *child) kill() error {
	if err := c.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill child: %w", err)
	}
	_ = c.cmd.Wait() // the error only says that it was killed
	return nil
}

// untilParentEnds returns when the parent closes this process's input, or has ended.
func untilParentEnds() { _, _ = io.Copy(io.Discard, os.Stdin) }
