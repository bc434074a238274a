//go:build unix

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-redlock/redlock"
)

// The results of a run, as the metrics name them.
const (
	resultOK          = "ok"          // the command succeeded
	resultFailed      = "failed"      // the command ran, and its exit code is not 0
	resultHeld        = "held"        // another has the lock
	resultNoQuorum    = "no_quorum"   // too few nodes answered in time, or would serve
	resultLost        = "lost"        // the lock was lost while the command ran, or before
	resultInterrupted = "interrupted" // a signal ended the wait for the lock
	resultNotRun      = "not_run"     // the command was not found, or cannot be executed
	resultError       = "error"       // anything else
)

var results = []string{resultOK, resultFailed, resultHeld, resultNoQuorum, resultLost, resultInterrupted, resultNotRun, resultError}

// A report collects the metrics of a run, for the textfile collector of node_exporter.
type report struct {
	file, lock   string
	waited, held time.Duration
	conflict     bool // another has the lock
	ran          bool // the command ran to its end
}

// newReport refuses a file that cannot be written, before the lock is taken.
func newReport(file, lock string) (*report, error) {
	r := &report{file: file, lock: lock}
	if file == "" {
		return r, nil
	}
	if filepath.Ext(file) != ".prom" {
		return nil, usageError{fmt.Errorf("--metrics-file=%s: the name must end in .prom, or node_exporter passes it by", shown(file))}
	}
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		return nil, usageError{fmt.Errorf("--metrics-file=%s: it is a directory", shown(file))}
	}
	trial, err := r.temporary()
	if err != nil {
		return nil, usageError{r.fault(err)}
	}
	return r, r.fault(errors.Join(trial.Close(), os.Remove(trial.Name())))
}

// temporary creates the file that replaces the old one. Its name does not end in .prom.
func (r *report) temporary() (*os.File, error) {
	return os.CreateTemp(filepath.Dir(r.file), "."+filepath.Base(r.file)+".*") //nolint:wrapcheck // by fault
}

// fault returns an error that names the flag and says what is wrong with the file.
func (r *report) fault(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err // the temporary file's name does not help
	}
	return fmt.Errorf("--metrics-file=%s: %w", shown(r.file), err)
}

// write replaces the file, in one step, by the metrics of a run that ended with err.
func (r *report) write(ended error) error {
	if r.file == "" {
		return nil
	}
	f, err := r.temporary()
	if err != nil {
		return r.fault(err)
	}
	_, err = f.WriteString(r.text(ended, time.Now()))
	err = errors.Join(err, f.Chmod(0o644), f.Close()) // node_exporter is another user
	if err == nil {
		err = os.Rename(f.Name(), r.file)
	}
	if err != nil {
		return r.fault(errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// text returns the metrics in Prometheus' text format.
func (r *report) text(ended error, now time.Time) string {
	var b strings.Builder
	lock := labelValue.Replace(strings.ToValidUTF8(r.lock, "\ufffd"))
	gauge := func(name, help string, value float64) {
		fmt.Fprintf(&b, "# HELP redlock_run_%s %s\n# TYPE redlock_run_%[1]s gauge\nredlock_run_%[1]s{lock=\"%[3]s\"} %[4]v\n", name, help, lock, value)
	}
	gauge("end_timestamp_seconds", "When the last run ended.", float64(now.UnixMilli())/1e3)
	gauge("exit_code", "The exit code of the last run.", float64(exitCode(ended)))
	gauge("wait_seconds", "How long the last run waited for the lock.", r.waited.Seconds())
	gauge("hold_seconds", "How long the command of the last run ran, with the lock held.", r.held.Seconds())
	fmt.Fprint(&b, "# HELP redlock_run_result How the last run ended: 1 for its result, 0 for the others.\n# TYPE redlock_run_result gauge\n")
	was := r.result(ended)
	for _, result := range results {
		value := 0
		if result == was {
			value = 1
		}
		fmt.Fprintf(&b, "redlock_run_result{lock=\"%s\",result=%q} %d\n", lock, result, value)
	}
	return b.String()
}

// labelValue escapes the characters that a label's value must not contain.
var labelValue = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// result returns the word for how a run ended.
func (r *report) result(ended error) string {
	status, isCode := errors.AsType[code](ended)
	switch {
	case r.conflict:
		return resultHeld
	case r.ran && isCode && status == 0:
		return resultOK
	case r.ran && isCode:
		return resultFailed
	case errors.Is(ended, redlock.ErrLost):
		return resultLost
	case exitCode(ended) == exitNoQuorum:
		return resultNoQuorum
	case status == exitNotRun, status == exitNotFound:
		return resultNotRun
	case status > exitSignal:
		return resultInterrupted
	}
	return resultError
}
