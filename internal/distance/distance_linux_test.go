package distance_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/go-redlock/redlock/internal/distance"
	"github.com/go-redlock/redlock/internal/servertest"
)

const (
	childVar = "REDLOCK_DISTANCE_CHILD"
	port     = 7000
	ms       = time.Millisecond
)

func TestMain(m *testing.M) {
	if os.Getenv(childVar) != "" {
		child()
	}
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, p distance.Profile) *distance.Link {
	t.Helper()
	l, err := distance.Open(p)
	if errors.Is(err, distance.ErrDenied) {
		servertest.Missing(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// echo starts a TCP server that sends back what it gets.
func echo(t *testing.T, l *distance.Link, server int) {
	t.Helper()
	var listener net.Listener
	err := l.Far(func() (err error) {
		listener, err = net.Listen("tcp4", l.Addr(server, port))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			go io.Copy(c, c)
		}
	}()
}

func dial(t *testing.T, l *distance.Link, server int) net.Conn {
	t.Helper()
	var conn net.Conn
	err := l.Near(func() (err error) {
		conn, err = net.Dial("tcp4", l.Addr(server, port))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// roundTrip sends a byte and waits until it comes back.
func roundTrip(c net.Conn) (time.Duration, error) {
	began := time.Now()
	b := []byte{1}
	if _, err := c.Write(b); err != nil {
		return 0, err
	}
	_, err := io.ReadFull(c, b)
	return time.Since(began), err
}

func TestAServerIsAsFarAsItsProfileSays(t *testing.T) {
	t.Parallel()
	want := []time.Duration{2 * ms, 30 * ms, 80 * ms}
	l := open(t, distance.Profile{RTT: want})
	for i, rtt := range want {
		echo(t, l, i)
		c := dial(t, l, i)
		var took []time.Duration
		for range 9 {
			d, err := roundTrip(c)
			if err != nil {
				t.Fatal(err)
			}
			took = append(took, d)
		}
		slices.Sort(took)
		if took[0] < rtt || took[4] > rtt+25*ms {
			t.Errorf("%v away: %v", rtt, took)
		}
	}
}

func TestPacketsKeepTheirOrderWhateverTheJitter(t *testing.T) {
	t.Parallel()
	l := open(t, distance.Profile{RTT: []time.Duration{20 * ms}, Jitter: 1, Seed: 3})
	got := numbers(t, l, 0, 200)
	if len(got) != 200 || !slices.IsSorted(got) {
		t.Errorf("%d packets, in order: %v", len(got), slices.IsSorted(got))
	}
}

func TestTheSeedDecidesWhichPacketsAreLost(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) (lost []uint64, got int) {
		var mu sync.Mutex
		l := open(t, distance.Profile{
			RTT:  []time.Duration{ms, ms},
			Loss: []float64{0.3},
			Seed: seed,
			Log: func(d distance.Drop) {
				mu.Lock()
				defer mu.Unlock()
				if d.Server != 0 || d.Why != "lost" {
					t.Errorf("dropped: %+v", d)
				}
				lost = append(lost, d.Number)
			},
		})
		got = len(numbers(t, l, 0, 200))
		if n := len(numbers(t, l, 1, 200)); n != 200 {
			t.Errorf("%d packets of 200 over a way that loses none", n)
		}
		l.Close()
		if c := l.Counts()[0]; c.Lost != uint64(len(lost)) || c.Carried+c.Lost != 200 {
			t.Errorf("%+v, and %d in the log", c, len(lost))
		}
		return lost, got
	}
	lost, got := run(7)
	if got+len(lost) != 200 || len(lost) < 30 || len(lost) > 100 {
		t.Errorf("%d came, %d were lost of 200 at 30 %%", got, len(lost))
	}
	again, _ := run(7)
	other, _ := run(8)
	if !reflect.DeepEqual(lost, again) || reflect.DeepEqual(lost, other) {
		t.Errorf("lost with one seed: %v, again: %v, with another: %v", lost, again, other)
	}
}

// numbers sends numbered datagrams to a server, and returns those that come. It gives up after two
// waits of half a second in a row, each longer than any delay here. One would not do: if the
// machine pauses, the deadline may pass although datagrams are there.
func numbers(t *testing.T, l *distance.Link, server, count int) []int {
	t.Helper()
	var in net.PacketConn
	var out net.Conn
	addr := l.Addr(server, port)
	err := errors.Join(
		l.Far(func() (err error) { in, err = net.ListenPacket("udp4", addr); return err }),
		l.Near(func() (err error) { out, err = net.Dial("udp4", addr); return err }),
	)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer out.Close()
	for i := range count {
		out.Write(binary.BigEndian.AppendUint64(nil, uint64(i)))
	}
	var got []int
	b := make([]byte, 8)
	for misses := 0; misses < 2; {
		in.SetReadDeadline(time.Now().Add(500 * ms))
		if _, _, err := in.ReadFrom(b); err != nil {
			misses++
			continue
		}
		misses = 0
		got = append(got, int(binary.BigEndian.Uint64(b)))
	}
	return got
}

func TestAnIdleConnectionIsForgottenWithoutAWord(t *testing.T) {
	t.Parallel()
	l := open(t, distance.Profile{RTT: []time.Duration{ms}, Forget: time.Second})
	echo(t, l, 0)
	c := dial(t, l, 0)
	if _, err := roundTrip(c); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second) // the idle time itself, whose end nothing announces
	c.SetDeadline(time.Now().Add(200 * ms))
	if _, err := roundTrip(c); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a forgotten connection: %v", err)
	}
	if _, err := roundTrip(dial(t, l, 0)); err != nil {
		t.Errorf("a new one: %v", err)
	}
	if l.Counts()[0].Forgotten == 0 {
		t.Error("nothing is counted as forgotten")
	}
}

func TestNothingIsLeftWhenTheProcessIsKilled(t *testing.T) {
	t.Parallel()
	open(t, distance.Profile{RTT: []time.Duration{ms}}).Close() // or skips the test
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVar+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	cmd.Process.Kill()
	cmd.Wait()
	var near, far int
	if n, _ := fmt.Sscan(line, &near, &far); n != 2 || err != nil {
		t.Fatalf("the child said %q: %v", line, err)
	}
	for _, pid := range []int{near, far} {
		for end := time.Now().Add(10 * time.Second); alive(pid); time.Sleep(10 * ms) {
			if time.Now().After(end) {
				t.Fatalf("process %d lives on", pid)
			}
		}
	}
}

// alive reports whether there is such a process that has not ended.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// child opens a link, starts a process on each side, prints their process ids, and waits to be
// killed.
func child() {
	l, err := distance.Open(distance.Profile{RTT: []time.Duration{ms}})
	if err != nil {
		panic(err)
	}
	near, far := exec.Command("sleep", "1000"), exec.Command("sleep", "1000")
	if err := errors.Join(l.StartNear(near), l.StartFar(far)); err != nil {
		panic(err)
	}
	fmt.Println(near.Process.Pid, far.Process.Pid)
	select {}
}

func TestABadProfileIsAnErrorThatNamesIt(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]distance.Profile{
		"0 round-trip times":               {},
		"a round-trip time of -1ms":        {RTT: []time.Duration{-ms}},
		"a jitter of 2":                    {RTT: []time.Duration{ms}, Jitter: 2},
		"a loss of 1.5 to server 1":        {RTT: []time.Duration{ms}, Loss: []float64{1.5}},
		"loss for 2 servers of 1":          {RTT: []time.Duration{ms}, Loss: []float64{0, 0}},
		"connections forgotten after -1ms": {RTT: []time.Duration{ms}, Forget: -ms},
	} {
		if l, err := distance.Open(p); err == nil {
			l.Close()
			t.Errorf("%q: no error", want)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}
