//go:build unix && !linux

package leash

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// self is the path of this program.
func self() string {
	path, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return path
}

// adoptOrphans does nothing: this system cannot do that.
func adoptOrphans() {}

// groupLeader makes a process the leader of a group.
func groupLeader(foreground bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Foreground: foreground}
}

// clock reads a time that all processes share.
func clock() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return time.Duration(now.Nano())
}
