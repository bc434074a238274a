package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/memnode"
	"github.com/go-redlock/redlock/internal/redisserver"
	"github.com/go-redlock/redlock/pool"
)

const ownNodes = 5 // how many nodes there are if none are named

// runGoroutines runs all workers in this process.
func (s scene) runGoroutines(ctx context.Context, out io.Writer) error {
	nodes, err := s.someNodes()
	if err != nil {
		return err
	}
	return with(ctx, nodes, func(locks *redlock.Locker) error {
		cast, ctx := errgroup.WithContext(ctx)
		for i := range workers {
			cast.Go(func() error { return s.work(ctx, locks, i+1, out) })
		}
		return cast.Wait()
	})
}

// someNodes returns the named nodes, or nodes in this process.
func (s scene) someNodes() ([]pool.Node, error) {
	if s.nodes != "" {
		return pool.DialList(s.nodes)
	}
	_, nodes := memnode.Cluster(ownNodes)
	return nodes, nil
}

// runProcesses runs each worker in a process of its own: this program, which is told its number.
func (s scene) runProcesses(ctx context.Context, out io.Writer) error {
	if s.nodes == "" {
		servers, err := redisserver.Start(ownNodes)
		if err != nil {
			return fmt.Errorf("%w; name running masters with -nodes", err)
		}
		defer servers.Stop()
		s.nodes = strings.Join(servers.Addrs(), ",")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// one pipe for all, so that their lines stay in order
	said, say, err := os.Pipe()
	if err != nil {
		return err
	}
	var heard errgroup.Group
	heard.Go(func() error {
		_, err := io.Copy(out, said)
		return err
	})
	err = s.runWorkers(ctx, self, say)
	return errors.Join(err, say.Close(), heard.Wait(), said.Close())
}

// runWorkers runs this program once for each worker.
func (s scene) runWorkers(ctx context.Context, self string, out *os.File) error {
	cast, ctx := errgroup.WithContext(ctx)
	for i := range workers {
		p := exec.CommandContext(ctx, self, "-worker", strconv.Itoa(i+1), "-file", s.file, "-second", s.second.String())
		// not as an argument, which all users of the machine can read
		p.Env = append(os.Environ(), nodesEnv+"="+s.nodes)
		p.Stdout, p.Stderr = out, os.Stderr
		cast.Go(func() error {
			if err := p.Run(); err != nil {
				return fmt.Errorf("worker %d: %w", i+1, err)
			}
			return nil
		})
	}
	return cast.Wait()
}
