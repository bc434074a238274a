package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// terminalName unlocks the inner side of a pseudo-terminal and returns its name.
func terminalName(outer *os.File) (string, error) {
	if err := unix.IoctlSetPointerInt(int(outer.Fd()), unix.TIOCSPTLCK, 0); err != nil { //nolint:gosec // it is small
		return "", err
	}
	n, err := unix.IoctlGetInt(int(outer.Fd()), unix.TIOCGPTN) //nolint:gosec // it is small
	return fmt.Sprintf("/dev/pts/%d", n), err
}
