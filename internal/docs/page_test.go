package docs_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-redlock/redlock/internal/snippets"
)

// The tests that the page on tests shows pass, in one package without anything else.
func TestTheTestsThatTheHandbookShowsPass(t *testing.T) {
	t.Parallel()
	blocks, err := snippets.Find(at("docs/testing-your-service.md"))
	if err != nil {
		t.Fatal(err)
	}
	var body strings.Builder
	for _, b := range blocks {
		body.WriteString(b.Code)
	}
	shown := strings.Count(body.String(), "func Test")
	if shown < 7 {
		t.Fatalf("the page shows %d tests only", shown)
	}
	text := "package page\n"
	for name, path := range map[string]string{
		"context": "context", "errors": "errors", "testing": "testing", "synctest": "testing/synctest", "time": "time",
		"redlock": "github.com/go-redlock/redlock", "election": "github.com/go-redlock/redlock/election",
		"redlocktest": "github.com/go-redlock/redlock/redlocktest",
	} {
		if strings.Contains(body.String(), name+".") {
			text += fmt.Sprintf("import %q\n", path)
		}
	}
	file := filepath.Join(t.TempDir(), "page_test.go")
	if err := os.WriteFile(file, []byte(text+body.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	test := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", file)
	test.Dir = root
	out, err := test.CombinedOutput()
	if passed := strings.Count(string(out), "--- PASS: Test"); err != nil || passed != shown {
		t.Errorf("%d of %d pass: %v\n%s", passed, shown, err, out)
	}
}
