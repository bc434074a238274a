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
	signalCount = 65 // with the one that there is not, 0
)

// foundIgnored returns the signals that were ignored when this process was started. Go's runtime
// handles all but SIGHUP and SIGINT before main is called, and tells nobody how it found them; but
// it notes that, in a variable that is looked up here. Where it is not found nothing is known: in a
// program without a symbol table (built with -ldflags=-s), one that is loaded elsewhere than its
// table says, on machines of 32 bits, or if Go should change.
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
		needed := s == syscall.SIGCHLD || s == syscall.SIGURG // by us, and by Go's runtime
		if binary.NativeEndian.Uint64(handlers[n*8:]) == sigIgnore && !needed {
			ignored = append(ignored, s)
		}
	}
	return ignored
}
