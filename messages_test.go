package redlock_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-redlock/redlock/pool"
)

func TestTroubleshootingKnowsEveryMessage(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	known := string(text)
	for v := pool.Unanswered; v <= pool.Unavailable; v++ {
		if v != pool.OK && !strings.Contains(known, "`"+v.String()+"`") {
			t.Errorf("docs/troubleshooting.md has no entry for the verdict `%v`", v)
		}
	}
	said := messages(t, ".", "pool")
	for _, m := range slices.Sorted(maps.Keys(said)) {
		if !strings.Contains(known, "`"+m+"`") {
			t.Errorf("%s: docs/troubleshooting.md has no entry for `%s`", said[m], m)
		}
	}
	for _, want := range []string{"held by another owner", "the retention is below twice the TTL of …", "lease lost"} {
		if said[want] == "" {
			t.Errorf("the messages were not all found: `%s` is missing", want)
		}
	}
}

func TestTroubleshootingHasNoEntryForWhatIsNotSaid(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	said, entries := messages(t, ".", "pool"), 0
	for section := range strings.SplitSeq(string(text), "\n## ") {
		title, body, _ := strings.Cut(section, "\n")
		if !slices.Contains([]string{"Verdicts", "Options", "Addresses", "Close", "In the log"}, title) {
			continue // what servers and the network say, too
		}
		for _, entry := range regexp.MustCompile("(?m)^(?:\\|(?:[^|]*\\|)? |### )`([^`]* [^`]*)`").FindAllStringSubmatch(body, -1) {
			entries++
			if said[entry[1]] == "" {
				t.Errorf("docs/troubleshooting.md, %s: nothing says `%s`", title, entry[1])
			}
		}
	}
	if entries < 40 {
		t.Errorf("only %d entries were found", entries)
	}
}

// messages returns the texts of the errors and warnings that the packages in dirs can give, and where, with … for what changes.
func messages(t *testing.T, dirs ...string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	fset := token.NewFileSet()
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				for _, e := range texts(n) {
					if m, ok := literal(e); ok {
						found[generic(m)] = fset.Position(e.Pos()).String()
					}
				}
				return true
			})
		}
	}
	return found
}

// texts are the expressions that n makes a message of: of an error, a warning, or a verdict.
func texts(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.CallExpr:
		switch f := selector(n.Fun); {
		case f == "errors.New", f == "fmt.Errorf", strings.HasSuffix(f, ".Warn"):
			return n.Args[:1]
		case strings.HasSuffix(f, ".tell"): // of a context
			return warning(n.Args[1:])
		case strings.HasSuffix(f, ".note"):
			return warning(n.Args)
		}
	case *ast.CompositeLit:
		return reasons(n)
	}
	return nil
}

// warning is the text behind a level that is not for debugging.
func warning(args []ast.Expr) []ast.Expr {
	if level := selector(args[0]); level == "slog.LevelDebug" || level == "n.level" {
		return nil
	}
	return args[1:2]
}

// reasons is what an OptionError says.
func reasons(n *ast.CompositeLit) (all []ast.Expr) {
	if id, ok := n.Type.(*ast.Ident); !ok || id.Name != "OptionError" {
		return nil
	}
	reason := ast.Expr(nil)
	for i, e := range n.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if id, ok := kv.Key.(*ast.Ident); ok && id.Name == "Reason" {
				reason = kv.Value
			}
		} else if i == 2 {
			reason = e
		}
	}
	if call, ok := reason.(*ast.CallExpr); ok && selector(call.Fun) == "fmt.Sprintf" {
		reason = call.Args[0]
	}
	return []ast.Expr{reason}
}

// selector is x.y as a string.
func selector(e ast.Expr) string {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if x, ok := s.X.(*ast.Ident); ok {
		return x.Name + "." + s.Sel.Name
	}
	return "." + s.Sel.Name
}

// literal is the value of a string constant, which may be a sum.
func literal(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil
	case *ast.BinaryExpr:
		x, okX := literal(e.X)
		y, okY := literal(e.Y)
		return x + y, okX && okY
	}
	return "", false
}

// generic puts … for what changes, and takes the package's name away.
func generic(format string) string {
	s := regexp.MustCompile(`%[+#]?[a-z]`).ReplaceAllString(format, "…")
	return strings.TrimPrefix(strings.TrimPrefix(s, "redlock: "), "pool: ")
}
