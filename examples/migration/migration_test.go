package migration_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/bsm/redislock"
	_ "github.com/go-co-op/gocron/v2" // for the snippets
	"github.com/go-redsync/redsync/v4"
	redsyncredis "github.com/go-redsync/redsync/v4/redis"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	_ "github.com/prometheus/client_golang/prometheus" // for the snippets
	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislock"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/examples/migration/work"
	"github.com/go-redlock/redlock/internal/servertest"
	"github.com/go-redlock/redlock/internal/snippets"
	"github.com/go-redlock/redlock/pool"
	_ "github.com/go-redlock/redlock/redlockotel" // for the snippets
	_ "github.com/go-redlock/redlock/redlockprom" // for the snippets
)

// The root module checks the other snippets itself.
func TestTheHandbooksSnippetsCompile(t *testing.T) {
	t.Parallel()
	all, err := snippets.Find("../../README.md", "../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	heavy := slices.DeleteFunc(all, snippets.Snippet.Light)
	if len(heavy) == 0 {
		t.Fatal("there is none")
	}
	faults, err := snippets.Check(heavy)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Error(f)
	}
}

// An old lock is a lock of a library that people migrate from: it is taken without waiting, and
// returns the function that releases it.
type oldLock func(ctx context.Context, name string) (unlock func() error, err error)

func TestOldAndNewExcludeEachOther(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		nodes  int
		make   func(t *testing.T, addrs []string) oldLock
		prefix string
	}{
		{"redsync", 5, useRedsync, ""},
		{"rueidislock", 1, useRueidislock, "rueidislock:0:"},
		{"bsm/redislock", 1, useRedislock, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			addrs := servers(t, c.nodes)
			lockOld := c.make(t, addrs)
			locks := newLocker(t, addrs, redlock.WithKeyPrefix(c.prefix))

			unlockOld, err := lockOld(ctx, "job")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := locks.TryLock(ctx, "job"); !errors.Is(err, redlock.ErrHeld) {
				t.Fatalf("the old one has the lock, and the new one gets %v", err)
			}
			if err := unlockOld(); err != nil {
				t.Fatal(err)
			}
			lease, err := locks.Lock(ctx, "job", redlock.WithWait(10*time.Second))
			if err != nil {
				t.Fatalf("the old one has released the lock, and the new one gets %v", err)
			}
			if unlock, err := lockOld(ctx, "job"); err == nil {
				t.Fatal("the new one has the lock, and the old one gets it too", unlock())
			}
			if err := lease.Unlock(ctx); err != nil {
				t.Fatalf("the old one's attempt harmed the new one's lock: %v", err)
			}
			unlockOld, err = lockOld(ctx, "job")
			if err != nil {
				t.Fatalf("the new one has released the lock, and the old one gets %v", err)
			}
			if err := unlockOld(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func useRedsync(t *testing.T, addrs []string) oldLock {
	t.Helper()
	var pools []redsyncredis.Pool
	for _, a := range addrs {
		pools = append(pools, goredis.NewPool(client(t, a)))
	}
	rs := redsync.New(pools...)
	return func(ctx context.Context, name string) (func() error, error) {
		m := rs.NewMutex(name)
		if err := m.TryLockContext(ctx); err != nil {
			return nil, err
		}
		return func() error {
			ok, err := m.UnlockContext(ctx)
			if !ok && err == nil {
				err = errors.New("redsync: not unlocked")
			}
			return err
		}, nil
	}
}

func useRueidislock(t *testing.T, addrs []string) oldLock {
	t.Helper()
	locker, err := rueidislock.NewLocker(rueidislock.LockerOption{
		ClientOption: rueidis.ClientOption{InitAddress: addrs}, KeyMajority: 1, TryNextAfter: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(locker.Close)
	return func(ctx context.Context, name string) (func() error, error) {
		held, cancel, err := locker.TryWithContext(ctx, name)
		if err != nil {
			return nil, err
		}
		return func() error {
			err := held.Err()
			cancel() // which does not wait for the release
			return err
		}, nil
	}
}

func useRedislock(t *testing.T, addrs []string) oldLock {
	t.Helper()
	locker := redislock.New(client(t, addrs[0]))
	return func(ctx context.Context, name string) (func() error, error) {
		l, err := locker.Obtain(ctx, name, 8*time.Second, nil)
		if err != nil {
			return nil, err
		}
		return func() error { return l.Release(ctx) }, nil
	}
}

// Two processes that were migrated by the guide run beside two that were not. All add to one sum
// under one lock.
func TestAProgramMovedOverRunsBesideOneThatWasNot(t *testing.T) {
	t.Parallel()
	const rounds = 25
	addrs := servers(t, 5)
	bin, dir := t.TempDir(), t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./before", "./after")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	done := make(chan error)
	programs := []string{"before", "after", "before", "after"}
	for _, p := range programs {
		cmd := exec.CommandContext(t.Context(), filepath.Join(bin, p),
			append([]string{dir, strconv.Itoa(rounds)}, addrs...)...)
		go func() {
			out, err := cmd.CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%s: %w\n%s", p, err, out)
			}
			done <- err
		}()
	}
	for range programs {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	sum, err := work.Sum(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := rounds * len(programs); sum != want {
		t.Errorf("the sum is %d after %d rounds", sum, want)
	}
}

func client(t *testing.T, addr string) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func newLocker(t *testing.T, addrs []string, opts ...redlock.Option) *redlock.Locker {
	t.Helper()
	var nodes []pool.Node
	for _, a := range addrs {
		nodes = append(nodes, pool.New(client(t, a)))
	}
	locks, err := redlock.New(nodes, opts...)
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

// servers starts n masters and returns their addresses.
func servers(t *testing.T, n int) []string {
	t.Helper()
	return servertest.Start(t, n).Addrs()
}
