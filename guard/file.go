package guard

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// RegisterFile registers the token for the file at path, or fails with [ErrStale] if a greater one
// is registered. Call it before the first read under the lock. The file need not exist; its
// directory must.
//
// The token is kept in the file path + ".fence"; the file path + ".lock" is locked (flock) during
// the call. Do not delete either. All writers must use this package, on file systems where flock
// excludes them. RegisterFile waits for another writer, however long that one takes. Where there is
// no flock, as on Windows, it fails with [errors.ErrUnsupported].
func RegisterFile(path string, token uint64) error {
	return underFlock(path, token, func() error { return nil })
}

// WriteFile replaces the whole file at path, or changes nothing and fails with [ErrStale] if a
// greater token is registered. A crash leaves the old contents or the new. The token is registered
// before the contents change. The file keeps its permissions; only its owner may read and write a
// new file. See [RegisterFile].
func WriteFile(path string, token uint64, data []byte) error {
	return underFlock(path, token, func() error { return replace(path, data) })
}

// underFlock registers the token and then runs f, as one step for all users of path's lock.
func underFlock(path string, token uint64, f func() error) (err error) {
	if err := check(token); err != nil {
		return err
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := flock(lock); err != nil {
		return fmt.Errorf("guard: lock %q: %w", lock.Name(), err)
	}
	seen, err := readToken(path + ".fence")
	switch {
	case err != nil:
		return err
	case token < seen:
		return stale(path, token)
	case token > seen: // first: after a crash in between, the older holder is refused
		if err := replace(path+".fence", strconv.AppendUint(nil, token, 10)); err != nil {
			return err
		}
	}
	return f()
}

func readToken(path string) (uint64, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("guard: %w", err)
	}
	token, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("guard: %q holds no token: %w", path, err)
	}
	return token, nil
}

// replace puts data at path atomically and durably.
func replace(path string, data []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new*")
	if err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	if was, failed := os.Stat(path); failed == nil {
		err = temporary.Chmod(was.Mode().Perm())
	}
	if err == nil {
		_, err = temporary.Write(data)
	}
	if err == nil {
		err = temporary.Sync()
	}
	if err = errors.Join(err, temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("guard: %w", err), os.Remove(temporary.Name()))
	}
	return syncDirectory(filepath.Dir(path))
}

// syncDirectory makes a rename survive a crash. Not all file systems support that.
func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	defer directory.Close() //nolint:errcheck // it was read
	if err := directory.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("guard: %w", err)
	}
	return nil
}
