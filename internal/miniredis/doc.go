// Package miniredis tests the library over miniredis, a server in Go that can be told what to
// answer. It has only tests, in a module of their own, so that programs which import the library do
// not depend on what miniredis needs.
package miniredis
