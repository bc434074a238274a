// Package wire defines the requests to the nodes, the replies, and the Node that carries them.
// Package pool implements it for servers, and exports the few names that a program needs.
package wire
