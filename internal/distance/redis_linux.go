package distance

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
)

// RedisPort is the port of each server that Masters starts.
const RedisPort = 6379

// Masters starts a redis-server or valkey-server for each round-trip time, without persistence, and
// returns their addresses once they accept connections. args are further arguments of each.
func (l *Link) Masters(args ...string) ([]string, error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		if program, err = exec.LookPath("valkey-server"); err != nil {
			return nil, errors.New("distance: neither redis-server nor valkey-server is in PATH")
		}
	}
	addrs := make([]string, len(l.servers))
	for i, ip := range l.servers {
		addrs[i] = l.Addr(i, RedisPort)
		own := []string{"--bind", ip.String(), "--port", strconv.Itoa(RedisPort), "--protected-mode", "no", "--save", "", "--dir", "/"}
		cmd := exec.Command(program, append(own, args...)...) //nolint:noctx // it lives until Close
		out, err := cmd.StdoutPipe()
		if err != nil {
			return nil, fmt.Errorf("distance: a pipe: %w", err)
		}
		if err := l.StartFar(cmd); err != nil {
			return nil, err
		}
		if said, ready := untilReady(out); !ready {
			return nil, fmt.Errorf("distance: %s does not start:\n%s", program, said)
		}
		go func() {
			_, _ = io.Copy(io.Discard, out)
			_ = cmd.Wait() // the error only says that it was killed
		}()
	}
	return addrs, nil
}

func untilReady(out io.Reader) (said string, ready bool) {
	var b strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(lines.Text(), "eady to accept connections") {
			return "", true
		}
		b.WriteString(lines.Text() + "\n")
	}
	return b.String(), false
}
