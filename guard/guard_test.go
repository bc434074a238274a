package guard_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/go-redlock/redlock/guard"
	"github.com/go-redlock/redlock/internal/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ExampleWriteFile() {
	dir, _ := os.MkdirTemp("", "guard")
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "report")
	fmt.Println(guard.WriteFile(path, 34, []byte("new"))) // lease.Fence()
	fmt.Println(errors.Is(guard.WriteFile(path, 33, []byte("old")), guard.ErrStale))
	// Output:
	// <nil>
	// true
}

func TestFileRefusesTheOlderTokenAndKeepsTheGreatest(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	var writers sync.WaitGroup
	for token := uint64(1); token <= 32; token++ {
		writers.Go(func() {
			if err := guard.WriteFile(path, token, fmt.Append(nil, token)); err != nil && !errors.Is(err, guard.ErrStale) {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	if got, err := os.ReadFile(path); err != nil || string(got) != "32" {
		t.Errorf("the file holds %q, %v", got, err)
	}
	if err := guard.RegisterFile(path, 40); err != nil {
		t.Error(err)
	}
	if err := guard.WriteFile(path, 39, nil); !errors.Is(err, guard.ErrStale) {
		t.Errorf("after a greater token was registered: %v", err)
	}
	if err := guard.WriteFile(path, 0, nil); !errors.Is(err, guard.ErrNoToken) {
		t.Errorf("without a token: %v", err)
	}
}

func ExampleSetRedis() {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
	defer client.Close()
	ctx := context.Background()
	const token = 34                                            // lease.Fence()
	err := guard.RegisterRedis(ctx, client, "account:7", token) // before the first read
	if err == nil {
		err = guard.SetRedis(ctx, client, "account:7", token, "new")
	}
	if errors.Is(err, guard.ErrStale) {
		fmt.Println("another holder has taken over")
	}
}

func TestRedisRefusesTheOlderToken(t *testing.T) {
	t.Parallel()
	servers := servertest.Start(t, 1)
	client := redis.NewClient(&redis.Options{Addr: servers.Addrs()[0], DisableIdentity: true})
	defer client.Close()
	ctx := t.Context()
	if err := guard.SetRedis(ctx, client, "a", 9, "nine"); err != nil {
		t.Fatal(err)
	}
	if err := guard.RegisterRedis(ctx, client, "a", 10); err != nil { // 10 is above 9, also where text is compared
		t.Error(err)
	}
	if err := guard.SetRedis(ctx, client, "a", 9, "stale"); !errors.Is(err, guard.ErrStale) {
		t.Errorf("a smaller token: %v", err)
	}
	if got := client.HGet(ctx, "a", "value").Val(); got != "nine" {
		t.Errorf("the value is %q", got)
	}
	if err := guard.RegisterRedis(ctx, client, "a", 0); !errors.Is(err, guard.ErrNoToken) {
		t.Errorf("without a token: %v", err)
	}
}
