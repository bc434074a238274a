package redlock

// Shared returns a mutex of the same name and options whose locks are shared: any number of owners,
// the readers, may have the lock at the same time. Whoever takes the name by a mutex that is not
// shared, as every program of this library did so far, is a writer: it has the lock alone. All
// calls of the mutex are as for an exclusive lock, except as follows.
//
// Each reader has a lease of its own, with its own TTL. It is extended, renewed, lost and released
// without effect on the other readers. The lock is free once the last of them has ended.
//
// Owners come in the order in which they began to wait, but readers of one process come together. A
// writer that waits in Lock keeps further readers out, as soon as the nodes know of it, so readers
// that come and go do not keep writers out for ever; TryLock returns ErrHeld to them. A writer that
// has died or hangs while it waits keeps readers out for at most 8 s. A reader that never ends its
// lease keeps writers out: [WithRenewal] bounds that.
//
// A writer keeps out only readers that came after it, and takes its place with it when it gives up.
// So writers that give up after a bounded wait do not keep a reader out in turn; and where each of
// them waits for less time than readers have the lock, without a pause between these, none gets it.
//
// A shared lock cannot be raised to an exclusive one, nor an exclusive one lowered. A goroutine
// that has the lock must not take it again, in whatever mode: a writer that began to wait in
// between would stop it, and it would wait for itself. [Locker.FromContext] tells a callee what its
// caller has.
//
// The fencing token of a reader is not unique, and nothing must be written with it. It is at least
// the token of each exclusive lease of the name that was returned before the reader's attempt
// began, and less than that of each exclusive lease whose attempt begins after the reader's lease
// was returned. So it is the version of the data that the reader may see. A cached copy that is
// older is stale. A resource that has seen a greater token was written to meanwhile, so what was
// read may be torn: a reader that was paused past its lease finds that out if it looks at the
// resource's token once it has read, and then reads again.
func (m *Mutex) Shared() *Mutex {
	shared := *m
	shared.shared = true
	return &shared
}

// Shared reports whether other owners may have the lock at the same time: the lease was taken by a
// mutex that [Mutex.Shared] returned.
func (le *Lease) Shared() bool { return le.held() && le.queue.shared }
