// Package clocks reads the clock that all processes of a machine share, and shifts the clocks of
// single processes.
package clocks

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Preload finds libfaketime, which is in Debian's package of that name.
func Preload() (string, error) {
	found, err := filepath.Glob("/usr/lib/*/faketime/libfaketime.so.1")
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", errors.New("no libfaketime on this machine: install the package faketime")
	}
	return found[0], nil
}

// Environment returns variables that make a server shift its time of day by the offset that [Shift]
// wrote to that file. Its monotonic clock is not shifted.
//
// Debian's servers take jemalloc from a library, which reads the clock with its lock held.
// libfaketime allocates when it first intercepts that, and would wait for the lock forever. So the
// server gets the allocator of libc. That works with Redis 7.0; Redis 8 and Valkey crash, see
// [Build].
func Environment(library, file string) []string {
	return []string{
		"LD_PRELOAD=" + library + " libc.so.6",
		"FAKETIME_TIMESTAMP_FILE=" + file,
		"FAKETIME_NO_CACHE=1", // so that a shift takes effect at once
		"FAKETIME_DONT_FAKE_MONOTONIC=1",
	}
}

// Variable is the environment variable that names the file with the offset for the library of
// [Build].
const Variable = "REDLOCK_CLOCK"

//go:embed shift/clock.c
var shifter []byte

// Build makes a library that shifts the clock of the process that preloads it, whatever allocator
// the process uses. It needs gcc.
func Build(ctx context.Context, library string) error {
	gcc := exec.CommandContext(ctx, "gcc", "-shared", "-fPIC", "-O2", "-x", "c", "-o", library, "-")
	gcc.Stdin = bytes.NewReader(shifter)
	if out, err := gcc.CombinedOutput(); err != nil {
		return fmt.Errorf("gcc: %w: %s", err, out)
	}
	return nil
}

// Shift writes the offset to that file, in whole seconds. It keeps the file and its length, because
// processes have it open.
func Shift(file string, d time.Duration) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%+012d\n", int64(d.Seconds()))
	return errors.Join(err, f.Close())
}

// Monotonic reads the machine's monotonic clock, in nanoseconds.
func Monotonic() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // every Linux has it
	}
	return t.Nano()
}
