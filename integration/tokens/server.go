package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/integration/clocks"
)

// A server is one master on this machine, whose clock can be shifted.
type server struct {
	addr   string
	clock  string // the file with the offset of its clock
	env    []string
	cmd    *exec.Cmd
	client *redis.Client
}

// newServer starts a master with that library preloaded.
func newServer(ctx context.Context, dir, library string, i int) (*server, error) {
	s := &server{clock: filepath.Join(dir, fmt.Sprintf("server-%d.clock", i))}
	s.env = append(os.Environ(), "LD_PRELOAD="+library, clocks.Variable+"="+s.clock)
	if err := clocks.Shift(s.clock, 0); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.addr = l.Addr().String()
	_ = l.Close() // it has found a free port
	s.client = redis.NewClient(&redis.Options{Addr: s.addr})
	return s, s.start(ctx)
}

// start starts it, empty, and returns once it answers.
func (s *server) start(ctx context.Context) error {
	_, port, _ := net.SplitHostPort(s.addr)
	s.cmd = exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
	s.cmd.Env = s.env
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for s.client.Ping(ctx).Err() != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("%s does not answer: %w", s.addr, ctx.Err())
		}
		sleep(ctx, 5*time.Millisecond)
	}
	return nil
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func (s *server) stop() {
	if s.cmd != nil && s.cmd.Process != nil {
		s.kill()
	}
	_ = s.client.Close()
}

// shifted checks that the clock of the server can be shifted: a run whose faults do not happen has shown nothing.
func (s *server) shifted(ctx context.Context) error {
	if err := clocks.Shift(s.clock, time.Hour); err != nil {
		return err
	}
	now, err := s.client.Time(ctx).Result()
	if err != nil {
		return err
	}
	if ahead := time.Until(now); ahead < 50*time.Minute {
		return fmt.Errorf("the clock of %s does not obey: it is ahead by %v", s.addr, ahead)
	}
	return clocks.Shift(s.clock, 0)
}
