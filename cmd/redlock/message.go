package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-redlock/redlock"
)

// message says what an error means, in words for those who did not write the program.
func message(err error) string {
	q, ok := errors.AsType[*redlock.QuorumError](err)
	if !ok {
		return strings.TrimPrefix(err.Error(), "redlock: ")
	}
	var b strings.Builder
	switch {
	case errors.Is(err, redlock.ErrHeld):
		fmt.Fprintf(&b, "%q is held", q.Name)
		for i := range q.Nodes {
			if q.Nodes[i].Holder != "" {
				fmt.Fprintf(&b, " by %s", q.Nodes[i].Holder)
				break
			}
		}
		if q.RetryAfter > 0 {
			fmt.Fprintf(&b, ", for another %v if it is not renewed", q.RetryAfter.Round(time.Millisecond))
		}
	case errors.Is(err, redlock.ErrNoQuorum):
		fmt.Fprintf(&b, "no quorum: %d of the nodes are needed", q.Needed)
	default:
		return strings.TrimPrefix(err.Error(), "redlock: ")
	}
	for i := range q.Nodes {
		if n := &q.Nodes[i]; n.Err != nil {
			fmt.Fprintf(&b, "\n  %v", n)
		}
	}
	return b.String()
}
