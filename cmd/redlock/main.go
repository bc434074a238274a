// Command redlock locks names across N Redis or Valkey masters. It is for operators: for cron jobs
// that must run once, for services of which one must be active, and for the masters themselves.
// docs/command.md is its handbook.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/cmd/redlock/internal/leash"
)

// redlock's own exit codes, from sysexits.h and the shell. Otherwise `run` has the exit code of its
// command, and `doctor` 1 or 2.
const (
	exitUsage     = 64  // a bad flag, argument or address
	exitNoQuorum  = 69  // too few nodes answered, or would serve, or the wait was over before
	exitSoftware  = 70  // anything else
	exitLost      = 74  // the lock was lost, and the command was stopped, or not started
	exitHeld      = 75  // another has the lock
	exitUnstopped = 77  // the lock was lost, and the command could not be stopped
	exitNotRun    = 126 // the command cannot be executed
	exitNotFound  = 127 // the command was not found
	exitSignal    = 128 // plus the number of the signal that ended it
)

// A cli is the command line.
type cli struct {
	Run       runCmd           `cmd:"" help:"Run a command while holding a lock."`
	Inspect   inspectCmd       `cmd:"" help:"Show who has a lock, node by node."`
	Ls        lsCmd            `cmd:"" name:"ls" help:"List locks."`
	Top       topCmd           `cmd:"" help:"Show who has locks and who waits for them, again and again."`
	Release   releaseCmd       `cmd:"" help:"Take a lock from its holder."`
	Bootstrap bootstrapCmd     `cmd:"" help:"Let nodes that are new to the restart guard serve at once."`
	Doctor    doctorCmd        `cmd:"" help:"Examine the nodes, and say how to put right what is wrong."`
	Bench     benchCmd         `cmd:"" help:"Measure what locks cost over the nodes, from this machine."`
	Demo      demoCmd          `cmd:"" help:"Show how it works, on five nodes in this process."`
	Version   kong.VersionFlag `help:"Print the version."`

	Completion completionCmd `cmd:"" help:"Print a script that completes redlock's commands and flags in a shell."`
}

const about = `Locks names across N independent Redis or Valkey masters.

The nodes come from --nodes, --nodes-file or REDLOCK_NODES, a password best from --password-file or REDLOCK_PASSWORD:
what stands on a command line others can read.

  redlock demo                                       see it work, without any server
  redlock doctor --nodes a:6379,b:6379,c:6379        are the nodes fit for locks?
  redlock run --no-wait nightly -- /opt/backup.sh    on ten machines at once: it runs on one
  redlock inspect nightly                            who has it?`

func main() {
	leash.Guard()
	keepIgnored()
	redis.SetLogger(silence{}) // the errors say it all
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// silence is a logger for go-redis.
type silence struct{}

// Printf prints nothing.
func (silence) Printf(context.Context, string, ...any) {}

// A code is an error that is only an exit code: the message has been printed already.
type code int

// Error implements error.
func (c code) Error() string { return fmt.Sprintf("exit status %d", int(c)) }

// A usageError is an error in the command line.
type usageError struct{ error }

// Unwrap returns the cause.
func (e usageError) Unwrap() error { return e.error }

// errUnstopped says that the lock was lost while the command ran, and that the command went on.
var errUnstopped = errors.New("the command could not be stopped and ran on")

// A streams holds the streams for output.
type streams struct{ out, err io.Writer }

// run runs redlock and returns its exit code.
func run(args []string, out, errOut io.Writer) (status int) {
	var c cli
	exited := -1
	parser := kong.Must(&c, kong.Name("redlock"), kong.Description(about), kong.Writers(out, errOut),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.Exit(func(code int) { exited = code }),
		kong.Vars{"ttl": redlock.DefaultTTL.String(), "version": build()})
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(arrange(parser.Model, args))
	if exited >= 0 { // --help or --version
		return exited
	}
	ctx, stop := interruptible(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err != nil {
		err = usageError{err}
	} else {
		parsed.BindTo(ctx, (*context.Context)(nil))
		err = parsed.Run(streams{out, errOut}, parsed.Model)
	}
	if _, said := errors.AsType[code](err); err != nil && !said {
		fmt.Fprintf(errOut, "redlock: %s\n", message(err))
	}
	return exitCode(err)
}

// exitCode returns the exit code for an error.
func exitCode(err error) int {
	_, badOption := errors.AsType[*redlock.OptionError](err)
	_, badUsage := errors.AsType[usageError](err)
	status, said := errors.AsType[code](err)
	switch {
	case err == nil:
		return 0
	case said:
		return int(status)
	case badOption || badUsage:
		return exitUsage
	case errors.Is(err, errUnstopped):
		return exitUnstopped
	case errors.Is(err, redlock.ErrHeld):
		return exitHeld
	case errors.Is(err, redlock.ErrLost): // perhaps of one of several locks
		return exitLost
	case errors.Is(err, redlock.ErrNoQuorum), errors.Is(err, redlock.ErrTooLate):
		return exitNoQuorum
	case errors.Is(err, context.Canceled):
		return exitSignal + int(syscall.SIGINT)
	case errors.Is(err, context.DeadlineExceeded): // the wait was over before there was a verdict
		return exitNoQuorum
	}
	return exitSoftware
}
