// Package snippets type-checks the Go code in Markdown files, so that the handbook compiles.
package snippets

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Snippet is one block of Go in a Markdown file: a whole file, declarations, or statements.
type Snippet struct {
	File string
	Line int // of the block's first line
	Code string
}

// String returns the snippet's file and line.
func (s Snippet) String() string { return fmt.Sprintf("%s:%d", s.File, s.Line) }

// Find returns the blocks of Go in the files that match the patterns.
func Find(patterns ...string) ([]Snippet, error) {
	var found []Snippet
	for _, p := range patterns {
		files, err := filepath.Glob(p)
		if err != nil {
			return nil, fmt.Errorf("snippets: %w", err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				return nil, fmt.Errorf("snippets: %w", err)
			}
			found = append(found, blocks(f, string(text))...)
		}
	}
	return found, nil
}

// blocks returns the blocks of Go in text.
func blocks(file, text string) (found []Snippet) {
	var open *Snippet
	for i, line := range strings.Split(text, "\n") {
		fence := strings.TrimSpace(line)
		switch {
		case open == nil && fence == "```go":
			open = &Snippet{File: file, Line: i + 2}
		case open != nil && fence == "```":
			found = append(found, *open)
			open = nil
		case open != nil:
			open.Code += line + "\n"
		}
	}
	return found
}

// packages are the packages that snippets may use without an import if they are not whole files.
var packages = map[string]string{ //nolint:gosec // import paths
	"context": "context", "errors": "errors", "fmt": "fmt", "http": "net/http", "log": "log", "os": "os", "slog": "log/slog",
	"slices": "slices", "sql": "database/sql", "strconv": "strconv", "strings": "strings", "synctest": "testing/synctest",
	"testing": "testing", "time": "time",

	"redlock":      "github.com/go-redlock/redlock",
	"guard":        "github.com/go-redlock/redlock/guard",
	"pool":         "github.com/go-redlock/redlock/pool",
	"election":     "github.com/go-redlock/redlock/election",
	"redlocktest":  "github.com/go-redlock/redlock/redlocktest",
	"redlockotel":  "github.com/go-redlock/redlock/redlockotel",
	"redlockprom":  "github.com/go-redlock/redlock/redlockprom",
	"redis":        "github.com/redis/go-redis/v9",
	"redsync":      "github.com/go-redsync/redsync/v4",
	"goredis":      "github.com/go-redsync/redsync/v4/redis/goredis/v9",
	"rueidis":      "github.com/redis/rueidis",
	"rueidislock":  "github.com/redis/rueidis/rueidislock",
	"redislock":    "github.com/bsm/redislock",
	"prometheus":   "github.com/prometheus/client_golang/prometheus",
	"gocron":       "github.com/go-co-op/gocron/v2",
	"otel":         "go.opentelemetry.io/otel",
	"redsyncredis": "github.com/go-redsync/redsync/v4/redis",
}

// scope has declarations that snippets of statements and declarations may use.
const scope = `
func pay(ctx context.Context, token ...uint64) error
func update(ctx context.Context, token uint64) error
var errBusy error
`

// parameters are the parameters of the function around a snippet of statements.
const parameters = `ctx context.Context, locks *redlock.Locker, nodes []pool.Node, lease *redlock.Lease,
	client *redis.Client, logger *slog.Logger, t *testing.T`

// file makes a whole file from the snippet.
func (s Snippet) file(fset *token.FileSet) (*ast.File, error) {
	code := fmt.Sprintf("//line %v\n%s", s, s.Code)
	if !strings.HasPrefix(strings.TrimSpace(s.Code), "package ") {
		var head strings.Builder
		head.WriteString("package snippet\n")
		for _, name := range names(code + parameters + scope) {
			fmt.Fprintf(&head, "import %s %q\n", name, packages[name])
		}
		declarations := head.String() + code
		if _, err := parser.ParseFile(token.NewFileSet(), "", declarations, 0); err == nil {
			code = declarations
		} else {
			code = head.String() + "func _(" + parameters + ") error {\n{\n" + code + "\n}\nreturn nil\n}\n"
		}
		code += "//line scope:1\n" + scope
	}
	f, err := parser.ParseFile(fset, "snippet.go", code, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("snippets: %w", err)
	}
	return f, nil
}

// names returns the names of packages that code seems to use.
func names(code string) (used []string) {
	for _, m := range selector.FindAllStringSubmatch(code, -1) {
		if _, known := packages[m[1]]; known && !slices.Contains(used, m[1]) {
			used = append(used, m[1])
		}
	}
	return used
}

var selector = regexp.MustCompile(`(?:^|[^\w.])(\w+)\.[A-Z]`)

// Light reports whether the snippet needs only packages that the root module depends on.
func (s Snippet) Light() bool {
	f, err := s.file(token.NewFileSet())
	if err != nil {
		return true // Check reports it
	}
	for _, path := range imports(f) {
		first, _, _ := strings.Cut(path, "/")
		switch path {
		case packages["redlock"], packages["guard"], packages["pool"], packages["redlocktest"], packages["redis"]:
		default:
			if strings.Contains(first, ".") {
				return false
			}
		}
	}
	return true
}

func imports(f *ast.File) (paths []string) {
	for _, i := range f.Imports {
		path, err := strconv.Unquote(i.Path.Value)
		if err == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

// Check type-checks the snippets, with the packages of the module in the current directory, and
// returns what is wrong. Unused variables and imports are no error in a snippet.
func Check(snippets []Snippet) ([]error, error) {
	var faults []error
	fset := token.NewFileSet()
	files := make([]*ast.File, len(snippets))
	var paths []string
	for i, s := range snippets {
		f, err := s.file(fset)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		files[i] = f
		paths = append(paths, imports(f)...)
	}
	compiled, err := export(paths)
	if err != nil {
		return nil, err
	}
	config := types.Config{
		Importer: importer.ForCompiler(fset, "gc", compiled),
		Error: func(err error) {
			if e, ok := err.(types.Error); !ok || !e.Soft { //nolint:errorlint // it is passed as it is
				faults = append(faults, err)
			}
		},
	}
	for _, f := range files {
		if f != nil {
			_, _ = config.Check("snippet", fset, []*ast.File{f}, nil) // Error gets the errors
		}
	}
	return faults, nil
}

// export returns the files with the compiler's export data of the packages and all their imports.
func export(paths []string) (importer.Lookup, error) {
	slices.Sort(paths)
	args := append([]string{"list", "-export", "-deps", "-json=ImportPath,Export"}, slices.Compact(paths)...)
	cmd := exec.Command("go", args...) //nolint:noctx // go list
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("snippets: go list: %w\n%s", err, stderr.Bytes())
	}
	at := make(map[string]string)
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var p struct{ ImportPath, Export string }
		if err := d.Decode(&p); err != nil {
			return nil, fmt.Errorf("snippets: go list: %w", err)
		}
		at[p.ImportPath] = p.Export
	}
	return func(path string) (io.ReadCloser, error) { return os.Open(at[path]) }, nil
}
