package redlock

import "github.com/go-redlock/redlock/internal/wire"

// A kind says what is taken under a name: its lock, its shared lock, or one of so many permits of a
// semaphore.
type kind struct {
	permits int  // 0: it is no semaphore
	shared  bool // it is a shared lock
}

// kind returns what calls of m take.
func (m *Mutex) kind() kind { return kind{m.permits.count(), m.shared} }

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
