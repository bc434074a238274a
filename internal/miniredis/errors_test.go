package miniredis_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/pool"
)

// generous is a node timeout that is long enough for a busy machine.
const generous = 2 * time.Second

// dialled makes a Locker of the masters.
func dialled(t *testing.T, addrs []string, opts ...redlock.Option) *redlock.Locker {
	t.Helper()
	nodes, err := pool.Dial(addrs...)
	if err != nil {
		t.Fatal(err)
	}
	locks, err := redlock.New(nodes, append(opts, redlock.WithNodeTimeout(generous))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := locks.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return locks
}

// A failing observer passes on the errors of attempts.
type failing chan error

// Observe implements redlock.Observer.
func (f failing) Observe(e redlock.Event) {
	if e, ok := e.(redlock.AttemptEvent); ok && e.Err != nil {
		select {
		case f <- e.Err:
		default: // the test no longer waits for it
		}
	}
}

// lockThrough calls Lock on faulty masters, repairs the masters after an attempt has failed with
// that text, and returns the result of the Lock.
func lockThrough(t *testing.T, addrs []string, text string, mend func()) error {
	t.Helper()
	failed := make(failing)
	locks := dialled(t, addrs, redlock.WithObserver(failed))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := locks.Lock(ctx, "job")
		done <- err
	}()
	for seen := 0; seen < 2; {
		select {
		case err := <-failed:
			if strings.Contains(err.Error(), text) {
				seen++
			}
		case err := <-done:
			t.Fatalf("%q: Lock did not wait: %v", text, err)
		}
	}
	mend()
	return <-done
}

// Masters and proxies that cannot serve for a while have many ways to say so. A caller that waits
// for a lock goes on waiting.
func TestAWaitingLockOutlivesErrorsThatPass(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"ERR max number of clients + cluster connections reached", "ERR max number of clients reached", "ERR Server is shutting down",
		"upstream failure", "no upstream host", "upstream timeout",
		"ERR Connection refused", "ERR Connection timed out", "ERR Host is down",
		"FAILOVER in progress", "REDIRECT 10.0.0.2:6379", "UNBLOCKED force unblock from blocking operation, instance state changed", "STALE too old",
		"ERR Script killed by user with SCRIPT KILL... script: 694a5fe, on @user_script:1.",
		"ERR Error running script (call to f_fe232d1): @user_script:1: -OOM command not allowed when used memory > 'maxmemory'.",
		"LOADING Redis is loading the dataset in memory", "TOMORROW an error that is not known yet",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			masters, addrs := make([]*miniredis.Miniredis, 3), make([]string, 3)
			for i := range masters {
				masters[i] = miniredis.RunT(t)
				masters[i].SetError(text)
				addrs[i] = masters[i].Addr()
			}
			err := lockThrough(t, addrs, text, func() {
				for _, m := range masters {
					m.SetError("")
				}
			})
			if err != nil {
				t.Errorf("%q: once the masters served again: %v", text, err)
			}
		})
	}
}

// An error that somebody must repair ends a wait if a majority gives it, and only then.
func TestAWaitingLockEndsWhereAMajoritySaysWhatStays(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"NOPERM User u has no permissions to run the 'evalsha' command", "NOAUTH Authentication required.",
		"WRONGPASS invalid username-password pair or user is disabled.", "ERR unknown command 'evalsha', with args beginning with: ",
		"ERR ACL failure in script: User u has no permissions to run the 'time' command script: on @user_script:1.",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			masters, addrs := make([]*miniredis.Miniredis, 3), make([]string, 3)
			for i := range masters {
				masters[i] = miniredis.RunT(t)
				addrs[i] = masters[i].Addr()
			}
			locks := dialled(t, addrs)
			masters[0].SetError(text)
			lease, err := locks.Lock(t.Context(), "job")
			if err != nil {
				t.Fatalf("with one of three: %v", err)
			}
			if err := lease.Unlock(t.Context()); err != nil {
				t.Error(err)
			}
			masters[1].SetError(text)
			word, _, _ := strings.Cut(text, ",")
			if _, err = locks.Lock(t.Context(), "job"); !errors.Is(err, redlock.ErrNoQuorum) || !strings.Contains(err.Error(), word) {
				t.Errorf("with two of three: %v", err)
			}
		})
	}
}
