package wire

import "strings"

const (
	// SharedValue begins the value of a lock that is shared, and is all of it unless a waiter keeps
	// further readers out: then "<until>.<place>.<ticket>" follows, in ms by the node's clock, and
	// in us.
	SharedValue = "S:redlock:"

	// InboxPrefix begins the names of inboxes.
	InboxPrefix = "redlock:inbox:"
	// readersPrefix begins the names of those of readers. Others go on with a hexadecimal digit.
	readersPrefix = InboxPrefix + "r"
)

// ReadersKey returns the key of those who share the lock with that lock key, which is one of a
// lock.
func ReadersKey(lock string) string {
	if tagged(lock) {
		return lock + ":" + readersSuffix
	}
	return "{" + lock + "}" + readersSuffix
}

// ReadersInbox returns the inbox for readers of the process with that inbox.
func ReadersInbox(inbox string) string {
	return readersPrefix + strings.TrimPrefix(inbox, InboxPrefix)
}

// OfReaders reports whether it is an inbox for readers.
func OfReaders(inbox string) bool { return strings.HasPrefix(inbox, readersPrefix) }
