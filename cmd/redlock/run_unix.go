//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/cmd/redlock/internal/leash"
)

// maxExit is the greatest possible exit code.
const maxExit = 255

// minRunTTL is the least TTL for a command: a process needs time to end.
const minRunTTL = time.Second

// passed lists the signals that are passed on to the command.
var passed = []os.Signal{
	syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGCONT, syscall.SIGWINCH,
}

// Run takes the lock, runs the command, and releases the lock. Then it writes the metrics.
func (r *runCmd) Run(s streams) error {
	grace, err := r.check()
	if err != nil {
		return err
	}
	if err := ignore(r.IgnoreSignal); err != nil {
		return err
	}
	report, err := newReport(r.MetricsFile, r.Name)
	if err != nil {
		return err
	}
	err = r.run(grace, report, s)
	if failed := report.write(err); failed != nil {
		fmt.Fprintf(s.err, "redlock: the metrics were not written: %v\n", failed)
	}
	return err
}

// run takes the lock, runs the command, and releases the lock.
func (r *runCmd) run(grace time.Duration, report *report, s streams) error {
	command, err := r.command(s)
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 16)
	catch(signals, passed...)
	defer signal.Stop(signals)

	if r.NodeTimeout == nil {
		// It is longer than the library's default, because many processes that cron starts at once
		// begin slowly. As long as a majority answers, a node that does not answer costs no time.
		wait := min(r.TTL/10, time.Second)
		r.NodeTimeout = &wait
	}
	renewed, why := make(renewals, 1), new(waiting)
	locks, end, err := r.locker(redlock.WithTTL(r.TTL), redlock.WithMinHold(r.MinHold), redlock.WithHolder(r.holder()),
		redlock.WithRenewal(redlock.Forever), redlock.WithObserver(renewed), redlock.WithObserver(why))
	if err != nil {
		return err
	}
	defer end()
	began := time.Now()
	h, err := r.lock(locks, why, signals, s)
	report.waited = time.Since(began)
	if errors.Is(err, redlock.ErrHeld) {
		report.conflict = true
		return r.conflict(err, s)
	}
	if err != nil {
		return err
	}
	began = time.Now()
	status, err := r.hold(command, grace, h, renewed, signals, s)
	report.held, report.ran = time.Since(began), err == nil
	if unlockErr := h.Unlock(context.Background()); err == nil && errors.Is(unlockErr, redlock.ErrLost) {
		err = unlockErr
	}
	if err != nil {
		return err
	}
	return code(status)
}

// check checks the flags.
func (r *runCmd) check() (grace time.Duration, err error) {
	if r.TTL < minRunTTL {
		return 0, usageError{fmt.Errorf("--ttl=%v: at least %v, for processes take their time to end", r.TTL, minRunTTL)}
	}
	for i, name := range r.Also {
		if name == r.Name || slices.Contains(r.Also[:i], name) {
			return 0, usageError{fmt.Errorf("--also=%s: the name is given twice", shown(name))}
		}
	}
	if len(r.Also) >= redlock.MaxAll {
		return 0, usageError{fmt.Errorf("--also: %d further locks; at most %d", len(r.Also), redlock.MaxAll-1)}
	}
	if err := r.checkSlots(); err != nil {
		return 0, err
	}
	if r.Wait != nil && *r.Wait < 0 {
		return 0, usageError{fmt.Errorf("--wait=%v: below zero", *r.Wait)}
	}
	if r.Conflict < 0 || r.Conflict > maxExit {
		return 0, usageError{fmt.Errorf("--conflict-exit-code=%d: from 0 to %d", r.Conflict, maxExit)}
	}
	grace = min(r.TTL/4, 10*time.Second)
	if r.Grace != nil {
		grace = *r.Grace
	}
	if grace < 0 || grace > r.TTL/2 {
		return 0, usageError{fmt.Errorf("--grace=%v: from 0 to half of the TTL (%v), for stopping must begin that long before the lock ends", grace, r.TTL)}
	}
	switch {
	case r.Command[0] != "--":
		return 0, usageError{fmt.Errorf("put -- before the command: redlock run %s -- %s …", shown(r.Name), shown(r.Command[0]))}
	case len(r.Command) < 2:
		return 0, usageError{errors.New("no command after --")}
	}
	return grace, nil
}

// command returns the command to run.
func (r *runCmd) command(s streams) (leash.Command, error) {
	args := r.Command[1:] // what follows the --
	if r.Shell {
		args = []string{"/bin/sh", "-c", strings.Join(args, " ")}
	}
	path, err := exec.LookPath(args[0])
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return leash.Command{}, r.notRun(err, s)
	}
	return leash.Command{Path: path, Args: args}, nil
}

