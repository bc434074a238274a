//go:build unix && !linux

package leash

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// self is this program.
func self() string {
	path, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return path
}

// adoptOrphans does nothing: there is no such thing here.
func adoptOrphans() {}

// groupLeader starts a process as the leader of a group.
func groupLeader(foreground bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Foreground: foreground}
}

// clock is a time that all processes share.
func clock() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return time.Duration(now.Nano())
}
