package redlock

import "github.com/go-redlock/redlock/pool"

// keys returns the keys of the lock of that name.
func keys(prefix, name string) (lock, fence string, err error) {
	lock, fence, err = pool.Keys(prefix, name)
	if err != nil {
		return "", "", &OptionError{Option: "name", Value: name, Reason: err.Error()}
	}
	return lock, fence, nil
}
