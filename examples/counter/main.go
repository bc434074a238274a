// Command counter shows what a lock is for: three workers share one sum, which they keep in a file.
// Each takes the lock, reads the sum, works for one, two or three seconds, writes the sum plus 15,
// and releases the lock. No work overlaps, so no addition is lost: the sum is 45 after about six
// seconds.
//
//	go run ./examples/counter               # three goroutines, five nodes in this process
//	go run ./examples/counter -processes    # three processes, five redis-servers that it starts
//	go run ./examples/counter -nodes a,b,c  # on your own Redis or Valkey masters, with or without -processes
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/pool"
)

const (
	workers = 3
	step    = 15

	nodesEnv = "REDLOCK_NODES" // the default of -nodes
)

// A scene holds the settings of the command line.
type scene struct {
	nodes     string        // addresses; empty: nodes in this process
	processes bool          // workers are processes, not goroutines
	second    time.Duration // how long a second of work lasts
	worker    int           // set in a process that is a worker
	file      string        // where the sum is
}

func main() {
	var s scene
	flag.StringVar(&s.nodes, "nodes", "", "comma-separated `addresses` of Redis or Valkey masters (default: nodes of its own)")
	flag.BoolVar(&s.processes, "processes", false, "run the workers as processes; starts redis-servers if no -nodes are given")
	flag.DurationVar(&s.second, "second", time.Second, "how long a second of work lasts")
	flag.IntVar(&s.worker, "worker", 0, "be this worker (used by -processes)")
	flag.StringVar(&s.file, "file", "", "keep the sum in this file (default: a temporary one)")
	flag.Parse()
	if s.nodes == "" {
		s.nodes = os.Getenv(nodesEnv)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := s.run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "counter:", err)
		os.Exit(1)
	}
}

// run runs one worker, or all of them.
func (s scene) run(ctx context.Context, out io.Writer) (err error) {
	if s.worker != 0 {
		nodes, err := pool.DialList(s.nodes)
		if err != nil {
			return err
		}
		return with(ctx, nodes, func(locks *redlock.Locker) error { return s.work(ctx, locks, s.worker, out) })
	}
	if s.file == "" {
		dir, err := os.MkdirTemp("", "counter")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		s.file = filepath.Join(dir, "sum")
	}
	if err := writeSum(s.file, 0); err != nil {
		return err
	}
	began := time.Now()
	if s.processes {
		err = s.runProcesses(ctx, out)
	} else {
		err = s.runGoroutines(ctx, out)
	}
	if err != nil {
		return err
	}
	sum, err := readSum(s.file)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "the sum is %d, after %.1f s\n", sum, time.Since(began).Seconds())
	if sum != workers*step {
		return fmt.Errorf("the sum should be %d: some of the work was lost", workers*step)
	}
	return nil
}

// with calls fn with a Locker of the nodes.
func with(ctx context.Context, nodes []pool.Node, fn func(*redlock.Locker) error) error {
	locks, err := redlock.New(nodes)
	if err != nil {
		return err
	}
	return errors.Join(fn(locks), locks.Close(context.WithoutCancel(ctx)))
}

// work is one worker's turn.
func (s scene) work(ctx context.Context, locks *redlock.Locker, worker int, out io.Writer) error {
	hold := time.Duration(worker) * s.second
	fmt.Fprintf(out, "worker %d waits for the lock\n", worker)
	return locks.Do(ctx, "counter", func(ctx context.Context, lease *redlock.Lease) error {
		fmt.Fprintf(out, "worker %d has the lock, token %d\n", worker, lease.Fence())
		sum, err := readSum(s.file)
		if err != nil {
			return err
		}
		// the work, which is long enough for others to come between the reading and the writing, if
		// they could
		select {
		case <-time.After(hold):
		case <-ctx.Done(): // the lock is lost, or the program stops: leave the sum alone
			return context.Cause(ctx)
		}
		sum += step
		fmt.Fprintf(out, "worker %d makes the sum %d and releases\n", worker, sum)
		return writeSum(s.file, sum)
	})
}

func readSum(file string) (sum int, err error) {
	text, err := os.ReadFile(file)
	if err == nil {
		_, err = fmt.Sscan(string(text), &sum)
	}
	return sum, err
}

func writeSum(file string, sum int) error {
	return os.WriteFile(file, fmt.Appendln(nil, sum), 0o600)
}
