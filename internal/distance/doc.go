// Package distance simulates distant masters: it joins two network namespaces of its own, near and
// far, by a device in each, and carries packets between them with given round-trip times, jitter
// and loss. It needs Linux, root, /dev/net/tun and iproute2, and no netem in the kernel.
//
// The namespaces have no name. They end with the processes in them, and those end with the process
// that opened the link, however that ends. So nothing is left behind, and links do not affect one
// another.
package distance
