package docs_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/internal/servertest"
)

func TestAServerTakesTheSettingsThatTheHandbookRecommends(t *testing.T) {
	t.Parallel()
	servertest.Start(t, 1) // or skip
	serverTakes(t, strings.Split(between(t, "docs/operations.md", "## Settings of a master\n\n```\n", "\n```"), "\n"))
}

func TestAServerTakesTheSettingsOfTheComposeFile(t *testing.T) {
	t.Parallel()
	servertest.Start(t, 1) // or skip
	serverTakes(t, strings.Split(between(t, "docs/compose.yaml", "redis-server} --", "\n\n"), "--"))
}

// between returns the text between two texts in a file.
func between(t *testing.T, file, from, to string) string {
	t.Helper()
	text, err := os.ReadFile(at(file))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), from)
	between, _, ended := strings.Cut(rest, to)
	if !found || !ended {
		t.Fatalf("%s has no %q … %q any more", file, from, to)
	}
	return between
}

// serverTakes starts a server with these settings, except for its directory, and checks that it
// evicts nothing and writes a log.
func serverTakes(t *testing.T, settings []string) {
	t.Helper()
	var args []string
	for _, s := range settings {
		s, _, _ = strings.Cut(s, "#")
		name, value, _ := strings.Cut(strings.TrimSpace(s), " ")
		if name != "dir" {
			args = append(args, "--"+name, strings.Trim(value, `"`))
		}
	}
	s := servertest.Start(t, 1, args...)
	client := redis.NewClient(&redis.Options{Addr: s.Addrs()[0]})
	t.Cleanup(func() { _ = client.Close() })
	for field, want := range map[string]string{"maxmemory_policy": "noeviction", "aof_enabled": "1"} {
		script := `return {ok = string.match(redis.call('INFO', 'everything'), '` + regexp.QuoteMeta(field) + `:(%w+)')}`
		got, err := client.Eval(t.Context(), script, nil).Text()
		if err != nil || got != want {
			t.Errorf("with %q %s is %q, %v", args, field, got, err)
		}
	}
}
