package guard_test

import (
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
	for _, token := range []uint64{0, 1 << 63} {
		if err := guard.WriteFile(path, token, nil); !errors.Is(err, guard.ErrNoToken) {
			t.Errorf("with %d for a token: %v", token, err)
		}
	}
	if err := guard.WriteFile(path, 40, []byte("again")); err != nil {
		t.Errorf("the token that is registered: %v", err)
	}
}

// A crash after the token was registered leaves the new token and the old contents.
func TestFileThatAHolderDiedOverKeepsTheOlderOneOut(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	if err := guard.WriteFile(path, 7, []byte("old")); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{path + ".fence": "8", path + ".new123": "ne"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := guard.WriteFile(path, 7, []byte("stale")); !errors.Is(err, guard.ErrStale) {
		t.Errorf("the older holder: %v", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "old" {
		t.Errorf("the file holds %q", got)
	}
	if err := guard.WriteFile(path, 8, []byte("new")); err != nil {
		t.Errorf("the one who died, once more: %v", err)
	}
}

func TestFileWithAForeignTokenIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, foreign := range []string{"", "theirs", "-1", "1.5", "0x10", "99999999999999999999999"} {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path+".fence", []byte(foreign), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := guard.WriteFile(path, 7, nil); err == nil || errors.Is(err, guard.ErrStale) {
			t.Errorf("%q for a token: %v", foreign, err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%q for a token: the file was written", foreign)
		}
	}
}

func TestFileKeepsItsPermissions(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := guard.WriteFile(path, 7, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the file has %v, %v", info.Mode(), err)
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
	// 10 is above 9, also where text is compared
	if err := guard.RegisterRedis(ctx, client, "a", 10); err != nil {
		t.Error(err)
	}
	if err := guard.SetRedis(ctx, client, "a", 9, "stale"); !errors.Is(err, guard.ErrStale) {
		t.Errorf("a smaller token: %v", err)
	}
	if got := client.HGet(ctx, "a", "value").Val(); got != "nine" {
		t.Errorf("the value is %q", got)
	}
	for _, token := range []uint64{0, 1 << 63} {
		if err := guard.RegisterRedis(ctx, client, "a", token); !errors.Is(err, guard.ErrNoToken) {
			t.Errorf("with %d for a token: %v", token, err)
		}
	}
	if err := guard.SetRedis(ctx, client, "a", 10, ""); err != nil {
		t.Errorf("the token that is registered: %v", err)
	}
	if got, err := client.HGet(ctx, "a", "value").Result(); got != "" || err != nil {
		t.Errorf("the value is %q, %v", got, err)
	}
}

func TestRedisWithAForeignTokenIsLeftAlone(t *testing.T) {
	t.Parallel()
	servers := servertest.Start(t, 1)
	client := redis.NewClient(&redis.Options{Addr: servers.Addrs()[0], DisableIdentity: true})
	defer client.Close()
	ctx := t.Context()
	for _, foreign := range []string{"", "theirs", "nan", "inf", "-1", "0x10", "1e3", "99999999999999999"} {
		client.HSet(ctx, "a", "token", foreign)
		if err := guard.SetRedis(ctx, client, "a", 7, "new"); err == nil || errors.Is(err, guard.ErrStale) {
			t.Errorf("%q for a token: %v", foreign, err)
		}
		if got := client.HGetAll(ctx, "a").Val(); len(got) != 1 || got["token"] != foreign {
			t.Errorf("%q for a token: the hash is %v", foreign, got)
		}
	}
	client.Set(ctx, "b", "text", 0)
	if err := guard.SetRedis(ctx, client, "b", 7, "new"); err == nil || client.Get(ctx, "b").Val() != "text" {
		t.Errorf("a string for a hash: %v", err)
	}
}

// Many write at once, each with its own token: at the end the contents are those of the greatest
// token.
func TestRedisKeepsTheValueOfTheGreatestToken(t *testing.T) {
	t.Parallel()
	servers := servertest.Start(t, 1)
	client := redis.NewClient(&redis.Options{Addr: servers.Addrs()[0], DisableIdentity: true})
	defer client.Close()
	var writers sync.WaitGroup
	for token := uint64(1); token <= 32; token++ {
		writers.Go(func() {
			if err := guard.SetRedis(t.Context(), client, "a", token, fmt.Sprint(token)); err != nil && !errors.Is(err, guard.ErrStale) {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	if got := client.HGetAll(t.Context(), "a").Val(); got["token"] != "32" || got["value"] != "32" {
		t.Errorf("the hash is %v", got)
	}
}
