package migration_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-redlock/redlock/examples/migration/work"
)

// whatThePaymentIs replaces pay in the guides, which is empty. It fails if two processes run it at
// the same time.
const whatThePaymentIs = `package main

import (
	"context"
	"log"
	"os"

	"github.com/go-redlock/redlock/examples/migration/work"
)

func pay(ctx context.Context) {
	for range 20 {
		if err := work.Add(os.Args[1]); err != nil {
			log.Fatal(err)
		}
	}
	if ctx.Err() != nil {
		log.Fatal("lost the lock")
	}
}
`

// The programs before and after the move are copied from the guides, except for the addresses and
// the payment. Two processes run the old program again and again, and two the new one.
func TestTheProgramsOfTheGuidesExcludeEachOther(t *testing.T) {
	t.Parallel()
	const rounds = 2
	for _, from := range []string{"redsync", "rueidislock", "bsm/redislock"} {
		t.Run(from, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			programs := build(t, guide(t, from), servers(t, 3))
			done := make(chan error)
			for range 2 {
				for i, p := range programs {
					go func() { done <- repeat(t, rounds, p, dir, i == 0) }()
				}
			}
			for range 2 * len(programs) {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			sum, err := work.Sum(dir)
			if err != nil {
				t.Fatal(err)
			}
			if want := 20 * rounds * 2 * len(programs); sum != want {
				t.Errorf("the sum is %d, want %d", sum, want)
			}
		})
	}
}

// guide returns the two programs, before and after, from the guide for that library.
func guide(t *testing.T, from string) [2]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/migration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## From "+from+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	whole := regexp.MustCompile("(?s)```go\n(package main\n.*?)```").FindAllStringSubmatch(section, -1)
	if len(whole) != 2 {
		t.Fatalf("the guide from %s has %d whole programs, want one before and one after", from, len(whole))
	}
	return [2]string{whole[0][1], whole[1][1]}
}

// build builds the programs with the servers' addresses instead of 10.0.0.1:6379 and so on.
func build(t *testing.T, programs [2]string, addrs []string) (bins []string) {
	t.Helper()
	for i, code := range programs {
		dir := t.TempDir()
		for n, addr := range addrs {
			code = strings.ReplaceAll(code, fmt.Sprintf("10.0.0.%d:6379", n+1), addr)
		}
		main, payment, bin := filepath.Join(dir, "main.go"), filepath.Join(dir, "pay.go"), filepath.Join(dir, "bin")
		rest := strings.Replace(code, "func pay(context.Context) {}\n", "", 1)
		if rest == code || strings.Contains(rest, "10.0.0.") {
			t.Fatalf("program %d of the guide pays nothing, or has addresses of its own:\n%s", i, code)
		}
		for file, text := range map[string]string{main: rest, payment: whatThePaymentIs} {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, main, payment).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		bins = append(bins, bin)
	}
	return bins
}

// patience is how long a program may take, most of it waiting.
const patience = 20 * time.Second

// repeat runs the program rounds times, one after the other. rueidislock's waiters sleep until they
// are notified that the lock is free, and sometimes no notification comes. So an old program that
// is late, which has paid nothing, is run again. A new one must not be late.
func repeat(t *testing.T, rounds int, bin, dir string, old bool) error {
	t.Helper()
	for done, late := 0, 0; done < rounds; {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		out, err := exec.CommandContext(ctx, bin, dir).CombinedOutput()
		over := ctx.Err() != nil
		cancel()
		switch {
		case old && over && late < 3:
			late++
		case err != nil:
			return fmt.Errorf("%w\n%s", err, out)
		default:
			done++
		}
	}
	return nil
}
