package docs_test

import (
	"bytes"
	"go/ast"
	"go/doc"
	"go/format"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-redlock/redlock/internal/snippets"
)

// An example is shown without the rest of its file, and without the package's other files. So a
// reader can paste each as it is: it is a program, or in redlocktest the body of a test function.
func TestEveryExampleCanBePasted(t *testing.T) {
	t.Parallel()
	var programs []snippets.Snippet
	for _, dir := range []string{".", "pool", "guard", "election", "redlocktest", "redlockotel", "redlockprom"} {
		fset := token.NewFileSet()
		for _, e := range examples(t, fset, dir) {
			at := filepath.Join(dir, "Example"+e.Name)
			if e.Play == nil {
				t.Errorf("%s needs something that is declared in another file", at)
				continue
			}
			if e.Output == "" && !e.EmptyOutput && !strings.Contains(strings.ReplaceAll(e.Doc, "\n", " "), "not run here") && !strings.Contains(e.Doc, "body of a test function") {
				t.Errorf("%s has no output, and does not say why", at)
			}
			var text bytes.Buffer
			if err := format.Node(&text, fset, e.Play); err != nil {
				t.Fatalf("%s: %v", at, err)
			}
			if strings.Contains(text.String(), "/internal/") {
				t.Errorf("%s imports what only this module can", at)
			}
			if program := (snippets.Snippet{File: at, Line: 1, Code: text.String()}); program.Light() {
				programs = append(programs, program)
			}
		}
	}
	faults, err := snippets.Check(programs)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Error(f)
	}
	if len(programs) < 90 {
		t.Errorf("there are only %d programs", len(programs))
	}
}

// examples returns the examples in a directory.
func examples(t *testing.T, fset *token.FileSet, dir string) []*doc.Example {
	t.Helper()
	names, err := filepath.Glob(at(filepath.Join(dir, "example*_test.go")))
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	if len(files) == 0 {
		t.Fatalf("%s has no examples", dir)
	}
	return doc.Examples(files...)
}
