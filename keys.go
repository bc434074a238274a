package redlock

import "github.com/go-redlock/redlock/pool"

// keysOf returns the keys of the lock of that name.
func keysOf(prefix, name string) (pool.KeySet, error) {
	keys, err := pool.Keys(prefix, name)
	if err != nil {
		return pool.KeySet{}, &OptionError{Option: "name", Value: name, Reason: err.Error()}
	}
	return keys, nil
}
