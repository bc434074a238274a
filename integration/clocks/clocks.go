// Package clocks reads the clock that all processes of a machine share, and shifts the clocks of single ones.
package clocks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Library finds libfaketime, which is in Debian's package of that name.
func Library() (string, error) {
	found, err := filepath.Glob("/usr/lib/*/faketime/libfaketime.so.1")
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", errors.New("no libfaketime on this machine: install the package faketime")
	}
	return found[0], nil
}

// Environment has a server that starts with it shift its time of day by what [Shift] wrote into that file. Its monotonic clock
// runs on.
//
// Debian's servers take jemalloc from a library, which reads the clock with its lock held. libfaketime allocates when it first sees
// that, and would wait for the lock for ever: so it is given the allocator of libc.
func Environment(library, file string) []string {
	return []string{
		"LD_PRELOAD=" + library + " libc.so.6",
		"FAKETIME_TIMESTAMP_FILE=" + file,
		"FAKETIME_NO_CACHE=1", // it sees a shift at once
		"FAKETIME_DONT_FAKE_MONOTONIC=1",
	}
}

// Shift sets the offset in that file, in whole seconds, in one step.
func Shift(file string, d time.Duration) error {
	next := file + ".next"
	err := os.WriteFile(next, fmt.Appendf(nil, "%+d\n", int64(d.Seconds())), 0o644)
	if err != nil {
		return err
	}
	return os.Rename(next, file)
}

// Monotonic reads the machine's monotonic clock, in nanoseconds.
func Monotonic() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // no Linux is without it
	}
	return t.Nano()
}
