// Package leash runs a command in a process group of its own that does not outlive a deadline,
// whatever becomes of the process that started it.
//
// Beside the command it starts a guardian: this same program, in a session of its own, at the end
// of a pipe. The guardian is told each new deadline. It stops the group (SIGTERM, after a grace
// SIGKILL) when the deadline draws near, and when the pipe closes: because the command has ended
// and left others in its group, because it is to stop, or because the process that held the pipe is
// no more. It ends when the group is empty. So one piece of code does all the stopping, and it
// still does when the process that holds the lock is killed, stopped or starved.
//
// A process that has become another user's cannot be stopped: where nothing else is left of the
// group, the guardian says so and waits for it.
//
// On Linux the kernel kills the command at once if its starter dies, and orphans of the group are
// adopted, so that nobody waits for zombies.
package leash
