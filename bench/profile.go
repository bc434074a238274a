package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
)

// startProfile starts a CPU profile and, at the end, writes an allocation profile, both to that
// directory. It does nothing if that is empty.
func startProfile(dir string) (stop func() error, err error) {
	if dir == "" {
		return func() error { return nil }, nil
	}
	cpu, errCPU := os.Create(filepath.Join(dir, "cpu.pprof"))    //nolint:gosec // where we are told
	mem, errMem := os.Create(filepath.Join(dir, "allocs.pprof")) //nolint:gosec // where we are told
	if err := errors.Join(errCPU, errMem); err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	return func() error {
		pprof.StopCPUProfile()
		return errors.Join(pprof.Lookup("allocs").WriteTo(mem, 0), cpu.Close(), mem.Close())
	}, nil
}
