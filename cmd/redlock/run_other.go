//go:build !unix

package main

import (
	"errors"
	"fmt"
)

// Run refuses to run: this system has no process groups, so nothing could stop the command and all
// it has started when the lock is lost.
func (*runCmd) Run() error {
	return fmt.Errorf("run needs process groups, which this operating system has not: %w", errors.ErrUnsupported)
}