// notRun says why the command cannot be run, and returns the exit code that a shell would; or says
// that the lock was lost before.
func (r *runCmd) notRun(err error, s streams) error {
	if errors.Is(err, leash.ErrOver) {
		return fmt.Errorf("%s: %w: %w", r.subject(), redlock.ErrLost, err)
	}
	fmt.Fprintf(s.err, "redlock: %v\n", err)
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return code(exitNotFound)
	}
	return code(exitNotRun)
}

// holder returns the label that others see.
func (r *runCmd) holder() string {
	if r.Holder != nil {
		return *r.Holder
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}

// names returns the names of all locks, in the order of the command line.
func (r *runCmd) names() []string { return append([]string{r.Name}, r.Also...) }

// lock takes the locks, or a permit. A signal ends the wait. After a while it says what it waits
// for.
func (r *runCmd) lock(locks *redlock.Locker, why *waiting, signals <-chan os.Signal, s streams) (held, error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	taken, heard := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(heard)
		look := time.NewTicker(tellEvery)
		defer look.Stop()
		for {
			select {
			case <-look.C:
				why.tell(s)
			case sig := <-signals:
				if n, ok := sig.(syscall.Signal); ok && n != syscall.SIGCONT && n != syscall.SIGWINCH {
					cancel(code(exitSignal + int(n)))
					return
				}
			case <-taken:
				return
			}
		}
	}()
	h, err := r.take(ctx, locks)
	close(taken)
	<-heard
	ended, interrupted := errors.AsType[code](context.Cause(ctx))
	if interrupted {
		if err == nil {
			_ = h.Unlock(context.Background())
		}
		return nil, ended
	}
	return h, err
}

// conflict says that another owner has the lock, unless that is no failure, and returns the exit
// code of --conflict-exit-code.
func (r *runCmd) conflict(err error, s streams) error {
	if r.Conflict != 0 {
		fmt.Fprintf(s.err, "redlock: %s\n", message(err))
	}
	return code(r.Conflict)
}

// hold runs the command while h lasts. When hold returns, no process of the command is left.
func (r *runCmd) hold(c leash.Command, grace time.Duration, h held, renewed renewals, signals <-chan os.Signal, s streams) (int, error) {
	c.Env = func() []string { return r.environment(h) }
	c.Until, c.Grace, c.Slack = h.Until, grace, min(max(r.TTL/20, 50*time.Millisecond), 500*time.Millisecond)
	c.Foreground = leash.Interactive()
	if c.Foreground {
		// the command ignores it too: if it were suspended, the shell would not notice
		signal.Ignore(syscall.SIGTSTP)
	}
	l, err := leash.Start(c)
	if err != nil {
		return 0, r.notRun(err, s)
	}
	lost, late, foreign, unstopped := false, l.Late(), l.Foreign(), false
	for done := h.Done(); ; {
		select {
		case sig := <-signals:
			if n, ok := sig.(syscall.Signal); ok && errors.Is(l.Signal(n), syscall.EPERM) {
				fmt.Fprintf(s.err, "redlock: %s cannot be passed on: the command is another user's\n", unix.SignalName(n))
			}
		case <-renewed:
			l.Extend(h.Until())
		case <-late:
			lost, late = true, nil
			fmt.Fprintf(s.err, "redlock: the %s cannot be renewed: stopping the command\n", r.subject())
		case <-done:
			lost, done = true, nil
			l.Kill()
		case <-foreign:
			foreign, unstopped = nil, true
			fmt.Fprintf(s.err, "redlock: cannot stop the command, or what it has left behind: it is another user's, and runs on\n")
		case <-l.Gone():
			if lost && unstopped {
				return 0, fmt.Errorf("%s: %w, but %w", r.subject(), redlock.ErrLost, errUnstopped)
			}
			if lost {
				return 0, fmt.Errorf("%s: %w, the command was stopped", r.subject(), redlock.ErrLost)
			}
			return l.ExitCode(), nil
		}
	}
}

// renewals is an observer that passes on the deadline of each renewal.
type renewals chan struct{}

// Observe implements redlock.Observer.
func (r renewals) Observe(e redlock.Event) {
	if renewed, ok := e.(redlock.RenewedEvent); ok && renewed.Err == nil {
		select {
		case r <- struct{}{}:
		default: // an earlier one is still in the channel; its receiver reads the newest deadline
		}
	}
}
