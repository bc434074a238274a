//go:build unix

package leash

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Interactive reports whether this process uses the terminal: its standard input and output are the
// terminal, and its job is in the foreground. Then a command in a group of its own can use the
// terminal only if its group becomes the foreground group.
func Interactive() bool {
	in, out := int(os.Stdin.Fd()), int(os.Stdout.Fd())
	if !term.IsTerminal(in) || !term.IsTerminal(out) {
		return false
	}
	group, err := unix.IoctlGetInt(in, unix.TIOCGPGRP)
	return err == nil && group == syscall.Getpgrp()
}

// takeForeground makes this process's group the foreground group again.
func takeForeground() {
	signal.Ignore(syscall.SIGTTOU) // it would stop this process, which is in the background
	_ = unix.IoctlSetPointerInt(int(os.Stdin.Fd()), unix.TIOCSPGRP, syscall.Getpgrp())
}
