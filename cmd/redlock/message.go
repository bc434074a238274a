package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/pool"
)

// message says what an error means, in words for the users of the command.
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
		if q.Op == "acquire" {
			fmt.Fprintf(&b, "no permit of %q is free", q.Name)
			break
		}
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
	case errors.Is(err, redlock.ErrTooLate), errors.Is(err, redlock.ErrLost):
		return strings.TrimPrefix(err.Error(), "redlock: ")
	case errors.Is(err, redlock.ErrNoQuorum):
		fmt.Fprintf(&b, "no quorum: %d of %d nodes are needed", q.Needed, q.Granted+q.Held+q.Failed+q.Pending)
	case errors.Is(err, context.DeadlineExceeded):
		fmt.Fprintf(&b, "%q: the wait was over before the nodes had decided: %d of %d are needed", q.Name, q.Needed, q.Granted+q.Held+q.Failed+q.Pending)
	default:
		return strings.TrimPrefix(err.Error(), "redlock: ")
	}
	for i := range q.Nodes {
		switch n := &q.Nodes[i]; n.Verdict {
		case pool.Held: // see above
		case pool.Unanswered: // the call did not wait for it
		default:
			fmt.Fprintf(&b, "\n  %s", shown(inFlags(n)))
		}
	}
	return b.String()
}

// flags maps the library's options to the flags that set them.
var flags = map[string]string{
	"WithTTL": "--ttl", "WithMinHold": "--min-hold", "WithHolder": "--holder", "WithNodeTimeout": "--node-timeout",
	"WithRestartGuard": "--guard", "name": "the lock's name", "permits": "--slots",
}

// options matches the options that errors of nodes name; --node-timeout sets both. The context of
// the command's calls ends with their wait.
var options = strings.NewReplacer("WithNodeTimeout", flags["WithNodeTimeout"], "Timeout of pool.Dialer", flags["WithNodeTimeout"],
	"before the context ended", "before the wait was over")

// inFlags returns an error's text with the flag in place of the option that it names.
func inFlags(err error) string {
	return options.Replace(err.Error())
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
