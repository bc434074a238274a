package leash

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// self is the path of this program, even if its file was replaced meanwhile.
func self() string { return "/proc/self/exe" }

// adoptOrphans makes this process the parent of the orphans among its descendants.
func adoptOrphans() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// groupLeader makes a process the leader of a group, which the kernel kills when the thread that
// starts it ends.
func groupLeader(foreground bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Foreground: foreground, Pdeathsig: syscall.SIGKILL}
}

// clock reads a time that all processes share, and that goes on while the machine is suspended.
func clock() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now)
	return time.Duration(now.Nano())
}
