// Package integration_test runs the library over containers of different Redis and Valkey versions,
// with faults.
package integration_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/redis/go-redis/v9"
	"github.com/testcontainers/testcontainers-go"
	"go.uber.org/goleak"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/pool"
)

const (
	size = 5
	// prefix begins the names of all locks, because others may use the servers too.
	prefix = "redlock-test:"
	ttl    = 8 * time.Second
	port   = "6379/tcp"

	// patience is how long a test waits for something that must happen: far longer than it takes.
	patience = 30 * time.Second
)

func TestMain(m *testing.M) {
	if name := os.Getenv("REDLOCK_TEST_CHILD"); name != "" {
		os.Exit(child(name))
	}
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), // the Docker client's
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
		// it ends within a second
		goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"),
	)
}

// images are the images of the servers, which are used in turn.
func images() []string {
	if list := os.Getenv("REDLOCK_TEST_IMAGES"); list != "" {
		return strings.Split(list, ",")
	}
	return []string{"redis:8", "valkey/valkey:9"}
}

// needDocker skips the test if there is no engine, or fails it if there must be one.
func needDocker(t *testing.T) {
	t.Helper()
	if err := exec.Command("docker", "info").Run(); err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("no Docker engine answers")
	}
	t.Skip("no Docker engine answers")
}

// A server is one master in a container, or one that runs already.
type server struct {
	testcontainers.Container // nil if the tests must not break it
	addr                     string
}

// running lists the servers that REDLOCK_TEST_ADDRS names.
func running() []*server {
	var servers []*server
	for a := range strings.SplitSeq(os.Getenv("REDLOCK_TEST_ADDRS"), ",") {
		if a = strings.TrimSpace(a); a != "" {
			servers = append(servers, &server{addr: a})
		}
	}
	return servers
}

// start starts n servers with these further arguments, all at once, or uses those that run already.
func start(t *testing.T, n int, args ...string) []*server {
	t.Helper()
	if there := running(); len(there) > 0 {
		if len(args) > 0 || len(there) < n {
			t.Skipf("needs %d servers of its own, with arguments %q", n, args)
		}
		return there[:n]
	}
	servers := startAll(t, n, args)
	for _, s := range servers {
		s.await(t)
	}
	return servers
}

