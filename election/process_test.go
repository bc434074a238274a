package election_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/election"
	"github.com/go-redlock/redlock/internal/redisserver"
	"github.com/go-redlock/redlock/internal/servertest"
	"github.com/go-redlock/redlock/pool"
)

// candidateVar names the environment variable that makes this program a candidate over these nodes.
const candidateVar = "REDLOCK_TEST_CANDIDATE"

// processTTL is the TTL of elections over real masters. A machine that is busy with other tests
// must not end a term by that.
const processTTL = 5 * time.Second

// candidate campaigns until its input ends. It prints when it leads, with its token, and when it
// has lost the lead.
func candidate(addrs string) int {
	nodes, err := pool.DialList(addrs)
	if err != nil {
		return 1
	}
	locks, err := redlock.New(nodes)
	if err != nil {
		return 1
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	_ = election.New(locks, "leader", redlock.WithTTL(processTTL)).Lead(ctx, func(ctx context.Context, le *redlock.Lease) error {
		fmt.Println("leads", le.Fence())
		<-ctx.Done()
		fmt.Println(context.Cause(ctx))
		return context.Cause(ctx)
	})
	if locks.Close(context.Background()) != nil {
		return 1
	}
	return 0
}

// A rival is a candidate in a process of its own.
type rival struct {
	process *os.Process
	says    chan string // its lines; closed when it ends
}

func campaigner(t *testing.T, s *redisserver.Servers) *rival {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), candidateVar+"="+strings.Join(s.Addrs(), ","))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := &rival{cmd.Process, make(chan string, 100)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(r.says)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			r.says <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		<-ended
		_ = cmd.Wait()
	})
	return r
}

// token waits until the rival leads, and returns its token.
func (r *rival) token(t *testing.T) (token uint64) {
	t.Helper()
	if _, err := fmt.Sscanf(r.next(t), "leads %d", &token); err != nil {
		t.Fatal(err)
	}
	return token
}

func (r *rival) next(t *testing.T) string {
	t.Helper()
	select {
	case line := <-r.says:
		return line
	case <-time.After(10 * processTTL):
		t.Fatal("nothing happens")
		return ""
	}
}

func TestTheNextLeadsSoonAfterTheLeaderWasKilled(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, 5)
	first := campaigner(t, s)
	token := first.token(t)
	next := campaigner(t, s)
	select {
	case line := <-next.says:
		t.Fatalf("the second %s beside the first", line)
	case <-time.After(processTTL): // it waits
	}
	if err := first.process.Kill(); err != nil {
		t.Fatal(err)
	}
	expired := make(chan time.Time, 1)
	// a pause of the machine delays this too
	time.AfterFunc(processTTL, func() { expired <- time.Now() })
	later := next.token(t)
	led := time.Now()
	late := led.Sub(<-expired)
	t.Logf("the next leads %v after the TTL since the kill", late)
	if late > 500*time.Millisecond || later <= token {
		t.Errorf("the next leads %v after the TTL since the kill, with token %d after %d", late, later, token)
	}
}

// A rolling restart does not end the term, although the masters keep nothing: renewals take the
// lock again on each.
func TestTheLeaderOutlivesThreeRollingRestarts(t *testing.T) {
	t.Parallel()
	s := servertest.Start(t, 3)
	first := campaigner(t, s)
	token := first.token(t)
	campaigner(t, s) // which would lead
	nodes, err := pool.Dial(s.Addrs()...)
	if err != nil {
		t.Fatal(err)
	}
	locks, err := redlock.New(nodes, redlock.WithNodeTimeout(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer locks.Close(t.Context())
	has := func(node int) bool {
		in, err := locks.Inspect(t.Context(), "leader")
		return err == nil && in.Owner != "" && in.Nodes[node].Owner == in.Owner
	}
	for range 3 {
		for i := range 3 {
			if err := s.Restart(i); err != nil {
				t.Fatal(err)
			}
			for began := time.Now(); !has(i); {
				if time.Since(began) > 10*processTTL {
					t.Fatal("the leader does not come back")
				}
				time.Sleep(10 * time.Millisecond)
			}
		}
	}
	select {
	case line := <-first.says:
		t.Errorf("the leader says %s", line)
	default:
	}
	if in, err := locks.Inspect(t.Context(), "leader"); err != nil || in.Fence < token {
		t.Errorf("%+v, %v after token %d", in, err, token)
	}
}
