package redlocktest

import (
	"github.com/go-redlock/redlock/internal/memnode"
	"github.com/go-redlock/redlock/pool"
)

// Nodes returns n masters in memory for [redlock.New], as [pool.Dial] returns real ones. They are
// for programs that try the library out, such as its examples: no test is needed, and no server.
// Each call makes other masters, so Lockers that shall meet need the nodes of one call. They are up
// and have no faults: see [New] for those. If n is below 1, there are none.
func Nodes(n int) []pool.Node {
	_, nodes := memnode.Cluster(max(0, n))
	return nodes
}
