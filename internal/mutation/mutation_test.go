package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

func TestEachMutantStillHasItsPlaceInTheSource(t *testing.T) {
	t.Parallel()
	all := slices.Clone(mutants)
	for _, m := range idle {
		all = append(all, m.mutant)
	}
	seen := make(map[string]bool)
	for _, m := range all {
		text, err := os.ReadFile(filepath.Join(root, m.file))
		if err == nil {
			err = m.applies(string(text))
		}
		if err != nil {
			t.Error(err)
		}
		if seen[m.name] {
			t.Errorf("two mutants are called %s", m.name)
		}
		seen[m.name] = true
	}
}

func TestEachMutantNamesATestThatThereIs(t *testing.T) {
	t.Parallel()
	for _, m := range mutants {
		if m.killer == lint(m.killer.in) {
			continue
		}
		files, err := filepath.Glob(filepath.Join(root, m.killer.in, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			found = found || strings.Contains(string(text), "func "+m.killer.test+"(t *testing.T)")
		}
		if !found {
			t.Errorf("%s: there is no %s in %s", m.name, m.killer.test, m.killer.in)
		}
	}
}

func TestTheTableIsThatOfTheHandbook(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "docs/mutation.md"))
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != table() {
		t.Error("docs/mutation.md is another: go run ./internal/mutation -list >docs/mutation.md")
	}
}
