// Package leash runs a command in a process group of its own, and ends the group by a deadline,
// whatever happens to the process that started it.
//
// Beside the command it starts a guardian: this same program, in a session of its own, which reads
// from a pipe. The process that holds the lock writes each new deadline to the pipe. The guardian
// stops the group (SIGTERM, after a grace SIGKILL) when the deadline is near, and when the pipe is
// closed: because the command has ended and left others in its group, because the group is to stop,
// or because the process that held the pipe has ended. It ends when the group is empty. So one
// piece of code does all the stopping, and it still works when the process that holds the lock is
// killed, stopped or starved.
//
// A process that has become another user's cannot be stopped. If nothing else is left of the group,
// the guardian reports that and waits for the process to end.
//
// On Linux the kernel kills the command at once if its starter dies, and the starter adopts orphans
// of the group, so that no zombies are left.
package leash
