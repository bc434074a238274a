package docs_test

import (
	"slices"
	"testing"

	"github.com/go-redlock/redlock/internal/snippets"
)

// Snippets that need other modules are checked in examples/migration.
func TestTheHandbooksSnippetsCompile(t *testing.T) {
	t.Parallel()
	all, err := snippets.Find(at("README.md"), at("docs/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	light := slices.DeleteFunc(all, func(s snippets.Snippet) bool { return !s.Light() })
	if len(light) == 0 {
		t.Fatal("there is none")
	}
	faults, err := snippets.Check(light)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Error(f)
	}
}