func startAll(t *testing.T, n int, args []string, files ...testcontainers.ContainerFile) []*server {
	t.Helper()
	needDocker(t)
	servers := make([]*server, n)
	var all sync.WaitGroup
	for i := range servers {
		all.Go(func() {
			var err error
			for range 3 { // a port that was free may have been taken meanwhile
				if servers[i], err = startOne(t, images()[i%len(images())], args, files); err == nil {
					return
				}
			}
			t.Error(err)
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return servers
}

// startTLS starts n servers that speak TLS with that certificate.
func startTLS(t *testing.T, n int, cert, key []byte) []*server {
	t.Helper()
	if len(running()) > 0 {
		t.Skip("needs servers of its own")
	}
	return startAll(t, n, []string{
		"--port", "0", "--tls-port", "6379", "--tls-cert-file", "/cert.pem", "--tls-key-file", "/key.pem",
		"--tls-ca-cert-file", "/cert.pem", "--tls-auth-clients", "no",
	}, file(t, "cert.pem", cert), file(t, "key.pem", key))
}

// file is a file for containers, at the root.
func file(t *testing.T, name string, content []byte) testcontainers.ContainerFile {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return testcontainers.ContainerFile{HostFilePath: path, ContainerFilePath: "/" + name, FileMode: 0o644}
}

// startOne starts a server on a port of this machine that stays the same when it is started again.
func startOne(t *testing.T, image string, args []string, files []testcontainers.ContainerFile) (*server, error) {
	t.Helper()
	hostPort := freePort(t)
	command := "redis-server"
	if strings.Contains(image, "valkey") {
		command = "valkey-server"
	}
	c, err := testcontainers.GenericContainer(context.Background(), testcontainers.GenericContainerRequest{
		Started: true,
		ContainerRequest: testcontainers.ContainerRequest{
			Image:        image,
			Entrypoint:   []string{command},
			Cmd:          append([]string{"--protected-mode", "no", "--save", "", "--appendonly", "no", "--enable-debug-command", "yes"}, args...),
			Files:        files,
			ExposedPorts: []string{port},
			HostConfigModifier: func(h *container.HostConfig) {
				h.PortBindings = network.PortMap{
					network.MustParsePort(port): {{HostIP: netip.AddrFrom4([4]byte{127, 0, 0, 1}), HostPort: hostPort}},
				}
			},
		},
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", image, err), testcontainers.TerminateContainer(c))
	}
	s := &server{Container: c, addr: "127.0.0.1:" + hostPort}
	t.Cleanup(func() {
		_ = s.docker("unpause")
		if err := testcontainers.TerminateContainer(c, testcontainers.StopTimeout(0)); err != nil {
			t.Error(err)
		}
	})
	return s, nil
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, p, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// docker runs a command of the Docker client's on the container.
func (s *server) docker(command ...string) error {
	out, err := exec.Command("docker", append(command, s.GetContainerID())...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("docker %v: %w: %s", command, err, out)
	}
	return nil
}

// ours skips the test if the tests must not break the server.
func (s *server) ours(t *testing.T) {
	t.Helper()
	if s.Container == nil {
		t.Skipf("%s is not ours to break", s.addr)
	}
}

// do runs a command of the Docker client, which must succeed. A busy kernel may need more than one
// try to freeze a server.
func (s *server) do(t *testing.T, command ...string) {
	t.Helper()
	s.ours(t)
	err := s.docker(command...)
	for i := 0; i < 4 && err != nil && command[0] == "pause"; i++ {
		err = s.docker(command...)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// restart kills the server and starts it again, empty.
func (s *server) restart(t *testing.T) {
	t.Helper()
	s.do(t, "kill")
	s.do(t, "start")
	s.await(t)
}

// client is a plain connection to the server.
func (s *server) client(t *testing.T) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: s.addr})
	t.Cleanup(func() { c.Close() })
	return c
}

// await waits until the server answers, even if it refuses the command.
func (s *server) await(t *testing.T) {
	t.Helper()
	eventually(t, s.addr+" answers", func() bool {
		conn, err := net.DialTimeout("tcp", s.addr, time.Second)
		if err != nil {
			return false
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		if _, err := conn.Write([]byte("PING\r\n")); err != nil {
			return false
		}
		n, err := conn.Read(make([]byte, 1))
		return n == 1 && err == nil
	})
}

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); <-tick.C {
		if is() {
			return
		}
	}
	t.Fatalf("%s: not within %v", what, patience)
}

func addrs(servers []*server) []string {
	list := make([]string, len(servers))
	for i, s := range servers {
		list[i] = s.addr
	}
	return list
}

// locker makes a Locker over the servers that is closed when the test ends.
func locker(t *testing.T, servers []*server, opts ...redlock.Option) *redlock.Locker {
	t.Helper()
	return lockerOf(t, pool.Dialer{}, servers, opts...)
}

func lockerOf(t *testing.T, d pool.Dialer, servers []*server, opts ...redlock.Option) *redlock.Locker {
	t.Helper()
	nodes, err := d.Dial(addrs(servers)...)
	if err != nil {
		t.Fatal(err)
	}
	return over(t, nodes, opts...)
}

func over(t *testing.T, nodes []pool.Node, opts ...redlock.Option) *redlock.Locker {
	t.Helper()
	l, err := redlock.New(nodes, append([]redlock.Option{redlock.WithTTL(ttl), redlock.WithKeyPrefix(prefix)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = l.Close(ctx) // a node may be gone permanently
	})
	return l
}

func lock(t *testing.T, l *redlock.Locker, name string, opts ...redlock.MutexOption) *redlock.Lease {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	lease, err := l.Lock(ctx, name, opts...)
	if err != nil {
		t.Fatal(err)
	}
	// in case the test is skipped half way
	t.Cleanup(func() { _ = lease.Unlock(context.Background()) })
	return lease
}

func unlock(t *testing.T, lease *redlock.Lease) {
	t.Helper()
	if err := lease.Unlock(context.Background()); err != nil {
		t.Error(err)
	}
}

// wantNoLocks checks that no lock is left on any of the servers when the Locker has nothing under
// way.
func wantNoLocks(t *testing.T, l *redlock.Locker, servers []*server) {
	t.Helper()
	eventually(t, "background work is done", func() bool { return l.Stats().Pending == 0 })
	if d := l.Stats().Dropped; d != 0 {
		t.Errorf("%d releases were dropped", d)
	}
	for _, s := range servers {
		// a lock's other keys begin with a brace
		keys := s.client(t).Scan(context.Background(), 0, prefix+"*", 1000).Iterator()
		for keys.Next(context.Background()) {
			t.Errorf("%s: lock %q is left", s.addr, keys.Val())
		}
		if err := keys.Err(); err != nil {
			t.Error(err)
		}
	}
}
