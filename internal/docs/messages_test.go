package docs_test

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

	"github.com/go-redlock/redlock/internal/wire"
)

func TestTroubleshootingKnowsEveryMessage(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(at("docs/troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	known := string(text)
	for v := wire.Unanswered; v <= wire.Unavailable; v++ {
		if v != wire.OK && !strings.Contains(known, "`"+v.String()+"`") {
			t.Errorf("docs/troubleshooting.md has no entry for the verdict `%v`", v)
		}
	}
	said := messages(t)
	for _, m := range slices.Sorted(maps.Keys(said)) {
		if !strings.Contains(known, "`"+m+"`") {
			t.Errorf("%s: docs/troubleshooting.md has no entry for `%s`", said[m], m)
		}
	}
	for _, want := range []string{
		"held by another owner", "the retention is below twice the TTL of …", "lease lost", "not host:port",
		"guard: stale fencing token", "nobody to ask: say --yes", "the … cannot be renewed: stopping the command",
	} {
		if said[want] == "" {
			t.Errorf("the messages were not all found: `%s` is missing", want)
		}
	}
}

func TestTroubleshootingHasNoEntryForWhatIsNotSaid(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(at("docs/troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	said := messages(t)
	for v := wire.Unanswered; v <= wire.Unavailable; v++ {
		said[v.String()] = "pool"
	}
	section, entries := "", 0
	for line := range strings.SplitSeq(string(text), "\n") {
		if strings.HasPrefix(line, "## ") || strings.HasPrefix(line, "### ") && !strings.Contains(line, "`") {
			section = strings.TrimLeft(line, "# ")
		}
		if section == "What a server or the network says" {
			continue // the text is not known here
		}
		for _, entry := range entriesOf(line, section == "Options") {
			entries++
			if said[entry] == "" {
				t.Errorf("docs/troubleshooting.md, %s: nothing says `%s`", section, entry)
			}
		}
	}
	if entries < 90 {
		t.Errorf("only %d entries were found", entries)
	}
}

// entriesOf returns the messages that a line of the page is about: those of a heading, or those in
// the first column of a table, or in the second if the first has names.
func entriesOf(line string, named bool) (all []string) {
	cell := line
	switch cells := strings.Split(line, "|"); {
	case strings.HasPrefix(line, "### "):
	case len(cells) < 4:
		return nil
	case named:
		cell = cells[2]
	default:
		cell = cells[1]
	}
	for _, quoted := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cell, -1) {
		all = append(all, quoted[1])
	}
	return all
}

// packages lists the packages whose errors and warnings a user sees.
var packages = []string{".", "internal/dispatch", "internal/wire", "internal/notify", "pool", "guard", "election", "cmd/redlock", "cmd/redlock/internal/leash"}

// messages returns the texts of the errors and warnings of the packages, with … for what varies,
// and their places.
func messages(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	fset := token.NewFileSet()
	for _, dir := range packages {
		files, err := filepath.Glob(at(filepath.Join(dir, "*.go")))
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
					if m, ok := literal(e); ok && generic(m) != "…" {
						found[generic(m)] = fset.Position(e.Pos()).String()
					}
				}
				return true
			})
		}
	}
	return found
}

// texts returns the expressions from which n makes a message: an error, a warning, or a verdict.
func texts(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.CallExpr:
		switch f := selector(n.Fun); {
		case f == "errors.New", f == "fmt.Errorf", strings.HasSuffix(f, ".Warn"):
			return n.Args[:1]
		case f == "fmt.Fprintf" && selector(n.Args[0]) == "s.err":
			return complaint(n.Args[1])
		case strings.HasSuffix(f, ".emit"): // of a context
			return warning(n.Args[1:])
		case strings.HasSuffix(f, ".note"), strings.HasSuffix(f, ".queueEvent"):
			return warning(n.Args)
		}
	case *ast.CompositeLit:
		return reasons(n)
	}
	return nil
}

// complaint returns the format of a text for the command's standard error output if it begins as
// the command's errors do.
func complaint(format ast.Expr) []ast.Expr {
	if text, ok := literal(format); !ok || !strings.HasPrefix(text, "redlock: ") {
		return nil
	}
	return []ast.Expr{format}
}

// warning returns the text of a log call whose level is not for debugging.
func warning(args []ast.Expr) []ast.Expr {
	if len(args) < 2 { // another type's method of that name
		return nil
	}
	if level := selector(args[0]); level == "slog.LevelDebug" || level == "n.level" {
		return nil
	}
	return args[1:2]
}

// reasons returns the texts of an OptionError.
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

// selector returns x.y as a string.
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

// literal returns the value of a string constant, which may be a sum.
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

// generic puts … for what varies, and removes the package's name.
func generic(format string) string {
	s := regexp.MustCompile(`%[+#]?[a-z]`).ReplaceAllString(format, "…")
	for _, prefix := range []string{"redlock: ", "pool: "} {
		s = strings.TrimPrefix(s, prefix)
	}
	return strings.TrimSuffix(s, "\n")
}
