// Package miniredis tests the library over miniredis, a server in Go that can be told what to
// answer. It holds tests only, in a module of their own: so who imports the library does not get to
// see what miniredis needs.
package miniredis
