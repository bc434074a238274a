package house_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-redlock/redlock/internal/house"
)

var update = flag.Bool("update", false, "draw the picture in docs/design.md anew")

const (
	module = "github.com/go-redlock/redlock"
	root   = "../.."
)

// order is the order of the root's files, from the top to the bottom.
var order = []string{
	"doc.go", "all.go", "collect.go", "shared.go", "semaphore.go", "redlock.go", "check.go", "mutex.go", "wait.go",
	"leases.go", "lease.go", "extend.go", "queue.go", "readers.go", "waiters.go", "grant.go", "quorum.go", "slots.go", "block.go", "unlock.go", "abandon.go",
	"inspect.go", "engine.go", "survey.go", "split.go", "kind.go", "owner.go", "journal.go",
	"permits.go", "timeout.go", "fence.go", "options.go", "observe.go", "errors.go", "registry.go", "clock.go",
}

// The bounds are the present figures of the code. Lower them when the code gets better.
const (
	maxBack      = 4
	maxKnotFiles = 3
	maxKnotDecls = 4
	maxFile      = 350
)

func TestFewArrowsOfTheRootRunBackUp(t *testing.T) {
	t.Parallel()
	back, unplaced := house.Back(load(t, root).Files(), order)
	if len(unplaced) > 0 {
		t.Errorf("these files have no place in the order: %v", unplaced)
	}
	if len(back) > maxBack {
		t.Errorf("%d arrows run back up, not %d:\n%s", len(back), maxBack, strings.Join(back, "\n"))
	}
	t.Logf("%d arrows run back up", len(back))
}

func TestTheBiggestKnotOfTheRootIsSmall(t *testing.T) {
	t.Parallel()
	u := load(t, root)
	small(t, "files", house.Knots(u.Files()), maxKnotFiles)
	small(t, "declarations", house.Knots(u.Declarations()), maxKnotDecls)
}

func small(t *testing.T, what string, knots [][]string, bound int) {
	t.Helper()
	if len(knots) == 0 {
		return
	}
	if n := len(knots[0]); n > bound {
		t.Errorf("%d %s form a knot, not %d: %v", n, what, bound, knots[0])
	}
	t.Logf("%d %s form the biggest knot: %v", len(knots[0]), what, knots[0])
}

func TestFilesOfTheRootAreShort(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(root, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(text, []byte("\n")); n > maxFile && !strings.HasSuffix(f, "_test.go") {
			t.Errorf("%s has %d lines, not %d", filepath.Base(f), n, maxFile)
		}
	}
}

func TestTheDesignShowsTheHouseAsItIs(t *testing.T) {
	t.Parallel()
	all, err := house.List(root, false, "./...")
	if err != nil {
		t.Fatal(err)
	}
	imports, _ := house.Imports(module, all)
	picture := "Packages:\n\n" + house.Draw(house.Levels(house.Below(imports, "redlock"))) +
		"\nFiles of package redlock:\n\n" + house.Draw(house.Levels(load(t, root).Files()))
	name := filepath.Join(root, "docs", "design.md")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	const from, to = "<!-- drawn by internal/house -->\n\n```\n", "```\n"
	before, rest, found := strings.Cut(string(text), from)
	drawn, after, ended := strings.Cut(rest, to)
	if !found || !ended {
		t.Fatalf("%s has no place for the picture", name)
	}
	if *update {
		if err := os.WriteFile(name, []byte(before+from+picture+to+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if drawn != picture {
		t.Errorf("the picture in %s is old; run go test ./internal/house -update. It should be\n%s", name, picture)
	}
}

func load(t *testing.T, dir string) *house.Uses {
	t.Helper()
	u, err := house.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestAKnotIsWhatReachesItself(t *testing.T) {
	t.Parallel()
	arrows := map[string]map[string]bool{"a": {"b": true}, "b": {"c": true}, "c": {"b": true, "d": true}, "d": {}, "e": {"e": true}}
	if got := house.Draw(house.Levels(arrows)); got != "  3  a\n  2  [b c]\n  1  d e\n" {
		t.Errorf("drawn is\n%s", got)
	}
	if back, unplaced := house.Back(arrows, []string{"a", "b", "c", "d"}); len(back) != 1 || back[0] != "c → b" || len(unplaced) != 1 {
		t.Errorf("back are %q, unplaced %q", back, unplaced)
	}
}
