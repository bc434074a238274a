//go:build unix

package pool

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// dead reports whether the server has closed the connection, or has sent what nobody asked for. It
// does not wait.
func dead(c net.Conn) bool {
	if secured, ok := c.(interface{ NetConn() net.Conn }); ok {
		// on which TLS says that it hangs up; other messages of its own come before an answer, and
		// are read with it
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
		// of a request that comes too late; its connection is as good as any
		return !errors.Is(failed, os.ErrDeadlineExceeded)
	}
	return !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EWOULDBLOCK)
}
