package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// Each function that a user calls has an example of its own. The others are called by fmt, slog and
// errors, or appear in other examples.
func TestEveryFunctionHasAnExample(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{".", "pool", "guard", "election", "redlocktest", "redlockotel", "redlockprom"} {
		functions, examples := make(map[string]bool), make(map[string]bool)
		for _, d := range declarations(t, dir) {
			f, ok := d.(*ast.FuncDecl)
			switch {
			case !ok, !f.Name.IsExported():
			case f.Recv == nil && strings.HasPrefix(f.Name.Name, "Example"):
				examples[strings.TrimPrefix(strings.TrimPrefix(f.Name.Name, "Example"), "_")] = true
			case f.Recv == nil && !strings.HasPrefix(f.Name.Name, "Test"), f.Recv != nil && receiver(f) != "":
				functions[strings.TrimPrefix(receiver(f)+"_"+f.Name.Name, "_")] = true
			}
		}
		if len(functions) == 0 {
			t.Fatalf("no functions were found in %s", dir)
		}
		for f := range functions {
			_, method, _ := strings.Cut(f, "_")
			switch method {
			case "Error", "Unwrap", "String", "GoString", "LogValue", "Push", "Pop", "Len", "Less", "Swap",
				// called by a Locker, and by a registry
				"Observe", "ObserveContext", "Describe", "Collect":
				continue
			}
			if !examples[f] {
				t.Errorf("%s: %s has no example", dir, f)
			}
		}
	}
}

// declarations returns the declarations of the files in dir, tests included.
func declarations(t *testing.T, dir string) (all []ast.Decl) {
	t.Helper()
	files, err := filepath.Glob(at(filepath.Join(dir, "*.go")))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if test := strings.HasSuffix(name, "_test.go"); !test || strings.HasPrefix(filepath.Base(name), "example") {
			all = append(all, f.Decls...)
		}
	}
	return all
}

// receiver returns the type of a method's receiver if it is exported, otherwise "".
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	e := f.Recv.List[0].Type
	if p, ok := e.(*ast.StarExpr); ok {
		e = p.X
	}
	if id, ok := e.(*ast.Ident); ok && id.IsExported() {
		return id.Name
	}
	return ""
}
