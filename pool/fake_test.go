package pool_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A fake is a server that answers what a test says.
type fake struct {
	addr   string
	listen net.Listener
	answer func(command []string) string // RESP; "" hangs up
	info   string                        // the rest of its INFO, besides the run id
	run    string                        // its run id
	hello  string                        // what it answers to HELLO
	late   time.Duration                 // how long it takes for INFO

	mu      sync.Mutex
	secret  string     // the error by which INFO is refused; "": it is not
	seen    [][]string // commands that it has read
	conns   []net.Conn
	dialled int
	live    atomic.Int64 // connections
	serving sync.WaitGroup
}

// greeting is an answer to HELLO that go-redis accepts.
const greeting = "%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$5\r\nproto\r\n:3\r\n"

// hangsUp is the info of a fake that does not answer INFO.
const hangsUp = "-"

// newFake starts a fake that answers HELLO and INFO itself, and calls answer for all other
// commands.
func newFake(t testing.TB, answer func(command []string) string) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return newFakeAt(t, l, answer)
}

// newFakeAt is newFake on the test's listener.
func newFakeAt(t testing.TB, l net.Listener, answer func(command []string) string) *fake {
	t.Helper()
	f := &fake{addr: l.Addr().String(), listen: l, answer: answer, run: "f00d", hello: greeting}
	f.serving.Go(f.accept)
	t.Cleanup(func() {
		l.Close()
		f.hangUp()
		f.serving.Wait()
	})
	return f
}

func (f *fake) accept() {
	for {
		c, err := f.listen.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.conns = append(f.conns, c)
		f.dialled++
		f.mu.Unlock()
		f.serving.Go(func() { f.serve(c) })
	}
}

// hangUp closes all connections.
func (f *fake) hangUp() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		c.Close()
	}
	f.conns = nil
}

func (f *fake) serve(c net.Conn) {
	f.live.Add(1)
	defer f.live.Add(-1)
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		command, err := readCommand(in)
		if err != nil {
			return
		}
		f.mu.Lock()
		f.seen = append(f.seen, command)
		f.mu.Unlock()
		var out string
		switch strings.ToLower(command[0]) {
		case "hello":
			out = f.hello
		case "info":
			time.Sleep(f.late)
			if out = f.refusal(); out == "" && f.info != hangsUp {
				out = bulk(f.info + "run_id:" + f.run + "\r\n")
			}
		case "client":
			out = "+OK\r\n"
		default:
			out = f.answer(command)
		}
		if _, err := io.WriteString(c, out); err != nil || out == "" {
			return
		}
	}
}

// refuse makes the fake answer INFO with that error, or not if it is empty.
func (f *fake) refuse(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.secret = text
}

func (f *fake) refusal() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.secret == "" {
		return ""
	}
	return "-" + f.secret + "\r\n"
}

// commands returns the commands so far whose first word is one of names.
func (f *fake) commands(names ...string) [][]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var some [][]string
	for _, c := range f.seen {
		if slices.Contains(names, strings.ToLower(c[0])) {
			some = append(some, c)
		}
	}
	return some
}

func (f *fake) connections() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dialled
}

func bulk(text string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text) }

func readCommand(in *bufio.Reader) ([]string, error) {
	n, err := readLength(in, "*")
	if err != nil {
		return nil, err
	}
	command := make([]string, n)
	for i := range command {
		size, err := readLength(in, "$")
		if err != nil {
			return nil, err
		}
		text := make([]byte, size+2)
		if _, err := io.ReadFull(in, text); err != nil {
			return nil, err
		}
		command[i] = string(text[:size])
	}
	return command, nil
}

func readLength(in *bufio.Reader, kind string) (int, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, kind)))
}
