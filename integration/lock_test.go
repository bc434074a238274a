package integration_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/pool"
)

func TestALockIsTakenHeldExtendedAndReleased(t *testing.T) {
	servers := start(t, size)
	l, other := locker(t, servers), locker(t, servers)
	ctx := context.Background()

	lease := lock(t, l, "a", redlock.WithHolder("first"))
	var quorum *redlock.QuorumError
	if _, err := other.TryLock(ctx, "a"); !errors.Is(err, redlock.ErrHeld) || !errors.As(err, &quorum) {
		t.Fatalf("TryLock of a held lock: %v", err)
	}
	if quorum.RetryAfter <= 0 || quorum.RetryAfter > ttl {
		t.Errorf("RetryAfter is %v, want at most the TTL", quorum.RetryAfter)
	}
	in, err := other.Inspect(ctx, "a")
	if err != nil || in.Holder != "first" || in.Fence < lease.Fence() {
		t.Errorf("Inspect: %+v, %v; want holder first and a fence of %d at least", in, err, lease.Fence())
	}
	before := lease.Until()
	if err := lease.Extend(ctx); err != nil || !lease.Until().After(before) {
		t.Errorf("Extend: %v, until %v, before %v", err, lease.Until(), before)
	}
	unlock(t, lease)

	next := lock(t, other, "a")
	if next.Fence() <= lease.Fence() {
		t.Errorf("token %d after %d", next.Fence(), lease.Fence())
	}
	unlock(t, next)
	wantNoLocks(t, l, servers)
	wantNoLocks(t, other, servers)
}

func TestAnAbandonedLockExpires(t *testing.T) {
	servers := start(t, size)
	lease := lock(t, locker(t, servers), "a", redlock.WithTTL(500*time.Millisecond))
	began := time.Now()
	unlock(t, lock(t, locker(t, servers), "a"))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the lock came after %v", took)
	}
	<-lease.Done()
	if err := lease.Err(); !errors.Is(err, redlock.ErrLost) {
		t.Errorf("Err is %v, want ErrLost", err)
	}
}

func TestWaitersOfDifferentProcessesTakeTurns(t *testing.T) {
	const processes, turns = 4, 25
	servers := start(t, size)
	file := t.TempDir() + "/sum"
	if err := os.WriteFile(file, []byte("0"), 0o600); err != nil {
		t.Fatal(err)
	}
	var children []*exec.Cmd
	for range processes {
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), "REDLOCK_TEST_CHILD=adder", "REDLOCK_TEST_FILE="+file,
			"REDLOCK_TEST_NODES="+strings.Join(addrs(servers), ","), "REDLOCK_TEST_TURNS="+strconv.Itoa(turns))
		c.Stderr = os.Stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		children = append(children, c)
	}
	for _, c := range children {
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != strconv.Itoa(15*processes*turns) {
		t.Errorf("the sum is %q, %v; want %d", text, err, 15*processes*turns)
	}
}

// lockLater takes the lock in a goroutine of its own.
func lockLater(t *testing.T, l *redlock.Locker, name string) <-chan *redlock.Lease {
	t.Helper()
	leases := make(chan *redlock.Lease, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		lease, err := l.Lock(ctx, name)
		if err != nil {
			t.Error(err)
		}
		leases <- lease
	}()
	return leases
}

// child is the work of this program as a child process.
func child(name string) int {
	if name != "adder" {
		return 2
	}
	if err := add(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// add adds to the sum in a file, under the lock, several times.
func add() error {
	ctx := context.Background()
	nodes, err := pool.Dial(strings.Split(os.Getenv("REDLOCK_TEST_NODES"), ",")...)
	if err != nil {
		return err
	}
	l, err := redlock.New(nodes)
	if err != nil {
		return err
	}
	defer l.Close(ctx)
	turns, err := strconv.Atoi(os.Getenv("REDLOCK_TEST_TURNS"))
	if err != nil {
		return err
	}
	for range turns {
		err := l.Do(ctx, "sum", func(context.Context, *redlock.Lease) error {
			text, err := os.ReadFile(os.Getenv("REDLOCK_TEST_FILE"))
			if err != nil {
				return err
			}
			sum, err := strconv.Atoi(string(text))
			if err != nil {
				return err
			}
			return os.WriteFile(os.Getenv("REDLOCK_TEST_FILE"), []byte(strconv.Itoa(sum+15)), 0o600)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
