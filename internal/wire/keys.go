package wire

import (
	"errors"
	"fmt"
	"strings"
)

// The wire format. Programs of other versions and languages use the same keys; they change in a
// major version only, and a golden test pins them.
const (
	fenceSuffix = ":redlock:fence" // fencing register
	queueSuffix = ":redlock:queue" // queue of waiters
	// Those who share a lock.
	readersSuffix = ":redlock:readers"
	slotSuffix    = ":redlock:slot:" // of a semaphore: a number follows, or "queue"
	// MarkerKey is the key of the restart marker.
	MarkerKey = "redlock:restart"

	maxName = 1024 // bytes
)

// KeySet are the keys of one lock; that of its readers is [ReadersKey]. They are in one hash slot
// of a Redis Cluster: the others have L's hash tag, or L as their hash tag. No two locks have a key
// in common: the part before the suffix ends in a colon if L has a hash tag, and in a closing brace
// if it has none.
type KeySet struct {
	Lock  string // L: prefix and name
	Fence string // F, the fencing register
	Queue string // the queue of waiters
}

// Keys returns the keys of the lock of that name.
//
// It fails for a name that is empty, is longer than 1,024 bytes, ends in a reserved suffix or has
// that of a semaphore's slots, is the key of the restart marker, or has a closing brace but no
// valid hash tag, so that F could not share its slot.
func Keys(prefix, name string) (KeySet, error) {
	lock := prefix + name
	switch err := valid(lock, name); {
	case err != nil:
		return KeySet{}, err
	case tagged(lock):
		return keySet(lock, lock+":"+fenceSuffix+lock+":"+queueSuffix), nil
	default:
		return keySet(lock, "{"+lock+"}"+fenceSuffix+"{"+lock+"}"+queueSuffix), nil
	}
}

// valid returns why there can be no keys for the name, whose lock key that would be.
func valid(lock, name string) error {
	switch {
	case name == "":
		return errors.New("a name must not be empty")
	case len(name) > maxName:
		return fmt.Errorf("a name has at most %d bytes, not %d", maxName, len(name))
	case strings.HasSuffix(lock, fenceSuffix), strings.HasSuffix(lock, queueSuffix), strings.HasSuffix(lock, readersSuffix), strings.Contains(lock, slotSuffix), lock == MarkerKey:
		return fmt.Errorf("the name is reserved: %q, %q and %q end the keys that go with a lock, %q is in those of a semaphore's slots, %q is the restart marker",
			fenceSuffix, queueSuffix, readersSuffix, slotSuffix, MarkerKey)
	case strings.Contains(lock, "}") && !tagged(lock):
		return errors.New("a name with a closing brace needs a hash tag, such as {user1}")
	}
	return nil
}

// keySet splits both into the keys of the fencing register and the queue, which differ in their
// suffixes: so one allocation serves the two.
func keySet(lock, both string) KeySet {
	base := (len(both) - len(fenceSuffix) - len(queueSuffix)) / 2
	fence := base + len(fenceSuffix)
	return KeySet{Lock: lock, Fence: both[:fence], Queue: both[fence:]}
}

// tagged reports whether the key has a valid hash tag: something between its first opening brace
// and the next closing one.
func tagged(key string) bool {
	open := strings.IndexByte(key, '{')
	return open >= 0 && strings.IndexByte(key[open+1:], '}') > 0
}
