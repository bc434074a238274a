// Package wire holds what a lock's requests to the nodes are made of: what is asked, what came of
// it, and the Node that carries it. Package pool speaks it to servers, and shows a program the few
// names of it that a program needs.
package wire
