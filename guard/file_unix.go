//go:build unix && !solaris && !aix

package guard

import (
	"os"
	"syscall"
)

// flock locks the file until it is closed. It waits until the lock is free.
func flock(f *os.File) error {
	for {
		// a bare errno
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != syscall.EINTR {
			return err //nolint:wrapcheck // the caller does
		}
	}
}
