//go:build unix

package leash

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// A Command is the command to run.
type Command struct {
	Path string   // the executable
	Args []string // its arguments, the first being its name

	// Start calls these two once the guardian, which may take long to start, is ready.
	Until func() time.Time // the deadline: the group is gone by then
	Env   func() []string

	Grace time.Duration // from SIGTERM to SIGKILL
	Slack time.Duration // from SIGKILL to the deadline

	// Foreground makes the group the foreground one of the terminal that is the standard input.
	Foreground bool
}

// A Leash holds a command and its process group. Its methods may be called concurrently.
type Leash struct {
	pid, guardian int
	foreground    bool

	mu     sync.Mutex
	orders *os.File // the pipe to the guardian; nil once closed

	late    chan struct{} // closed when the guardian stops the group because of the deadline
	foreign chan struct{} // closed when the guardian cannot stop what is left of the group
	gone    chan struct{} // closed when the group is empty
	status  syscall.WaitStatus
}

// ErrOver says that a command was not started because its deadline had passed.
var ErrOver = errors.New("its deadline passed before the command was started")

// Start starts the command and its guardian. From then on the Leash waits for all children of this
// process. Only one command can be on a leash at a time.
func Start(c Command) (*Leash, error) {
	// for the kernel, the end of the thread that started the command is the end of this process
	runtime.LockOSThread()
	adoptOrphans()
	l := &Leash{foreground: c.Foreground, late: make(chan struct{}), foreign: make(chan struct{}), gone: make(chan struct{})}
	reports, err := l.startGuardian(c.Grace, c.Slack)
	if err != nil {
		return nil, fmt.Errorf("start the guardian of the command's process group: %w", err)
	}
	env, until := c.Env(), c.Until()
	if time.Until(until) <= 0 {
		_ = l.orders.Close()
		return nil, ErrOver
	}
	l.Extend(until)
	p, err := os.StartProcess(c.Path, c.Args, &os.ProcAttr{
		Env:   env,
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys:   groupLeader(c.Foreground),
	})
	if err != nil {
		_ = l.orders.Close()
		return nil, err //nolint:wrapcheck // the error names the command
	}
	l.pid = p.Pid
	_ = p.Release()
	l.order("group %d\n", l.pid)
	go l.listen(reports)
	go l.reap()
	return l, nil
}

// startGuardian starts the guardian and waits until it is ready.
func (l *Leash) startGuardian(grace, slack time.Duration) (reports *bufio.Scanner, err error) {
	hear, orders, err := os.Pipe()
	if err != nil {
		return nil, err //nolint:wrapcheck // it says all
	}
	defer hear.Close() //nolint:errcheck // it is the guardian's
	hearReports, report, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, orders.Close())
	}
	defer report.Close() //nolint:errcheck // it is the guardian's
	p, err := os.StartProcess(self(), []string{os.Args[0], "(guardian)"}, &os.ProcAttr{
		Env:   append(runtimeEnv(), fmt.Sprintf("%s=%v %v", guardianEnv, grace, slack)),
		Files: []*os.File{hear, report, nil},
		// so that signals to the terminal's job do not reach it
		Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, errors.Join(err, orders.Close(), hearReports.Close())
	}
	l.orders, l.guardian = orders, p.Pid
	_ = p.Release()
	_ = report.Close() // so that its reports end when the guardian ends
	reports = bufio.NewScanner(hearReports)
	if !reports.Scan() {
		return nil, errors.Join(io.ErrUnexpectedEOF, orders.Close())
	}
	return reports, nil
}

// order sends an order to the guardian. It does not block: orders are short and few.
func (l *Leash) order(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.orders != nil {
		_, _ = fmt.Fprintf(l.orders, format, args...) // if the guardian is gone, reap notices
	}
}

// Extend moves the deadline. A stop that has begun goes on.
func (l *Leash) Extend(until time.Time) {
	now := clock() // first: a pause after this makes the deadline earlier, never later
	l.order("until %d\n", now+time.Until(until))
}

// Signal sends a signal to the whole group. It returns EPERM if all that is left of the group
// belongs to another user.
func (l *Leash) Signal(s syscall.Signal) error { return syscall.Kill(-l.pid, s) } //nolint:wrapcheck // it says all

// Stop stops the group: SIGTERM, and SIGKILL after the grace. It does not wait.
func (l *Leash) Stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.orders != nil {
		_ = l.orders.Close()
		l.orders = nil
	}
}

// Kill kills the group at once.
func (l *Leash) Kill() {
	_ = l.Signal(syscall.SIGKILL) // the guardian reports what cannot be stopped
	l.order("until 0\n")
}

// Late is closed when the group is being stopped because of the deadline.
func (l *Leash) Late() <-chan struct{} { return l.late }

// Foreign is closed when the group was to be stopped, but what is left of it cannot be stopped: it
// has become another user's.
func (l *Leash) Foreign() <-chan struct{} { return l.foreign }

// Gone is closed when the command has ended and nothing is left in its process group.
func (l *Leash) Gone() <-chan struct{} { return l.gone }

// ExitCode returns how the command ended: its exit status, or 128 and the number of the signal that
// ended it. It may be called once Gone is closed.
func (l *Leash) ExitCode() int {
	if l.status.Signaled() {
		return 128 + int(l.status.Signal())
	}
	return l.status.ExitStatus()
}

// listen hears the guardian's reports.
func (l *Leash) listen(reports *bufio.Scanner) {
	told := map[string]chan struct{}{"late": l.late, "foreign": l.foreign}
	for reports.Scan() {
		if c, ok := told[reports.Text()]; ok {
			close(c)
			delete(told, reports.Text())
		}
	}
}

// reap waits for the command, the guardian, and adopted orphans.
func (l *Leash) reap() {
	for command, guardian := true, true; command || guardian; {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil: // other code has waited for the children
			command, guardian = false, false
			l.Kill()
		case pid == l.pid:
			command, l.status = false, status
			l.Stop() // what the command has left in its group
		case pid == l.guardian:
			if guardian = false; status != 0 {
				l.Kill()
			}
		}
	}
	for !errors.Is(probe(l.pid), syscall.ESRCH) { // only if the guardian has died
		var status syscall.WaitStatus
		if pid, _ := syscall.Wait4(-l.pid, &status, syscall.WNOHANG, nil); pid <= 0 {
			time.Sleep(poll)
		}
	}
	if l.foreground {
		takeForeground()
	}
	close(l.gone)
}

// probe returns ESRCH if a process group is empty, and EPERM if all that is left in it belongs to
// another user.
func probe(group int) error { return syscall.Kill(-group, 0) } //nolint:wrapcheck // as it is

// runtimeEnv returns the part of the environment that is for Go's runtime. The guardian gets no
// other: there may be secrets.
func runtimeEnv() (env []string) {
	for _, name := range []string{"GODEBUG", "GORACE", "GOTRACEBACK"} {
		if value, set := os.LookupEnv(name); set {
			env = append(env, name+"="+value)
		}
	}
	return env
}
