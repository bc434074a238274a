// Package pool speaks to the masters of a quorum: a [Node] is one of them, in lock verbs.
package pool
