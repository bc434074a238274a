package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// keepIgnored has the signals stay ignored that were ignored when redlock was started, here and in
// the command, as they do under env or flock: nohup ignores SIGHUP; a script's shell ignores SIGINT
// and SIGQUIT in what it runs in the background. Of SIGHUP and SIGINT Go sees to that itself. Where
// it is not known how the others were found, SIGQUIT goes with SIGINT, and --ignore-signal names
// the rest.
func keepIgnored() {
	if signal.Ignored(syscall.SIGINT) {
		signal.Ignore(syscall.SIGQUIT)
	}
	if found := foundIgnored(); len(found) > 0 { // none would stand for all
		signal.Ignore(found...)
	}
}

// catch has the channel hear of those of the signals that are not ignored.
func catch(c chan<- os.Signal, signals ...os.Signal) {
	signals = slices.DeleteFunc(slices.Clone(signals), signal.Ignored)
	if len(signals) > 0 { // none would stand for all
		signal.Notify(c, signals...)
	}
}

// interruptible returns a context that ends with the first of the signals that is not ignored, and
// what sets that right again.
func interruptible(parent context.Context, signals ...os.Signal) (context.Context, func()) {
	ctx, cancel := context.WithCancel(parent)
	heard, over := make(chan os.Signal, 1), make(chan struct{})
	catch(heard, signals...)
	go func() {
		defer close(over)
		select {
		case <-heard:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(heard)
		cancel()
		<-over
	}
}
