//go:build !unix

package pool

import "net"

// dead reports whether the server has closed the connection. Here there is no way to check, so only
// sending shows it.
func dead(net.Conn) bool { return false }
