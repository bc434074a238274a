// Package sql shows [guard.Register] on real databases; see its examples.
//
// [guard.Register]: https://pkg.go.dev/github.com/go-redlock/redlock/guard#Register
package sql
