package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/integration/clocks"
)

const size = 5

// A server is one master in a container, behind a proxy.
type server struct {
	image string
	id    string // of the container
	dir   string // its data, on this machine
	net   *proxy
}

// servers are the masters of a run.
type servers struct {
	dir string
	all []*server
}

// startServers starts five masters from the images in turn. If their clocks will be shifted, this
// machine needs gcc.
func startServers(ctx context.Context, images []string, shifting bool) (*servers, error) {
	dir, err := os.MkdirTemp("", "redlock-chaos-")
	if err != nil {
		return nil, err
	}
	s := &servers{dir: dir, all: make([]*server, size)}
	library := filepath.Join(dir, "clock.so")
	if shifting {
		if err := clocks.Build(ctx, library); err != nil {
			return nil, err
		}
	} else {
		library = ""
	}
	errs := make([]error, size)
	var all sync.WaitGroup
	for i := range s.all {
		s.all[i] = &server{image: images[i%len(images)], dir: filepath.Join(dir, strconv.Itoa(i))}
		all.Go(func() { errs[i] = s.all[i].create(ctx, library) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *servers) addrs() []string {
	var addrs []string
	for _, one := range s.all {
		addrs = append(addrs, one.net.addr)
	}
	return addrs
}

// stop removes the containers and their data.
func (s *servers) stop() {
	for _, one := range s.all {
		if one.id != "" {
			_, _ = docker(context.Background(), "rm", "-f", one.id)
		}
		if one.net != nil {
			one.net.refuse()
		}
	}
	_ = os.RemoveAll(s.dir)
}

// create starts the container for the first time, with that library preloaded, if any.
func (s *server) create(ctx context.Context, library string) error {
	if err := os.MkdirAll(s.dir, 0o777); err != nil {
		return err
	}
	var err error
	if s.net, err = newProxy(); err != nil {
		return err
	}
	program := "redis-server"
	if strings.Contains(s.image, "valkey") {
		program = "valkey-server"
	}
	args := []string{"run", "-d", "-v", s.dir + ":/data", "--entrypoint", program}
	if library != "" {
		if err := s.shift(0); err != nil {
			return err
		}
		args = append(args, "-v", library+":/clock.so:ro", "-e", "LD_PRELOAD=/clock.so", "-e", clocks.Variable+"=/data/clock")
	}
	id, err := docker(ctx, append(args, s.image, "--dir", "/data", "--protected-mode", "no", "--save", "", "--appendonly", "no",
		"--maxmemory-policy", "noeviction")...)
	if err != nil {
		return err
	}
	s.id = strings.TrimSpace(id)
	return s.connect(ctx)
}

// connect finds out the container's current address, and lets clients through when it answers.
func (s *server) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	at, err := docker(ctx, "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", s.id)
	if err != nil {
		return err
	}
	at = strings.TrimSpace(at) + ":6379"
	client := redis.NewClient(&redis.Options{Addr: at, MaxRetries: -1, DialTimeout: time.Second, DialerRetries: 1})
	defer client.Close()
	for client.Ping(ctx).Err() != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("%s at %s does not answer: %w", s.image, at, ctx.Err())
		}
		sleep(ctx, 5*time.Millisecond)
	}
	return s.net.accept(at)
}

// ask sends the server a command, past the proxy.
func (s *server) ask(ctx context.Context, command ...any) error {
	s.net.mu.Lock()
	at := s.net.server
	s.net.mu.Unlock()
	client := redis.NewClient(&redis.Options{Addr: at})
	defer client.Close()
	return client.Do(ctx, command...).Err()
}

// kill ends the server as a crash does. It forgets what it has not saved.
func (s *server) kill(ctx context.Context) error {
	s.net.refuse()
	_, err := docker(ctx, "kill", s.id)
	return err
}

// start starts the server again.
func (s *server) start(ctx context.Context) error {
	if _, err := docker(ctx, "start", s.id); err != nil {
		return err
	}
	return s.connect(ctx)
}

// pause freezes the server. A busy kernel may need more than one try to freeze all its threads.
func (s *server) pause(ctx context.Context) error {
	var err error
	for range 5 {
		if _, err = docker(ctx, "pause", s.id); err == nil {
			return nil
		}
		sleep(ctx, 100*time.Millisecond)
	}
	return err
}

// wipe deletes what it has saved.
func (s *server) wipe() error {
	if err := os.Remove(filepath.Join(s.dir, "dump.rdb")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// shift sets the offset of its clock.
func (s *server) shift(d time.Duration) error { return clocks.Shift(filepath.Join(s.dir, "clock"), d) }

// docker runs a command of the Docker client's.
func docker(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "docker", args...).Output()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		err = fmt.Errorf("docker %s: %w: %s", args[0], err, failed.Stderr)
	}
	return string(out), err
}
