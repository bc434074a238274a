package pool_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// Each test is named for a pitfall of go-redis.

func TestALostReplyDoesNotSendTheRequestAgain(t *testing.T) {
	t.Parallel()
	for name, node := range map[string]func(addr string) wire.Node{
		"Dial": func(addr string) wire.Node { return dial(t, addr) },
		"New": func(addr string) wire.Node {
			user := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: 5})
			t.Cleanup(func() { user.Close() })
			return nodeOf(user)
		},
	} {
		f := newFake(t, func([]string) string { return "" }) // reads the request, and hangs up
		n := node(f.addr)
		expect(t, name, do(t, n, acquire(keys(t, "lock"), alice, 1)), pool.Unavailable)
		if sent := f.commands("evalsha", "eval"); len(sent) != 1 {
			t.Errorf("%s: sent %d times", name, len(sent))
		}
		calls := []wire.Call{{Request: acquire(keys(t, "a"), alice, 1)}, {Request: acquire(keys(t, "b"), alice, 1)}}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		n.Do(ctx, calls)
		if sent := f.commands("evalsha", "eval"); len(sent) > 3 {
			t.Errorf("%s: two requests at once were sent %d times", name, len(sent)-1)
		}
	}
}

func TestTheDeadlineBoundsACallWhateverTheSettingsOfTheClient(t *testing.T) {
	t.Parallel()
	mute := make(chan struct{})
	f := newFake(t, func([]string) string { <-mute; return "" })
	t.Cleanup(func() { close(mute) })
	// its context bounds nothing
	user := redis.NewClient(&redis.Options{Addr: f.addr, ReadTimeout: time.Minute, MaxRetries: 5})
	t.Cleanup(func() { user.Close() })
	for name, n := range map[string]wire.Node{"Dial": dialWith(t, pool.Dialer{Timeout: time.Minute}, f.addr), "New": nodeOf(user)} {
		began := time.Now()
		expect(t, name, within(t, n, acquire(keys(t, "lock"), alice, 1), 50*time.Millisecond), pool.Unavailable)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
}

func TestANodeThatDoesNotAnswerLeavesRoomInTheUsersPool(t *testing.T) {
	t.Parallel()
	mute := make(chan struct{})
	f := newFake(t, func(command []string) string {
		if command[0] == "ping" {
			return "+PONG\r\n"
		}
		<-mute
		return ""
	})
	t.Cleanup(func() { close(mute) })
	user := redis.NewClient(&redis.Options{Addr: f.addr, PoolSize: 4, ReadTimeout: time.Minute})
	t.Cleanup(func() { user.Close() })
	n := nodeOf(user)
	for range 5 {
		expect(t, "mute", within(t, n, acquire(keys(t, "lock"), alice, 1), 20*time.Millisecond), pool.Unavailable)
	}
	if err := user.Ping(t.Context()).Err(); err != nil {
		t.Errorf("the user's own call: %v", err)
	}
}

func TestARefusedNodeIsBackInAMoment(t *testing.T) {
	t.Parallel()
	for range 10 { // another process may take the port meanwhile
		if backSoon(t) {
			return
		}
	}
	t.Fatal("the port was taken each time")
}

// backSoon reports whether the test could be made.
func backSoon(t *testing.T) bool {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	n := dialWith(t, pool.Dialer{PoolSize: 2}, addr)
	for range 10 { // go-redis gives a node up for a second after PoolSize failures
		reply := do(t, n, acquire(keys(t, "lock"), alice, 1))
		expect(t, "nobody listens", reply, pool.Unavailable)
		if !reply.Unsent {
			t.Fatalf("%v: may have been sent", reply.Err)
		}
	}
	if l, err = net.Listen("tcp", addr); err != nil {
		return false
	}
	f := &fake{addr: addr, listen: l, hello: greeting, answer: func([]string) string { return bulk("OK 1") }}
	f.serving.Go(f.accept)
	t.Cleanup(func() { l.Close(); f.hangUp(); f.serving.Wait() })
	back := time.Now()
	reply := do(t, n, acquire(keys(t, "lock"), alice, 1))
	// for a moment the previous failure is the answer
	for reply.Verdict == pool.Unavailable && time.Since(back) < time.Second/2 {
		reply = do(t, n, acquire(keys(t, "lock"), alice, 1))
	}
	expect(t, "listening again", reply, pool.OK)
	return true
}

func TestARefusedNodeIsNotDialledForEachRequest(t *testing.T) {
	t.Parallel()
	dials := 0
	user := redis.NewClient(&redis.Options{Dialer: func(context.Context, string, string) (net.Conn, error) {
		dials++
		return nil, syscall.ECONNREFUSED
	}})
	t.Cleanup(func() { user.Close() })
	n := nodeOf(user)
	closeNode := n.Open()
	t.Cleanup(func() { closeNode() })
	began := time.Now()
	for range 100 {
		expect(t, "refused", do(t, n, acquire(keys(t, "lock"), alice, 1)), pool.Unavailable)
	}
	if most := int(time.Since(began)/(20*time.Millisecond)) + 1; dials > most {
		t.Errorf("dialled %d times, not %d at most", dials, most)
	}
}

func TestAConnectionCostsTwoRoundTrips(t *testing.T) {
	t.Parallel()
	f := newFake(t, func([]string) string { return bulk("OK 1") })
	n := dialWith(t, pool.Dialer{Password: "secret", ClientName: "locks"}, f.addr)
	reply := do(t, n, acquire(keys(t, "lock"), alice, 1))
	expect(t, "acquire", reply, pool.OK)
	if got := f.commands("hello", "info", "client", "auth", "select", "command"); len(got) > 3 {
		t.Errorf("%d commands to connect: %q", len(got), got)
	}
	if reply.Server != "f00d" {
		t.Errorf("server %q", reply.Server)
	}
}

func TestAServerThatWasReplacedBetweenTwoRequestsIsSeen(t *testing.T) {
	t.Parallel()
	f := newFake(t, func([]string) string { return bulk("OK 1") })
	n := dial(t, f.addr)
	expect(t, "before", do(t, n, acquire(keys(t, "lock"), alice, 1)), pool.OK)
	f.hangUp()
	var reply wire.Reply
	for range 3 { // the first may meet the dead connection
		if reply = do(t, n, acquire(keys(t, "lock"), alice, 1)); reply.Verdict == pool.OK {
			break
		}
	}
	if asked := len(f.commands("info")); asked != f.connections() {
		t.Errorf("%d connections, asked %d times who is there", f.connections(), asked)
	}
}

func TestAnUnknownScriptIsSentInFullOnce(t *testing.T) {
	t.Parallel()
	f := newFake(t, func(c []string) string {
		if c[0] == "evalsha" {
			return "-NOSCRIPT No matching script. Please use EVAL.\r\n"
		}
		if c[2] == "4" { // keys: of both locks
			return bulk("OK 1\nOK 1")
		}
		return bulk("OK 1")
	})
	n := dial(t, f.addr)
	expect(t, "one", do(t, n, acquire(keys(t, "lock"), alice, 1)), pool.OK)
	calls := []wire.Call{{Request: acquire(keys(t, "a"), alice, 1)}, {Request: acquire(keys(t, "b"), alice, 1)}}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	n.Do(ctx, calls)
	for i := range calls {
		expect(t, "two", calls[i].Reply, pool.OK)
	}
	if a, b := len(f.commands("evalsha")), len(f.commands("eval")); a != 2 || b != 2 {
		t.Errorf("EVALSHA %d times, EVAL %d times", a, b)
	}
}

// passingErrors are what servers and proxies answer while they cannot serve, each in its own words.
var passingErrors = []string{
	// Redis and Valkey
	"LOADING Redis is loading the dataset in memory", "READONLY You can't write against a read only replica.",
	"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "CLUSTERDOWN The cluster is down",
	"TRYAGAIN Multiple keys request during rehashing of slot", "OOM command not allowed when used memory > 'maxmemory'.",
	"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
	"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
	"NOREPLICAS Not enough good replicas to write.", "NOMASTERLINK Can't SYNC while not connected with my master",
	"ERR max number of clients reached", "ERR max number of clients + cluster connections reached", "ERR Server is shutting down",
	"UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)", "REDIRECT 10.0.0.2:6379",
	"FAILOVER in progress", "STALE the replica's data is too old", "IOERR error or timeout writing to target instance",
	"ERR Script killed by user with SCRIPT KILL... script: 694a5fe1ddb97a4c6a1bf299d9537c7d3d0f84e7, on @user_script:1.",
	"ERR Error running script (call to f_fe232d1d3af2b27d3b362b87b7343dfb388f8a16): @user_script:1: @user_script: 1: " +
		"-OOM command not allowed when used memory > 'maxmemory'.",
	// Envoy, twemproxy, predixy, HAProxy and services
	"upstream failure", "no upstream host", "upstream timeout", "ERR Connection refused", "ERR Connection timed out", "ERR Host is down",
	"ERR Connection reset by peer", "ERR server connection close", "ERR backend timed out, " + alice, "ERR proxy internal error", "ERR",
	"ERR " + alice + " " + strings.Repeat("x", 4096), "",
}

// lastingErrors are the answers of servers and proxies that will always give them.
var lastingErrors = []string{
	"NOAUTH Authentication required.", "WRONGPASS invalid username-password pair or user is disabled.", "ERR invalid password",
	"ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
	"ERR Client sent AUTH, but no password is set", "NOPROTO unsupported protocol version",
	"DENIED Redis is running in protected mode because protected mode is enabled", "ERR DB index is out of range",
	"ERR SELECT is not allowed in cluster mode", "ERR This instance has cluster support disabled",
	"NOPERM this user has no permissions to run the 'evalsha' command",
	// Redis 7.0
	"ERR The user executing the script can't run this command or subcommand script: 104ae65, on @user_script:1.",
	"ERR The user executing the script can't access at least one of the keys mentioned in the command arguments script: f2e0927, on @user_script:1.",
	// 7.2 on, Valkey
	"ERR ACL failure in script: User u has no permissions to run the 'time' command script: 104ae65, on @user_script:1.",
	"ERR ACL failure in script: No permissions to access a channel script: on @user_script:1.",
	"ERR Unknown Redis command called from script script: 4b6c3ef, on @user_script:1.", "ERR Unknown command called from script script: on @user_script:1.",
	"ERR This Redis command is not allowed from script script: 2427e45, on @user_script:1.", "ERR unsupported command 'evalsha'",
	"ERR unknown command 'evalsha', with args beginning with: '" + alice + "'", "WRONGTYPE Operation against a key holding the wrong kind of value",
}

func TestErrorsOfServersAreToldApart(t *testing.T) {
	t.Parallel()
	for want, texts := range map[pool.Verdict][]string{pool.Unavailable: passingErrors, pool.Refused: lastingErrors} {
		for _, text := range texts {
			f := newFake(t, func([]string) string { return "-" + text + "\r\n" })
			reply := do(t, dial(t, f.addr), acquire(keys(t, "lock"), alice, 1))
			if reply.Verdict != want {
				t.Errorf("%q: %v, not %v", text, reply.Verdict, want)
			}
			if reply.Err == nil || reply.Err.Error() == "" || len(reply.Err.Error()) > 400 {
				t.Errorf("%q: %v", text, reply.Err)
			} else if strings.Contains(reply.Err.Error(), alice[:32]) {
				t.Errorf("the error holds an owner id: %v", reply.Err)
			}
		}
	}
}

// The answer to a script for several locks has a line for each of them.
func TestErrorsOfOneLockOfAGroupAreToldApart(t *testing.T) {
	t.Parallel()
	for want, texts := range map[pool.Verdict][]string{pool.Unavailable: passingErrors, pool.Refused: lastingErrors} {
		for _, text := range texts {
			f := newFake(t, func([]string) string { return bulk("OK 1\n-" + text) })
			replies := send(t, dial(t, f.addr), acquire(keys(t, "a"), bob, 1), acquire(keys(t, "b"), alice, 1))
			if replies[0].Verdict != pool.OK || replies[1].Verdict != want {
				t.Errorf("%q: %v and %v, not %v", text, replies[0].Verdict, replies[1].Verdict, want)
			}
			if err := replies[1].Err; err == nil || strings.Contains(err.Error(), alice[:32]) {
				t.Errorf("%q: %v", text, err)
			}
		}
	}
}

func TestASecretThatAServerRepeatsIsNotTold(t *testing.T) {
	t.Parallel()
	_, client := real(t, "--requirepass", "right")
	addr := client.Options().Addr
	reply := do(t, dial(t, addr), acquire(keys(t, "lock"), alice, 1))
	expect(t, "no password", reply, pool.Refused)
	for _, url := range []string{"redis://:hunter2@" + addr, "redis://nobody:hunter2@" + addr + "/1"} {
		n := dial(t, url)
		reply := do(t, n, acquire(keys(t, "lock"), alice, 1))
		expect(t, "wrong password", reply, pool.Refused)
		if strings.Contains(fmt.Sprintf("%v %+v", reply.Err, reply), "hunter2") || strings.Contains(n.Addr(), "hunter2") {
			t.Errorf("the password is told: %v, %v", reply.Err, n.Addr())
		}
	}
	expect(t, "right password", do(t, dial(t, "redis://:right@"+addr), acquire(keys(t, "lock"), alice, 1)), pool.OK)
}

func TestAServerThatIsTooOldIsToldSo(t *testing.T) {
	t.Parallel()
	for info, old := range map[string]bool{
		"redis_version:6.2.7\r\n": true, "redis_version:7.0.0\r\n": false, "redis_version:10.1\r\n": false,
		"redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:7.1.9\r\n": true,
		"redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.0.0\r\n": false, "": false,
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f := &fake{addr: l.Addr().String(), listen: l, hello: greeting, info: info, answer: func([]string) string { return bulk("OK 1") }}
		f.serving.Go(f.accept)
		reply := do(t, dial(t, f.addr), acquire(keys(t, "lock"), alice, 1))
		if errors.Is(reply.Err, pool.ErrTooOld) != old || (reply.Verdict == pool.Refused) != old {
			t.Errorf("%q: %v %v", info, reply.Verdict, reply.Err)
		}
		l.Close()
		f.hangUp()
		f.serving.Wait()
	}
}

func TestAFailedHandshakeSaysWhy(t *testing.T) {
	t.Parallel()
	f := newFake(t, func([]string) string { return bulk("OK 1") }) // speaks no TLS
	n := dialWith(t, pool.Dialer{TLS: &tls.Config{MinVersion: tls.VersionTLS12}}, f.addr)
	reply := do(t, n, acquire(keys(t, "lock"), alice, 1))
	expect(t, "no TLS", reply, pool.Unavailable)
	if errors.Is(reply.Err, pool.ErrBadReply) {
		t.Errorf("%v", reply.Err)
	}
}

//nolint:paralleltest // it counts what the whole process allocates
func TestACallAllocatesLittle(t *testing.T) {
	n, _ := real(t)
	calls := []wire.Call{{Request: acquire(keys(t, "lock"), alice, 1)}}
	ctx := deadline{t.Context(), time.Now().Add(time.Minute)}
	n.Do(ctx, calls)
	if got := testing.AllocsPerRun(200, func() { n.Do(ctx, calls) }); got > 6 {
		t.Errorf("%v allocations", got)
	}
	expect(t, "acquire", calls[0].Reply, pool.OK)
}

type deadline struct {
	context.Context //nolint:containedctx // it is one
	until           time.Time
}

func (d deadline) Deadline() (time.Time, bool) { return d.until, true }
