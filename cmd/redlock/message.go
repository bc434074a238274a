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
	if o, ok := errors.AsType[*redlock.OptionError](err); ok {
		return optionMessage(o)
	}
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
				fmt.Fprintf(&b, " by %s", shown(q.Nodes[i].Holder))
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

// flags are those that set the library's options.
var flags = map[string]string{
	"WithTTL": "--ttl", "WithMinHold": "--min-hold", "WithHolder": "--holder", "WithNodeTimeout": "--node-timeout",
	"WithRestartGuard": "--guard", "name": "the lock's name",
}

// optionMessage names the flag by which an option was set, and what it was set to.
func optionMessage(e *redlock.OptionError) string {
	flag, ok := flags[e.Option]
	switch {
	case strings.HasPrefix(e.Option, "nodes"):
		flag = "--nodes"
	case !ok:
		flag = e.Option
	}
	return fmt.Sprintf("%s: %s (got %s)", flag, e.Reason, shown(fmt.Sprint(e.Value)))
}
