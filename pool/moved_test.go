package pool_test

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// Two connections to one address may lead to different servers: behind a balancer, after a
// failover, or when an IP address has moved. An answer over the older connection is no vote of the
// server of the newer one, whichever of them is made first.
func TestAnAnswerIsNeverTakenForThatOfAnotherServer(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]bool{"the older is made first": false, "the older is made last": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testAnAnswerIsNeverTakenForThatOfAnotherServer(t, late)
		})
	}
}

func testAnAnswerIsNeverTakenForThatOfAnotherServer(t *testing.T, madeLast bool) {
	waiting, answers := make(chan struct{}), make(chan struct{})
	var executed atomic.Int64 // by the first server
	first := newFake(t, func([]string) string {
		if executed.Add(1) == 1 {
			close(waiting)
			<-answers
		}
		return bulk("OK 1")
	})
	second := newFake(t, func([]string) string { return bulk("OK 2") })
	second.run = "beef"
	var dials atomic.Int64
	client := redis.NewClient(&redis.Options{Dialer: func(ctx context.Context, network, _ string) (net.Conn, error) {
		addr := second.addr
		if dials.Add(1) == 1 {
			addr = first.addr
		}
		cn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil && addr == first.addr && madeLast {
			cn = heldConn{cn, answers}
		}
		return cn, err
	}})
	defer client.Close()
	n := nodeOf(client)
	closeNode := n.Open()
	defer closeNode() //nolint:errcheck // not part of this test

	early := make(chan wire.Reply)
	go func() { early <- do(t, n, acquire(keys(t, "lock"), alice, 1)) }()
	<-waiting
	// over a second connection, to the second server
	late := do(t, n, acquire(keys(t, "lock"), alice, 1))
	close(answers)
	if reply := <-early; reply.Verdict == pool.OK || reply.Unsent {
		t.Errorf("what the first server was asked: %+v, want Unavailable and perhaps executed", reply)
	}
	if late.Verdict != pool.OK || late.Token != 2 {
		t.Errorf("what the second server answered: %+v", late)
	}
	for range 5 {
		if reply := do(t, n, acquire(keys(t, "lock"), alice, 1)); reply.Verdict != pool.OK || reply.Token != 2 || reply.Server != late.Server {
			t.Errorf("%+v, want the second server's answer", reply)
		}
	}
	if executed.Load() != 1 {
		t.Errorf("the first server was asked %s times", strconv.FormatInt(executed.Load(), 10))
	}
	if strings.TrimSpace(late.Server) != "beef" {
		t.Errorf("the server is %q", late.Server)
	}
}

// A heldConn gives nothing that it reads before open is closed.
type heldConn struct {
	net.Conn
	open <-chan struct{}
}

// Read implements net.Conn.
func (c heldConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	<-c.open
	return n, err //nolint:wrapcheck // it is the network's
}

// A connection on which INFO is refused may lead to any server. Its answers do not count as answers
// of the run id that another connection gave, and answers with a run id do not count as those of an
// unknown server.
func TestAnAnswerOfAServerThatDoesNotSayWhichItIsHasNoRunID(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"BUSY Redis is busy running a script.", "NOPERM User default has no permissions to run the 'info' command"} {
		name, _, _ := strings.Cut(text, " ")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, func([]string) string { return bulk("OK 1") })
			n := dial(t, f.addr)
			for _, secret := range []string{"", text, "", text} {
				f.refuse(secret)
				f.hangUp()
				want := f.run
				if secret != "" {
					want = ""
				}
				answers := 0
				for i := 0; i < 20 && answers < 3; i++ { // the first may find the connection closed
					if reply := do(t, n, acquire(keys(t, "lock"), alice, 1)); reply.Verdict == pool.OK {
						answers++
						if reply.Server != want {
							t.Errorf("INFO answered %q: %+v, want a server %q", secret, reply, want)
						}
					}
				}
				if answers < 3 {
					t.Errorf("INFO answered %q, and requests were answered %d times", secret, answers)
				}
			}
		})
	}
}
