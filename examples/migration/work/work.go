// Package work is the work of both programs under their lock. It fails if two processes do it at
// the same time.
package work

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Add adds one to the number in dir/sum: it reads the number and writes it back. It fails if
// another process does the same at that time.
func Add(dir string) (err error) {
	busy := filepath.Join(dir, "busy")
	mark, err := os.OpenFile(busy, os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("two at once: %w", err)
	}
	defer func() { err = errors.Join(err, mark.Close(), os.Remove(busy)) }()

	sum, err := Sum(dir)
	if err != nil {
		return err
	}
	time.Sleep(time.Millisecond) // so that a second process would be noticed
	return os.WriteFile(filepath.Join(dir, "sum"), []byte(strconv.Itoa(sum+1)), 0o600)
}

// Sum reads the number.
func Sum(dir string) (int, error) {
	text, err := os.ReadFile(filepath.Join(dir, "sum"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}
