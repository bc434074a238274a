package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// widest is the greatest number of columns of a line of prose; a tab counts as four.
const widest = 100

// generated lists the documents that programs write.
var generated = []string{"docs/mutation.md", "docs/benchmarks.md", "docs/benchmarks-distance.md"}

func TestNoLineOfProseIsLongerThanAHundredColumns(t *testing.T) {
	t.Parallel()
	seen := make(map[string]int)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		var lines map[int]string
		switch filepath.Ext(path) {
		case ".go":
			lines = comments(t, path)
		case ".lua":
			lines = luaComments(t, path)
		case ".md":
			lines = prose(t, path)
		default:
			return nil
		}
		seen[filepath.Ext(path)]++
		for n, line := range lines {
			if columns(line) > widest && strings.Contains(strings.TrimLeft(line, "/- \t"), " ") {
				t.Errorf("%s:%d has %d columns", path, n, columns(line))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen[".go"] < 100 || seen[".lua"] < 10 || seen[".md"] < 10 {
		t.Errorf("only %v files were found", seen)
	}
}

func columns(line string) int {
	return len([]rune(strings.ReplaceAll(line, "\t", "    ")))
}

// directive matches a comment for a tool, or one that a tool reads.
var directive = regexp.MustCompile(`^//(\S|\t| (Output|Unordered output):| {2,}\S+$)`)

// comments returns the lines of a Go file with a comment for a reader, by number.
func comments(t *testing.T, name string) map[int]string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	all, found := strings.Split(string(text), "\n"), make(map[int]string)
	for _, g := range f.Comments {
		for _, c := range readable(g) {
			n := fset.Position(c.Pos()).Line
			found[n] = all[n-1]
		}
	}
	return found
}

// luaComments returns the lines of a Lua file that are a comment, by number.
func luaComments(t *testing.T, name string) map[int]string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[int]string)
	for i, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "--") {
			found[i+1] = line
		}
	}
	return found
}

// readable returns the comments of a group up to an example's output.
func readable(g *ast.CommentGroup) (all []*ast.Comment) {
	for _, c := range g.List {
		switch {
		case strings.HasPrefix(c.Text, "// Output:"), strings.HasPrefix(c.Text, "// Unordered output:"):
			return all
		case strings.HasPrefix(c.Text, "//") && !directive.MatchString(c.Text):
			all = append(all, c)
		}
	}
	return all
}

// prose returns the lines of a Markdown file that are neither code nor a table, by number.
func prose(t *testing.T, name string) map[int]string {
	t.Helper()
	for _, g := range generated {
		if name == at(filepath.FromSlash(g)) {
			return nil
		}
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	found, fence := make(map[int]string), false
	for i, line := range strings.Split(string(text), "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(trimmed, "```"):
			fence = !fence
		case !fence && !strings.HasPrefix(trimmed, "|") && !strings.HasPrefix(trimmed, "<"):
			found[i+1] = line
		}
	}
	return found
}
