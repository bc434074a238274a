// Package clocks reads the clock that all processes of a machine share, and shifts the clocks of single ones.
package clocks

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
)

// Variable is the variable of the environment that tells the library of [Build] which file its offset is in.
const Variable = "REDLOCK_CLOCK"

// shifter is a library that shifts a server's clock. libfaketime does not get on with the servers' jemalloc.
//
//go:embed shift/clock.c
var shifter []byte

// Build makes the library that shifts the clock of a process it is preloaded into. It needs gcc.
func Build(ctx context.Context, library string) error {
	gcc := exec.CommandContext(ctx, "gcc", "-shared", "-fPIC", "-O2", "-x", "c", "-o", library, "-")
	gcc.Stdin = bytes.NewReader(shifter)
	if out, err := gcc.CombinedOutput(); err != nil {
		return fmt.Errorf("gcc: %w: %s", err, out)
	}
	return nil
}

// Shift sets the offset in that file, in whole seconds. The file stays the same, for processes look into it.
func Shift(file string, d time.Duration) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(binary.Write(f, binary.NativeEndian, int64(d.Seconds())), f.Close())
}

// Monotonic reads the machine's monotonic clock, in nanoseconds.
func Monotonic() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // no Linux is without it
	}
	return t.Nano()
}
