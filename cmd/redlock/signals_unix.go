//go:build unix

package main

import (
	"fmt"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ignore makes redlock and the command ignore the signals of these names, which are written as env
// writes them: TERM, SIGTERM.
func ignore(names []string) error {
	for _, name := range names {
		s := unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(name), "SIG"))
		if s == 0 || s == syscall.SIGKILL || s == syscall.SIGSTOP {
			return usageError{fmt.Errorf("--ignore-signal=%s: not a signal that can be ignored", shown(name))}
		}
		signal.Ignore(s)
	}
	return nil
}
