package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// keepIgnored makes redlock and the command ignore the signals that were ignored when redlock was
// started, as env and flock do: nohup ignores SIGHUP; a shell ignores SIGINT and SIGQUIT in what a
// script runs in the background. Go itself does that for SIGHUP and SIGINT. If it is not known
// which others were ignored, SIGQUIT is treated like SIGINT, and --ignore-signal names the rest.
func keepIgnored() {
	if signal.Ignored(syscall.SIGINT) {
		signal.Ignore(syscall.SIGQUIT)
	}
	if found := foundIgnored(); len(found) > 0 { // no signals would mean all signals
		signal.Ignore(found...)
	}
}

// catch sends those of the signals that are not ignored to the channel.
func catch(c chan<- os.Signal, signals ...os.Signal) {
	signals = slices.DeleteFunc(slices.Clone(signals), signal.Ignored)
	if len(signals) > 0 { // no signals would mean all signals
		signal.Notify(c, signals...)
	}
}

// interruptible returns a context that ends with the first signal that is not ignored, and a
// function that stops the handling of the signals.
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
