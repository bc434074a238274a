package redlock

import "github.com/go-redlock/redlock/internal/wire"

// A kind says what is taken under a name: its lock, its shared lock, or one of so many permits of a
// semaphore.
type kind struct {
	permits int  // 0: it is no semaphore
	shared  bool // it is a shared lock
}

// A target is what an attempt is for.
type target struct {
	name    string
	keys    [1]wire.KeySet
	permits *permits // of a semaphore; nil: it is a lock
	shared  bool     // it is a shared lock
}

// kind returns the kind of the target.
func (t *target) kind() kind { return kind{t.permits.count(), t.shared} }

// A queueKey identifies a queue: by the name of a lock, or the common prefix of the keys of a
// semaphore's slots, and by whether it is the queue of the lock's readers.
type queueKey struct {
	name   string
	shared bool
}

// several reports whether several owners may have it at the same time.
func (k kind) several() bool { return k.permits > 0 || k.shared }

// name returns the kind for observers.
func (k kind) name() Kind {
	switch {
	case k.permits > 0:
		return KindPermit
	case k.shared:
		return KindShared
	}
	return KindLock
}

// op says what a call does that takes it, for errors.
func (k kind) op() string {
	switch {
	case k.permits > 0:
		return "acquire"
	case k.shared:
		return "lock shared"
	}
	return "lock"
}

// ofReaders is the fingerprint of a lock that is shared, whoever shares it.
var ofReaders = fingerprintOf(wire.SharedValue)
