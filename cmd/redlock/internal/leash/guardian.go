//go:build unix

package leash

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// guardianEnv is an environment variable that only a guardian has: grace and slack.
const guardianEnv = "REDLOCK_GUARDIAN"

const (
	poll  = 2 * time.Millisecond   // how often to check whether a stopped group has ended
	watch = 100 * time.Millisecond // how often to check a group that cannot be stopped
	// how often to look at the clock otherwise, because the machine may have been suspended.
	tick = time.Second
)

// Guard makes this process the guardian of a process group if it was started as one; then it does
// not return. A program that uses Start must call Guard before anything else.
func Guard() {
	text, ok := os.LookupEnv(guardianEnv)
	if !ok {
		return
	}
	var grace, slack string
	g := guardian{deadline: never, holder: os.Getppid()}
	if _, err := fmt.Sscan(text, &grace, &slack); err != nil {
		os.Exit(2)
	}
	g.grace, _ = time.ParseDuration(grace)
	g.slack, _ = time.ParseDuration(slack)
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGPIPE, syscall.SIGTSTP)
	orders := make(chan order)
	go hear(orders)
	fmt.Println("ready")
	g.run(orders)
	os.Exit(0)
}

// never is later than any deadline.
const never = 1<<63 - 1

// An order is a line from the process that holds the leash.
type order struct {
	word  string
	value int64
}

// hear passes the orders on, and closes the channel when the holder has closed the pipe or has
// ended.
func hear(orders chan<- order) {
	defer close(orders)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var o order
		if _, err := fmt.Sscan(lines.Text(), &o.word, &o.value); err == nil {
			orders <- o
		}
	}
}

// A guardian stops a process group. Its times are readings of clock.
type guardian struct {
	grace, slack time.Duration
	holder       int // process id
	group        int
	deadline     time.Duration
	alone        bool // the holder has closed the pipe

	killAt  time.Duration // 0: not stopping
	killed  bool
	foreign bool // what is left of the group belongs to another user
}

// run returns when the group is empty.
func (g *guardian) run(orders <-chan order) {
	for {
		wait := g.act()
		if wait < 0 {
			return
		}
		select {
		case o, ok := <-orders:
			switch {
			case !ok:
				g.alone, orders = true, nil
			case o.word == "group":
				g.group = int(o.value)
			case o.word == "until":
				g.deadline = time.Duration(o.value)
			}
		case <-time.After(wait):
		}
	}
}

// act does what is due, and returns how long there is nothing to do. Below zero means that
// nothing is left to do.
func (g *guardian) act() time.Duration {
	if g.group == 0 {
		if g.alone { // the command did not start
			return -1
		}
		return tick
	}
	now, last := clock(), g.deadline-g.slack
	if !g.alone && g.killAt == 0 && now < last-g.grace {
		return min(last-g.grace-now, tick)
	}
	left := probe(g.group)
	switch {
	case errors.Is(left, syscall.ESRCH):
		return -1
	case g.killAt == 0:
		g.killAt = now + g.grace
		if !g.alone {
			fmt.Println("late")
		}
		_ = syscall.Kill(-g.group, syscall.SIGTERM)
		_ = syscall.Kill(-g.group, syscall.SIGCONT) // a stopped process could not end
		return poll
	case !g.killed && now >= min(g.killAt, last):
		g.killed = true
		_ = syscall.Kill(-g.group, syscall.SIGKILL)
	case g.killed && !g.foreign && errors.Is(left, syscall.EPERM):
		g.foreign = true
		fmt.Println("foreign")
	}
	// the starter has ended: nobody waits for the guardian, and zombies may stay in the group
	if g.killed && os.Getppid() != g.holder {
		return -1
	}
	if g.foreign {
		return watch
	}
	return poll
}
