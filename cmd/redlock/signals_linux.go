package main

import (
	"debug/elf"
	"encoding/binary"
	"os"
	"slices"
	"syscall"
)

const (
	sigIgnore   = 1  // SIG_IGN
	signalCount = 65 // with 0, which is no signal
)

// foundIgnored returns the signals that were ignored when this process was started. Before main is
// called, Go's runtime handles all signals but SIGHUP and SIGINT. It does not say which were
// ignored, but keeps that in a variable, which foundIgnored reads. It returns nothing if it cannot
// find the variable: in a program without a symbol table (built with -ldflags=-s), in one that is
// loaded elsewhere than its table says, on 32-bit machines, or if Go changes.
func foundIgnored() (ignored []os.Signal) {
	program, err := elf.Open("/proc/self/exe")
	if err != nil {
		return nil
	}
	defer program.Close() //nolint:errcheck // it was only read
	symbols, err := program.Symbols()
	i := slices.IndexFunc(symbols, func(s elf.Symbol) bool { return s.Name == "runtime.fwdSig" && s.Size == signalCount*8 })
	if err != nil || i < 0 || program.Type != elf.ET_EXEC {
		return nil
	}
	memory, err := os.Open("/proc/self/mem")
	if err != nil {
		return nil
	}
	defer memory.Close() //nolint:errcheck // it was only read
	var handlers [signalCount * 8]byte
	if _, err := memory.ReadAt(handlers[:], int64(symbols[i].Value)); err != nil {
		return nil
	}
	for n := range signalCount {
		s := syscall.Signal(n)
		needed := s == syscall.SIGCHLD || s == syscall.SIGURG // by leash, and by Go's runtime
		if binary.NativeEndian.Uint64(handlers[n*8:]) == sigIgnore && !needed {
			ignored = append(ignored, s)
		}
	}
	return ignored
}
