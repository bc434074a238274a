//go:build unix

package leash

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Interactive reports whether this process has the terminal to itself: its standard input and
// output are the terminal, and its job is in the foreground. A command that is run in a group of
// its own can then use the terminal only if its group becomes the foreground one.
func Interactive() bool {
	in, out := int(os.Stdin.Fd()), int(os.Stdout.Fd())
	if !term.IsTerminal(in) || !term.IsTerminal(out) {
		return false
	}
	group, err := unix.IoctlGetInt(in, unix.TIOCGPGRP)
	return err == nil && group == syscall.Getpgrp()
}

// takeForeground makes our group the foreground one again.
func takeForeground() {
	signal.Ignore(syscall.SIGTTOU) // else asking for it in the background would stop us
	_ = unix.IoctlSetPointerInt(int(os.Stdin.Fd()), unix.TIOCSPGRP, syscall.Getpgrp())
}
