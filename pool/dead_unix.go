//go:build unix

package pool

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// dead reports whether the server has closed the connection, or has sent something unexpected. It
// does not wait.
func dead(c net.Conn) bool {
	if secured, ok := c.(interface{ NetConn() net.Conn }); ok {
		// over which TLS announces that it closes; its other messages come before an answer, and
		// are read with that
		c = secured.NetConn()
	}
	sys, known := c.(syscall.Conn)
	if !known {
		return false
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return true
	}
	peek := func(fd uintptr) bool {
		var b [1]byte
		_, _, err = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	}
	if failed := raw.Read(peek); failed != nil {
		// the deadline of a late request; its connection may be alive
		return !errors.Is(failed, os.ErrDeadlineExceeded)
	}
	return !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EWOULDBLOCK)
}
