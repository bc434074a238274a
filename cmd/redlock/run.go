package main

import "time"

// A runCmd is `redlock run`.
type runCmd struct {
	connection

	Name    string   `arg:"" help:"The lock's name."`
	Command []string `arg:"" passthrough:"partial" help:"-- and then the command and its arguments."`

	Also     []string       `help:"Hold this lock too; may be given several times. Runs that hold several locks never wait for each other in a circle." sep:"none" placeholder:"NAME" group:"Lock"`
	Slots    *int           `help:"Take a permit of a semaphore with this number of permits: at most so many runs of the name at a time." placeholder:"N" group:"Lock"`
	Shared   bool           `help:"Share the lock with all other runs that have this flag. A run without it has the lock alone." group:"Lock"`
	Wait     *time.Duration `help:"How long to wait for the lock (default: without end)." xor:"wait" placeholder:"TIME" group:"Lock"`
	NoWait   bool           `help:"Do not wait for the lock: if another has it, do not run the command." xor:"wait" group:"Lock"`
	Conflict int            `name:"conflict-exit-code" help:"Exit code if another has the lock (default ${default})." default:"75" placeholder:"N" group:"Lock"`
	TTL      time.Duration  `name:"ttl" help:"How long others must wait if this machine dies; renewed while the command runs (default ${default})." default:"${ttl}" placeholder:"TIME" group:"Lock"`
	MinHold  time.Duration  `help:"Keep the lock for at least this long, even if the command ends sooner: a short job then runs once on machines whose clocks differ." placeholder:"TIME" group:"Lock"`
	Holder   *string        `help:"Label that others see; empty for none (default: host/pid)." placeholder:"TEXT" group:"Lock"`

	Shell bool           `help:"The command is a line for /bin/sh." short:"c" group:"Command"`
	Grace *time.Duration `help:"How long the command may take to end after SIGTERM before it is killed (default: a quarter of the TTL, 10s at most)." placeholder:"TIME" group:"Command"`

	MetricsFile string `help:"File for the textfile collector of node_exporter (its name ends in .prom), written when the run ends: its result, how long it waited, how long it held the lock." placeholder:"FILE" group:"Command"`

	IgnoreSignal []string `help:"Signals that redlock and the command ignore, such as TERM." placeholder:"NAME" group:"Command"`
}

// Help implements kong.HelpProvider.
func (*runCmd) Help() string {
	return `The command runs only while the lock is held. If the lock cannot be renewed, or redlock is killed,
the command's process group is stopped, first with SIGTERM, then with SIGKILL, so that it is gone
before the lock ends. What the command leaves running in its process group is stopped when the
command ends, before the lock is released. Signals, the standard streams and the exit status pass
through.

The command has in its environment REDLOCK_NAME; REDLOCK_FENCE, the fencing token, which rises with
each holder of the lock; and REDLOCK_UNTIL, the time at which the lock would end if it were not
renewed. With --also the further names and tokens are in REDLOCK_NAME_2, REDLOCK_FENCE_2 and so on.
With --slots the number of its slot, from 0, is in REDLOCK_SLOT; tokens then rise slot by slot. With
--shared the tokens are for reading only: nothing must be written with them.

  redlock run --no-wait nightly -- /opt/backup.sh --all      run on one of many machines
  redlock run --wait 30s deploy -- make deploy               wait at most 30 s
  redlock run --shell report -- 'make report | mail ops'     a line for the shell
  redlock run --also account:bob account:ann -- ./transfer   two locks, in any order, without a deadlock
  redlock run --slots 3 import -- ./import                   three at a time, on all machines
  redlock run --shared catalog -- ./report                   beside other reports, not beside a run without --shared
  redlock run --no-wait --min-hold 5m poll -- ./poll         cron on machines with skewed clocks

Exit codes: the command's own, 128+n if signal n ended it; 64 bad usage, 69 no quorum of nodes, 70
other failures, 74 the lock was lost, 75 another has the lock, 77 the lock was lost and the command
could not be stopped, 126 the command cannot be executed, 127 not found.`
}
