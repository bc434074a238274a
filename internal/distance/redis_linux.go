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

// Masters starts redis-servers or valkey-servers, without persistence, and returns their addresses
// once they accept connections. args are further arguments of each.
//
// Clients in one region have one server for each round-trip time. Clients in several regions share
// the servers, each of which has as many addresses: the profile has the round-trip times from one
// region after the other, and so are the addresses.
func (l *Link) Masters(regions int, args ...string) ([]string, error) {
	if regions < 1 || len(l.servers)%regions != 0 {
		return nil, fmt.Errorf("distance: %d round-trip times for %d regions", len(l.servers), regions)
	}
	program, err := exec.LookPath("redis-server")
	if err != nil {
		if program, err = exec.LookPath("valkey-server"); err != nil {
			return nil, errors.New("distance: neither redis-server nor valkey-server is in PATH")
		}
	}
	addrs, masters := make([]string, len(l.servers)), len(l.servers)/regions
	for i := range masters {
		own := []string{"--port", strconv.Itoa(RedisPort), "--protected-mode", "no", "--save", "", "--dir", "/", "--bind"}
		for j := i; j < len(addrs); j += masters {
			addrs[j] = l.Addr(j, RedisPort)
			own = append(own, l.servers[j].String())
		}
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
