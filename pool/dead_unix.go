//go:build unix

package pool

import (
	"errors"
	"net"
	"syscall"
)

// dead reports whether the server has closed the connection, or has sent what nobody asked for. It does not wait.
func dead(c net.Conn) bool {
	secured, ok := c.(interface{ NetConn() net.Conn })
	if ok { // under TLS the server may send what is none of our business
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
	var n int
	peek := func(fd uintptr) bool {
		var b [1]byte
		n, _, err = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	}
	if failed := raw.Read(peek); failed != nil {
		return true
	}
	nothing := errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EWOULDBLOCK)
	return !nothing && (err != nil || n == 0 || !ok)
}
