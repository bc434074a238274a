//go:build linux

// Delay runs a command with distant masters:
//
//	go run ./internal/distance/delay -rtt 1,40,80,120,200 -jitter 0.05 -- redlock run job --node-timeout 1s -- date
//
// It starts a redis-server for each round-trip time, puts their addresses into REDLOCK_NODES, runs
// the command, and ends with its exit code. Needs root, /dev/net/tun and iproute2. Servers and
// namespaces end with it, also when it is killed.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-redlock/redlock/internal/distance"
)

func main() {
	code, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "delay:", err)
		code = 1
	}
	os.Exit(code)
}

func run() (int, error) {
	rtt := flag.String("rtt", "1,40,80,120,200", "round-trip `times` in milliseconds, one a server")
	loss := flag.String("loss", "", "`parts` of the packets lost each way, one a server, such as 0,0,0,0.01,0.01")
	jitter := flag.Float64("jitter", 0, "`part` by which each delay varies, such as 0.05")
	forget := flag.Duration("forget", 0, "forget TCP connections that were idle for this `time`")
	seed := flag.Uint64("seed", 1, "`number` that decides on loss and jitter")
	server := flag.String("server", "", "further `arguments` of each server, separated by blanks")
	verbose := flag.Bool("v", false, "print each packet that is dropped")
	flag.Parse()
	if flag.NArg() == 0 {
		return 0, errors.New("no command: delay [flags] -- command")
	}
	p := distance.Profile{Jitter: *jitter, Forget: *forget, Seed: *seed}
	times, err := numbers("rtt", *rtt)
	if err != nil {
		return 0, err
	}
	for _, ms := range times {
		p.RTT = append(p.RTT, time.Duration(ms*float64(time.Millisecond)))
	}
	if p.Loss, err = numbers("loss", *loss); err != nil {
		return 0, err
	}
	if *verbose {
		p.Log = func(d distance.Drop) { fmt.Fprintf(os.Stderr, "delay: dropped %+v\n", d) }
	}
	l, err := distance.Open(p)
	if err != nil {
		return 0, fmt.Errorf("open: %w", err)
	}
	defer l.Close()
	addrs, err := l.Masters(1, strings.Fields(*server)...)
	if err != nil {
		return 0, fmt.Errorf("masters: %w", err)
	}
	code, err := among(l, addrs, flag.Args())
	for i, c := range l.Counts() {
		fmt.Fprintf(os.Stderr, "delay: %s %v: %d packets, %d lost, %d forgotten, %d crowded\n",
			addrs[i], p.RTT[i], c.Carried, c.Lost, c.Forgotten, c.Crowded)
	}
	return code, err
}

// among runs the command on the clients' side, and returns its exit code.
func among(l *distance.Link, addrs, command []string) (int, error) {
	cmd := exec.Command(command[0], command[1:]...) //nolint:noctx // signals are passed on to it
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "REDLOCK_NODES="+strings.Join(addrs, ","))
	if err := l.StartNear(cmd); err != nil {
		return 0, fmt.Errorf("start: %w", err)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s) // it may have ended
		}
	}()
	err := cmd.Wait()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return max(failed.ExitCode(), 1), nil
	}
	return 0, err //nolint:wrapcheck // says it all
}

// numbers parses a list of numbers.
func numbers(name, list string) ([]float64, error) {
	var all []float64
	for text := range strings.SplitSeq(list, ",") {
		if text == "" {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil {
			return nil, fmt.Errorf("-%s %q: %q is no number", name, list, text)
		}
		all = append(all, n)
	}
	return all, nil
}
