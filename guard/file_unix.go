//go:build unix && !solaris && !aix

package guard

import (
	"os"
	"syscall"
)

// flock locks the file until it is closed. It waits for whoever has it.
func flock(f *os.File) error {
	for {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != syscall.EINTR { // a bare errno
			return err //nolint:wrapcheck // the caller does
		}
	}
}
