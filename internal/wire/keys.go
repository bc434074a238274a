package wire

import (
	"errors"
	"fmt"
	"strings"
)

// The wire format. Programs of other versions and languages meet on these keys; they change in a
// major version only, and a golden test pins them.
const (
	fenceSuffix = ":redlock:fence" // fencing register
	queueSuffix = ":redlock:queue" // queue of waiters
	// MarkerKey is the key of the restart marker.
	MarkerKey = "redlock:restart"

	maxName = 1024 // bytes
)

// KeySet are the keys of one lock. They are in one hash slot of a Redis Cluster: the others have
// L's hash tag, or L as their hash tag. No two locks have a key in common: what stands before the
// suffix ends in a colon where L has a hash tag, and in a closing brace where it has none.
type KeySet struct {
	Lock  string // L: prefix and name
	Fence string // F, the fencing register
	Queue string // the queue of waiters
}

// Keys returns the keys of the lock of that name.
//
// It fails for a name that is empty, longer than 1,024 bytes, ends in a suffix that is reserved, is
// the key of the restart marker, or holds a closing brace without a valid hash tag, which F could
// not share.
func Keys(prefix, name string) (KeySet, error) {
	lock := prefix + name
	switch {
	case name == "":
		return KeySet{}, errors.New("a name must not be empty")
	case len(name) > maxName:
		return KeySet{}, fmt.Errorf("a name has at most %d bytes, not %d", maxName, len(name))
	case strings.HasSuffix(lock, fenceSuffix), strings.HasSuffix(lock, queueSuffix), lock == MarkerKey:
		return KeySet{}, fmt.Errorf("the name is reserved: %q and %q end the keys that go with a lock, %q is the restart marker",
			fenceSuffix, queueSuffix, MarkerKey)
	case tagged(lock):
		return keySet(lock, lock+":"+fenceSuffix+lock+":"+queueSuffix), nil
	case strings.Contains(lock, "}"):
		return KeySet{}, errors.New("a name with a closing brace needs a hash tag, such as {user1}")
	default:
		return keySet(lock, "{"+lock+"}"+fenceSuffix+"{"+lock+"}"+queueSuffix), nil
	}
}

// keySet cuts the keys of the fencing register and the queue, which stand one behind the other,
// apart: one allocation for both.
func keySet(lock, both string) KeySet {
	fence := (len(both) + len(fenceSuffix) - len(queueSuffix)) / 2
	return KeySet{Lock: lock, Fence: both[:fence], Queue: both[fence:]}
}

// tagged reports whether the key has a valid hash tag: something between its first opening brace
// and the next closing one.
func tagged(key string) bool {
	open := strings.IndexByte(key, '{')
	return open >= 0 && strings.IndexByte(key[open+1:], '}') > 0
}
