// Package work is what the two programs do under their lock: it breaks if two do it at once.
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

// Add adds one to the number in dir/sum, by reading it and writing it back. It fails if somebody
// else is at it.
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
	time.Sleep(time.Millisecond) // so that a second one would be caught
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
