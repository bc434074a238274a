// Mutation breaks the library in ways that matter, one at a time, in a copy, and shows which test
// fails:
//
//	go run ./internal/mutation            every mutant
//	go run ./internal/mutation fresh-id   those whose names begin so
//	go run ./internal/mutation -rules     the rules of the protocol, by the simulation alone
//	go run ./internal/mutation -list      docs/mutation.md
//
// It prints a line for each mutant, and fails if one survives.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// A mutant is one edit of the source, and the test that finds it.
type mutant struct {
	name     string
	file     string
	old, new string
	killer   killer
}

// A killer is the test that finds a mutant.
type killer struct {
	in, test string
	regime   string // of the simulation; empty: it is another test
}

// lint is golangci-lint, for a package.
func lint(in string) killer { return killer{in: in, test: "golangci-lint"} }

// test is a test of a package.
func test(in, name string) killer { return killer{in: in, test: name} }

// sim is a simulation of at most ten thousand schedules, of the regime for the rule.
func sim(regime string) killer { return killer{"./internal/sim", "TestSimulation", regime} }

// args returns the arguments of the go command.
func (k killer) args() []string {
	if k == lint(k.in) {
		return []string{"tool", "-modfile=tools/go.mod", "golangci-lint", "run", "--allow-parallel-runners", k.in}
	}
	args := []string{"test", "-count=1", "-trimpath", "-vet=off", "-failfast", "-timeout=5m"}
	args = append(args, "-run=^"+k.test+"$", k.in)
	if k.regime != "" {
		args = append(args, "-args", "-sim.regime="+k.regime, "-sim.count=10000")
	}
	return args
}

func (k killer) String() string {
	if k.regime != "" {
		return "simulation, " + k.regime
	}
	return k.test
}

func main() {
	rules := flag.Bool("rules", false, "the rules of the protocol only")
	list := flag.Bool("list", false, "print the table of docs/mutation.md, and try nothing")
	flag.Parse()
	if *list {
		fmt.Print(table())
		return
	}
	survivors := 0
	dir, err := copyModule()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer os.RemoveAll(dir)
	for _, m := range mutants {
		if !chosen(m.name, flag.Args()) || *rules && m.killer.regime == "" {
			continue
		}
		began := time.Now()
		by, err := m.try(dir)
		took := time.Since(began).Round(time.Second)
		switch {
		case err != nil:
			survivors++
			fmt.Printf("%-32s BROKEN: %v\n", m.name, err)
		case by == "":
			survivors++
			fmt.Printf("%-32s SURVIVED %v (%v)\n", m.name, m.killer, took)
		default:
			fmt.Printf("%-32s killed by %s (%v)\n", m.name, by, took)
		}
	}
	if survivors > 0 {
		fmt.Printf("%d survived\n", survivors)
		os.RemoveAll(dir)
		os.Exit(1) //nolint:gocritic // dir is gone
	}
}

// table prints the list of all mutants for docs/mutation.md.
func table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Mutants\n\n%d ways to break the library, and what finds each. `go run ./internal/mutation -list` prints this; [testing](testing.md) says how to run it.\n\n"+
		"| mutant | breaks | found by |\n|---|---|---|\n", len(mutants))
	for _, m := range mutants {
		fmt.Fprintf(&b, "| %s | `%s` | %s |\n", m.name, m.file, m.killer)
	}
	b.WriteString("\nThese change nothing that could be seen:\n\n| mutant | edits | why |\n|---|---|---|\n")
	for _, m := range idle {
		fmt.Fprintf(&b, "| %s | `%s` | %s |\n", m.name, m.file, m.why)
	}
	return b.String()
}

func chosen(name string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return len(prefixes) == 0
}

// copyModule copies the module from the current directory to a temporary one.
func copyModule() (string, error) {
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return "", fmt.Errorf("mutation: %w", err)
	}
	files, err := exec.Command("git", "ls-files", "-co", "--exclude-standard").Output()
	if err != nil {
		return "", fmt.Errorf("mutation: git ls-files: %w", err)
	}
	for file := range strings.Lines(string(files)) {
		file = strings.TrimSpace(file)
		text, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, file), text, 0o600)
		}
		if err != nil {
			return "", fmt.Errorf("mutation: %w", err)
		}
	}
	return dir, nil
}

var (
	failed = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
	panics = regexp.MustCompile(`(?m)^(panic: .*|fatal error: .*)$`)
)

const (
	patience = 6 * time.Minute
	doubt    = 200 // bytes of what the compiler says
)

// applies returns an error unless there is exactly one place for the edit.
func (m mutant) applies(text string) error {
	if n := strings.Count(text, m.old); n != 1 || m.old == m.new {
		return fmt.Errorf("%s: %s holds the text %d times", m.name, m.file, n)
	}
	return nil
}

// try makes the edit, runs the tests, takes the edit back, and returns the test that failed, "" if
// none did.
func (m mutant) try(dir string) (by string, err error) {
	path := filepath.Join(dir, m.file)
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("mutation: %w", err)
	}
	if err := m.applies(string(text)); err != nil {
		return "", err
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), m.old, m.new, 1)), 0o600); err != nil {
		return "", fmt.Errorf("mutation: %w", err)
	}
	defer func() { err = errors.Join(err, os.WriteFile(path, text, 0o600)) }()

	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", m.killer.args()...) //nolint:gosec // of the table
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil:
		return "", nil
	case bytes.Contains(out, []byte("[build failed]")), bytes.Contains(out, []byte("[setup failed]")):
		return "", fmt.Errorf("it does not build: %.*s", doubt, out)
	}
	if m.killer == lint(m.killer.in) && bytes.Contains(out, []byte(m.file)) {
		return m.killer.test, nil
	}
	all := failed.FindAllSubmatch(out, -1)
	if p := panics.Find(out); len(all) == 0 && p != nil {
		return string(p), nil
	}
	if len(all) == 0 {
		return "", fmt.Errorf("no test failed, and yet: %w: %.*s", err, doubt, out)
	}
	return string(all[len(all)-1][1]), nil
}
