package redlock

import "github.com/go-redlock/redlock/internal/wire"

// keysOf returns the keys of the lock of that name.
func keysOf(prefix, name string) (wire.KeySet, error) {
	keys, err := wire.Keys(prefix, name)
	if err != nil {
		return wire.KeySet{}, &OptionError{Option: "name", Value: name, Reason: err.Error()}
	}
	return keys, nil
}
