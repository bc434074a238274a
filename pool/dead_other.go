//go:build !unix

package pool

import "net"

// dead would report whether the server has closed the connection; where there is no way to look,
// sending shows.
func dead(net.Conn) bool { return false }
