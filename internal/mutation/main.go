// Mutation breaks the library in ways that matter, one at a time, in a copy of it, and shows which test finds out:
//
//	go run ./internal/mutation            every mutant
//	go run ./internal/mutation fresh-id   those whose names begin so
//	go run ./internal/mutation -rules     the rules of the protocol, by the simulation alone
//
// It prints a line for each and fails if one survives.
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

// A mutant is one edit of the source, and the tests that should find it.
type mutant struct {
	name     string
	file     string
	old, new string
	tests    []string // arguments of go test
}

// The tests to try. The simulation runs ten thousand schedules at most, of the regime that is about the rule.
var (
	unit  = []string{"."}
	nodes = []string{"./pool/...", "./internal/conformance"}
)

func sim(regime string) []string {
	return []string{"./internal/sim", "-args", "-sim.regime=" + regime, "-sim.count=10000"}
}

func main() {
	rules := flag.Bool("rules", false, "the rules of the protocol only")
	flag.Parse()
	survivors := 0
	dir, err := copyModule()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer os.RemoveAll(dir)
	for _, m := range mutants {
		isRule := m.tests[0] == "./internal/sim"
		if !chosen(m.name, flag.Args()) || *rules && !isRule {
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
			fmt.Printf("%-32s SURVIVED %v (%v)\n", m.name, m.tests, took)
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

func chosen(name string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return len(prefixes) == 0
}

// copyModule copies the module, from the work tree below the current directory, to a temporary one.
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

// try makes the edit, runs the tests, takes the edit back, and returns the test that failed, "" if none did.
func (m mutant) try(dir string) (by string, err error) {
	path := filepath.Join(dir, m.file)
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("mutation: %w", err)
	}
	if strings.Count(string(text), m.old) != 1 {
		return "", fmt.Errorf("%s holds the text %d times", m.file, strings.Count(string(text), m.old))
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), m.old, m.new, 1)), 0o600); err != nil {
		return "", fmt.Errorf("mutation: %w", err)
	}
	defer func() { err = errors.Join(err, os.WriteFile(path, text, 0o600)) }()

	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	args := append([]string{"test", "-count=1", "-trimpath", "-vet=off", "-failfast", "-timeout=5m"}, m.tests...)
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // of the table
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil:
		return "", nil
	case bytes.Contains(out, []byte("[build failed]")), bytes.Contains(out, []byte("[setup failed]")):
		return "", fmt.Errorf("it does not build: %.*s", doubt, out)
	}
	all := failed.FindAllSubmatch(out, -1)
	if len(all) == 0 {
		return string(panics.Find(out)), nil
	}
	return string(all[len(all)-1][1]), nil
}
