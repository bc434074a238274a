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

// newServer starts a master, with that library, if any, to shift its clock.
func newServer(ctx context.Context, dir, library string, i int) (*server, error) {
	s := &server{clock: filepath.Join(dir, fmt.Sprintf("server-%d.clock", i)), env: os.Environ()}
	if library != "" {
		s.env = append(s.env, clocks.Environment(library, s.clock)...)
		if err := s.shift(time.Hour); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.addr = l.Addr().String()
	_ = l.Close() // it has found a free port
	s.client = redis.NewClient(&redis.Options{Addr: s.addr})
	if err := s.start(ctx); err != nil || library == "" {
		return s, err
	}
	return s, s.obeys(ctx)
}

// start starts the server, empty, and returns when it answers.
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

// stop lets the server end by itself, because then libfaketime leaves nothing behind.
func (s *server) stop() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(10*time.Second, func() { _ = s.cmd.Process.Kill() })
		_ = s.cmd.Wait()
		late.Stop()
	}
	_ = s.client.Close()
}

func (s *server) shift(d time.Duration) error { return clocks.Shift(s.clock, d) }

// obeys checks that the clock of the server, which began an hour ahead, can be shifted. A run whose
// faults do not happen shows nothing.
func (s *server) obeys(ctx context.Context) error {
	for _, d := range []time.Duration{time.Hour, 0} {
		if err := s.shift(d); err != nil {
			return err
		}
		now, err := s.client.Time(ctx).Result()
		if err != nil {
			return err
		}
		if off := time.Until(now) - d; off.Abs() > time.Minute {
			return fmt.Errorf("the clock of %s does not obey: it is off by %v", s.addr, off)
		}
	}
	return nil
}
