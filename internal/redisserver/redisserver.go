// Package redisserver starts real masters, redis-server or valkey-server, for tests and
// demonstrations.
package redisserver

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// ErrNone says that the machine has no server to start.
var ErrNone = errors.New("neither redis-server nor valkey-server is in PATH")

// A Server is one running master.
type Server struct {
	Addr string
	cmd  *exec.Cmd
	dir  string
	args []string
	gone chan struct{} // closed when the process has ended
}

// Servers are running masters.
type Servers struct{ all []*Server }

// Start starts n masters on ports of 127.0.0.1 that are free, without persistence, and returns once
// they accept connections. args are further arguments of each, such as "--appendonly", "yes".
func Start(n int, args ...string) (*Servers, error) {
	s := &Servers{}
	for range n {
		one, err := start(args)
		if err != nil {
			s.Stop()
			return nil, fmt.Errorf("redisserver: %w", err)
		}
		s.all = append(s.all, one)
	}
	return s, nil
}

// Addrs returns their addresses.
func (s *Servers) Addrs() []string {
	addrs := make([]string, len(s.all))
	for i, one := range s.all {
		addrs[i] = one.Addr
	}
	return addrs
}

// Process returns the process of master i, to stop, kill or freeze it.
func (s *Servers) Process(i int) *os.Process { return s.all[i].cmd.Process }

// Restart kills master i and starts it again at its address, with what it has written to its disk:
// nothing, unless its args say so. It returns once the master accepts connections.
func (s *Servers) Restart(i int) error {
	old := s.all[i]
	_ = old.cmd.Process.Kill()
	<-old.gone
	_, port, err := net.SplitHostPort(old.Addr)
	if err != nil {
		return fmt.Errorf("redisserver: %w", err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return fmt.Errorf("redisserver: %w", err)
	}
	fresh, err := launchIn(old.dir, old.cmd.Path, number, old.args)
	if err != nil {
		return fmt.Errorf("redisserver: %w", err)
	}
	s.all[i] = fresh
	return nil
}

// Stop ends all of them, and deletes what they have written. It may be called more than once.
func (s *Servers) Stop() {
	for _, one := range s.all {
		_ = one.cmd.Process.Kill()
		<-one.gone
		_ = os.RemoveAll(one.dir)
	}
	s.all = nil
}

// program returns the server to start.
func program() (string, error) {
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", ErrNone
}

// start starts one master. A port that looked free may be taken by the time it is used, and a
// cluster's masters take no port above 55535: then it tries another.
func start(args []string) (*Server, error) {
	path, err := program()
	if err != nil {
		return nil, err
	}
	var failed error
	for range 20 {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		s, err := launch(path, port, args)
		if err == nil {
			return s, nil
		}
		failed = err
	}
	return nil, failed
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed at once
	if err != nil {
		return 0, fmt.Errorf("a free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // it is TCP
	_ = l.Close()                        // it has served its purpose
	return port, nil
}

// launch starts one master in a directory of its own.
func launch(path string, port int, args []string) (*Server, error) {
	dir, err := os.MkdirTemp("", "redlock-server-")
	if err != nil {
		return nil, fmt.Errorf("a directory: %w", err)
	}
	s, err := launchIn(dir, path, port, args)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

func launchIn(dir, path string, port int, args []string) (*Server, error) {
	own := []string{"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "no"}
	cmd := exec.Command(path, append(own, args...)...) //nolint:noctx // it lives until Stop
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("a pipe: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s := &Server{Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), cmd: cmd, dir: dir, args: args, gone: make(chan struct{})}
	var said strings.Builder
	ready := false
	lines := bufio.NewScanner(out)
	for !ready && lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		ready = strings.Contains(lines.Text(), "eady to accept connections")
	}
	go func() {
		defer close(s.gone)
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	}()
	if !ready {
		_ = cmd.Process.Kill()
		<-s.gone
		return nil, fmt.Errorf("%s does not start:\n%s", path, said.String())
	}
	return s, nil
}
