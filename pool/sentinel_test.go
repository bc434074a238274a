package pool_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/pool"
)

// sentinelSet makes a client of a master that a sentinel knows. Both are that far away.
func sentinelSet(t *testing.T, trip time.Duration) *redis.Client {
	t.Helper()
	master, f := newFar(t, trip, func(command []string) string {
		if strings.Contains(strings.Join(command, " "), ":fence") {
			return bulk("OK 1") // the other commands release
		}
		return "+OK\r\n"
	})
	f.run = fmt.Sprintf("run%p", f) // each set has a master of its own
	sentinel, _ := newFar(t, trip, func(command []string) string {
		switch strings.ToLower(strings.Join(command, " ")) {
		case "sentinel get-master-addr-by-name locks":
			return "*2\r\n" + bulk("10.0.0.1") + bulk("6379")
		case "sentinel sentinels locks":
			return "*0\r\n"
		}
		return "+OK\r\n"
	})
	user := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName: "locks", SentinelAddrs: []string{"10.0.0.2:26379"},
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr == "10.0.0.2:26379" {
				return sentinel.dial(ctx, network, addr)
			}
			return master.dial(ctx, network, addr)
		},
	})
	t.Cleanup(func() { _ = user.Close() })
	return user
}

// Connecting takes three round trips to a sentinel and two to the master. TryLock waits a second
// for that, Lock as long as it takes.
func TestTheFirstLockOverSentinelsThatAreFarAwayIsHad(t *testing.T) {
	t.Parallel()
	for trip, first := range map[time.Duration]func(*redlock.Locker, context.Context, string, ...redlock.MutexOption) (*redlock.Lease, error){
		60 * ms: (*redlock.Locker).TryLock, 250 * ms: (*redlock.Locker).Lock,
	} {
		t.Run(trip.String(), func(t *testing.T) {
			t.Parallel() // in real time: go-redis holds a mutex while it asks a sentinel
			had := func() (in, paused bool) {
				var nodes []pool.Node
				for range 3 {
					nodes = append(nodes, pool.New(sentinelSet(t, trip)))
				}
				locks, err := redlock.New(nodes)
				if err != nil {
					t.Fatal(err)
				}
				defer locks.Close(context.Background()) //nolint:errcheck // the fakes keep the keys
				began := time.Now()
				var late atomic.Bool // a timer was, since the machine paused
				var timers sync.WaitGroup
				for after := trip; after <= 20*trip; after += trip {
					timers.Add(1)
					time.AfterFunc(after, func() {
						defer timers.Done()
						if time.Since(began) > after+2*trip {
							late.Store(true)
						}
					})
				}
				lease, err := first(locks, t.Context(), "job")
				d := time.Since(began)
				if err == nil {
					err = lease.Unlock(t.Context())
				}
				t.Logf("after %v: %v", d, err)
				if err == nil && d <= 20*trip {
					return true, false
				}
				timers.Wait()
				return false, late.Load()
			}
			for range 3 {
				in, paused := had()
				if in {
					return
				}
				if !paused {
					break
				}
			}
			t.Error("it is not had in time")
		})
	}
}

func TestASentinelThatIsNotReachedIsNamed(t *testing.T) {
	t.Parallel()
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := refused.Addr().String()
	refused.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // it never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for sentinel, want := range map[string]string{addr: addr, silent.Addr().String(): "the sentinels"} {
		user := redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: "locks", SentinelAddrs: []string{sentinel}, DialTimeout: time.Second, ReadTimeout: time.Second, MaxRetries: -1,
		})
		n := nodeOf(user)
		end := n.Open()
		for again := true; again; { // until an attempt fails, if one does
			reply := within(t, n, acquire(keys(t, "lock"), alice, 1), 200*ms)
			expect(t, sentinel, reply, pool.Unavailable)
			again = want == addr && errors.Is(reply.Err, pool.ErrConnecting) && !strings.Contains(reply.Err.Error(), "last attempt")
			if !again && (!strings.Contains(reply.Err.Error(), want) || !reply.Unsent) {
				t.Errorf("%s: %+v", sentinel, reply)
			}
		}
		_ = end()
		_ = user.Close()
	}
}
