package docs_test

import (
	"cmp"
	"context"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/redlocktest"
)

// README names each alert, and no other.
func TestTheReadmeNamesTheAlerts(t *testing.T) {
	t.Parallel()
	named := found(t, "README.md", regexp.MustCompile("`(Redlock[A-Z]\\w+)`"))
	there := found(t, "deploy/prometheus/redlock.rules.yml", regexp.MustCompile(`alert: (\w+)`))
	if len(there) == 0 || !slices.Equal(named, there) {
		t.Errorf("README names %v, the rules have %v", named, there)
	}
}

// The line for a crontab is the one in docs/once.md, which a test runs, except for the password.
func TestTheReadmesCronLineIsTheOneThatIsTested(t *testing.T) {
	t.Parallel()
	line := regexp.MustCompile(`(?m)^(0 3 .* --no-wait .*)$`)
	readme, once := found(t, "README.md", line), found(t, "docs/once.md", line)
	if len(readme) != 1 || len(once) != 1 || readme[0] != strings.Replace(once[0], "--password-file /etc/redlock/password ", "", 1) {
		t.Errorf("README has %q, docs/once.md %q", readme, once)
	}
}

// What README says of Close, of which it bounds none.
func TestAFrozenMasterKeepsCloseWaitingForTheTTL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, bound := range []time.Duration{0, time.Second} {
			q := redlocktest.New(t, 5)
			locks, err := redlock.New(q.Nodes())
			if err != nil {
				t.Fatal(err)
			}
			err = locks.Do(t.Context(), "job", func(context.Context, *redlock.Lease) error {
				time.Sleep(time.Second) // all masters have granted it
				q.Freeze(4)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			closing, cancel := context.WithTimeout(t.Context(), cmp.Or(bound, time.Hour))
			defer cancel()
			began := time.Now()
			err = locks.Close(closing)
			took := time.Since(began)
			q.Thaw(4)
			if bound == 0 && (err != nil || took < redlock.DefaultTTL || took > redlock.DefaultTTL*3/2) {
				t.Errorf("Close takes %v: %v", took, err)
			}
			if bound != 0 && (!errors.Is(err, context.DeadlineExceeded) || took < bound || took > 2*bound) {
				t.Errorf("Close, bounded by %v, takes %v: %v", bound, took, err)
			}
		}
	})
}

// found returns what the pattern's group matches in the file, each once and sorted.
func found(t *testing.T, file string, pattern *regexp.Regexp) (texts []string) {
	t.Helper()
	text, err := os.ReadFile(at(file))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range pattern.FindAllStringSubmatch(string(text), -1) {
		texts = append(texts, m[1])
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}
