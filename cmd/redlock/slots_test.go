//go:build unix

package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var runs = flag.Int("runs", 50, "how many processes want one of three slots")

const (
	places = 3
	// shortage is how long fewer than three commands may run although further processes want to. It
	// is longer on a machine that is so busy that commands take more than twice their time.
	shortage = 2 * time.Second
	// bystanders is how many processes at a time do not wait, and are started again and again.
	bystanders = 20
)

// turn says when it runs, and after turnLasts that it no longer does.
const turn, turnLasts = `echo in $$; sleep 0.2; echo out $$`, 200 * time.Millisecond

// A crowd is many processes of `redlock run --slots 3`. Their commands write to one pipe, whose
// reader knows in which order they ran.
type crowd struct {
	*stand
	program  string // without the race detector, with which it takes three times as long to start
	started  time.Time
	wanting  atomic.Int64 // processes that a master has answered, and that have not ended
	out      *os.File     // the pipe's end for commands
	watching sync.WaitGroup
	had      int // commands that have run, once everything has been watched
}

func newCrowd(t *testing.T) *crowd {
	t.Helper()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := &crowd{stand: newStand(t), program: goBuild(t), out: out}
	c.started = time.Now()
	c.watching.Go(func() { c.watch(in) })
	return c
}

// watch counts the commands that run: never more than three, and not fewer for long, from the first
// command on, while more than three processes are there.
func (c *crowd) watch(in *os.File) {
	running := make(map[string]time.Time) // since when, by process
	var short, last time.Time             // since when fewer than three run; the last line
	var longest, slowest time.Duration
	for lines := bufio.NewScanner(in); lines.Scan(); {
		now, crowded := time.Now(), c.wanting.Load() > places
		last = now
		what, process, _ := strings.Cut(lines.Text(), " ")
		if what == "in" {
			running[process] = now
			c.had++
		} else {
			slowest = max(slowest, now.Sub(running[process]))
			delete(running, process)
		}
		if len(running) > places {
			c.t.Errorf("%d commands run at a time", len(running))
		}
		switch {
		case !short.IsZero() && (len(running) == places || !crowded):
			longest, short = max(longest, now.Sub(short)), time.Time{}
		case short.IsZero() && len(running) < places && crowded:
			short = now
		}
	}
	if !short.IsZero() { // to the end
		longest = max(longest, last.Sub(short))
	}
	if most := shortage * time.Duration(max(1, int(slowest/(2*turnLasts)))); longest > most {
		c.t.Errorf("fewer than %d commands ran for %v, although further processes wanted to; at most %v", places, longest, most)
	}
	c.t.Logf("%d commands ran in %v, the slowest for %v; the longest time with fewer than %d was %v",
		c.had, time.Since(c.started), slowest, places, longest)
}

// one runs one process, and returns its exit code. The process wants a permit once a master has
// answered it: how long a program takes to start does not depend on permits.
func (c *crowd) one(flags ...string) int {
	var asked atomic.Bool
	nodes := c.servers.Addrs()
	first, stop, err := proxy(nodes[0], func(answer []byte) []byte {
		if asked.CompareAndSwap(false, true) {
			c.wanting.Add(1)
		}
		return answer
	})
	if err != nil {
		c.t.Error(err)
		return exitSoftware
	}
	nodes[0] = first
	args := append([]string{"run", "--nodes", strings.Join(nodes, ","), "--slots", fmt.Sprint(places)}, flags...)
	args = append(args, "job", "--", "sh", "-c", turn)
	p, told := exec.CommandContext(c.t.Context(), c.program, args...), new(bytes.Buffer)
	p.Stdout, p.Stderr = c.out, told
	err = p.Run()
	stop()
	if asked.Load() {
		c.wanting.Add(-1)
	}
	code := p.ProcessState.ExitCode()
	if !slices.Contains([]int{0, exitHeld, exitNoQuorum}, code) {
		c.t.Errorf("%v\n%s", err, told)
	}
	return code
}

// end waits until the reader has seen everything, and returns how many commands ran.
func (c *crowd) end() int {
	_ = c.out.Close()
	c.watching.Wait()
	return c.had
}

func TestOfManyRunsThatWaitForASlotThreeRunAtATime(t *testing.T) { //nolint:paralleltest // so many are alone
	c := newCrowd(t)
	var all sync.WaitGroup
	for range *runs {
		all.Go(func() {
			if code := c.one(); code != 0 {
				t.Errorf("exit code %d of a process that waits", code)
			}
		})
	}
	all.Wait()
	if had := c.end(); had != *runs {
		t.Errorf("%d commands ran, not %d", had, *runs)
	}
}

// Now and then simultaneous processes keep a permit from each other until they give up.
func TestOfManyRunsThatDoNotWaitForASlotThreeRunAtATime(t *testing.T) { //nolint:paralleltest // so many are alone
	c := newCrowd(t)
	var left, done, split atomic.Int64
	left.Store(int64(*runs))
	var all sync.WaitGroup
	for range bystanders {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				switch c.one("--no-wait") {
				case 0:
					done.Add(1)
				case exitNoQuorum:
					split.Add(1)
				}
			}
		})
	}
	all.Wait()
	if had := c.end(); had != int(done.Load()) || had == 0 {
		t.Errorf("%d commands ran, and %d processes say so", had, done.Load())
	}
	if n := int(split.Load()); n > *runs/10 {
		t.Errorf("%d of %d processes found no quorum", n, *runs)
	}
}
