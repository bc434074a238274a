package distance

import (
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// A space is a network namespace without a name, and the thread that runs in it.
type space struct {
	calls chan func()
	ended chan struct{}
}

// newSpace makes a namespace. Its thread is used for nothing else, and ends with it.
func newSpace() (*space, error) {
	s := &space{calls: make(chan func()), ended: make(chan struct{})}
	made := make(chan error)
	go func() {
		defer close(s.ended)
		runtime.LockOSThread()
		err := syscall.Unshare(syscall.CLONE_NEWNET)
		made <- err
		if err != nil {
			return
		}
		for call := range s.calls {
			call()
		}
	}()
	if err := <-made; err != nil {
		return nil, fmt.Errorf("a network namespace: %w: %w", err, ErrDenied)
	}
	return s, nil
}

// do runs f in the namespace.
func (s *space) do(f func() error) error {
	done := make(chan error)
	s.calls <- func() { done <- f() }
	return <-done
}

func (s *space) close() {
	close(s.calls)
	<-s.ended
}

// ip carries out commands of ip(8).
func (s *space) ip(lines []string) error {
	return s.do(func() error {
		cmd := exec.Command("ip", "-batch", "-") //nolint:noctx // it waits for nothing
		cmd.Stdin = strings.NewReader(strings.Join(lines, "\n"))
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("ip: %w\n%s", err, out)
		}
		return nil
	})
}
