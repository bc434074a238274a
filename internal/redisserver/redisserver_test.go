package redisserver_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"testing"

	"go.uber.org/goleak"

	"github.com/go-redlock/redlock/internal/redisserver"
	"github.com/go-redlock/redlock/internal/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServersAnswerUntilTheyAreStopped(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, 3)
	addrs := s.Addrs()
	for _, a := range addrs {
		if err := ping(t, a); err != nil {
			t.Error(err)
		}
	}
	s.Stop()
	s.Stop()
	for _, a := range addrs {
		if ping(t, a) == nil {
			t.Errorf("%s still answers", a)
		}
	}
}

func TestAServerThatDoesNotStartIsAnError(t *testing.T) {
	t.Parallel()
	s, err := redisserver.Start(1, "--no-such-option", "x")
	if err == nil {
		s.Stop()
		t.Error("it started")
	}
}

func ping(t *testing.T, addr string) error {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, "PING\r\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && line != "+PONG\r\n" {
		err = errors.New(line)
	}
	return err
}
