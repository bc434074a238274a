package pool_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

// Check is refused when a lock would be refused: out of memory, on a replica, in quarantine. It
// writes nothing.
func TestCheckTellsWhatALockWouldMeet(t *testing.T) {
	t.Parallel()
	n, client := real(t)
	check := &wire.Request{Verb: pool.Check}
	expect(t, "a master", do(t, n, check), pool.OK)
	expect(t, "under the guard", do(t, n, &wire.Request{Verb: pool.Check, Guard: time.Minute}), pool.Quarantined)
	client.Del(t.Context(), "redlock:restart")
	dirty := strings.Contains(client.Info(t.Context(), "persistence").Val(), "rdb_changes_since_last_save:0\r\n")
	expect(t, "once more", do(t, n, check), pool.OK)
	if again := strings.Contains(client.Info(t.Context(), "persistence").Val(), "rdb_changes_since_last_save:0\r\n"); again != dirty {
		t.Error("it has changed something")
	}
	if size := client.DBSize(t.Context()).Val(); size != 0 {
		t.Errorf("it has left %d keys", size)
	}
	for what, test := range map[string]struct{ setting, faulty, well, word string }{
		"memory": {"maxmemory", "1", "0", "OOM"},
		"role":   {"replicaof", "127.0.0.1 1", "no one", "READONLY"},
	} {
		set := func(value string) {
			var err error
			if test.setting == "replicaof" {
				host, port, _ := strings.Cut(value, " ")
				err = client.ReplicaOf(t.Context(), host, port).Err()
			} else {
				err = client.ConfigSet(t.Context(), test.setting, value).Err()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		set(test.faulty)
		if r := do(t, n, check); r.Verdict != pool.Unavailable || !strings.HasPrefix(r.Err.Error(), test.word) {
			t.Errorf("%s: %+v", what, r)
		}
		set(test.well)
		expect(t, what+" in order", do(t, n, check), pool.OK)
	}
}

// The handbook's user may call it, whatever other keys than the guard's it may use.
func TestTheHandbooksUserMayCheck(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var rules []string
	for line := range strings.Lines(string(text)) {
		if after, ok := strings.CutPrefix(strings.TrimSpace(line), "ACL SETUSER locks "); ok {
			rules = strings.Fields(after)
			break
		}
	}
	if rules == nil {
		t.Fatal("docs/operations.md names no user any more")
	}
	_, client := real(t)
	for name, keys := range map[string][]string{"locks": nil, "guard": {"resetkeys", "~redlock:restart"}} {
		rule := append([]any{"acl", "setuser", name}, anys(slices.Concat(rules, keys, []string{"nopass"}))...)
		if err := client.Do(t.Context(), rule...).Err(); err != nil {
			t.Fatal(err)
		}
		n := dialWith(t, pool.Dialer{Timeout: patience, Username: name, Password: "any"}, client.Options().Addr)
		expect(t, name, do(t, n, &wire.Request{Verb: pool.Check}), pool.OK)
		expect(t, name+", guarded", do(t, n, &wire.Request{Verb: pool.Check, Guard: time.Minute}), pool.Quarantined)
	}
}

func anys(texts []string) (all []any) {
	for _, text := range texts {
		all = append(all, text)
	}
	return all
}
