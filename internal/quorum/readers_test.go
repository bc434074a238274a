package quorum_test

import (
	"testing"

	"github.com/go-redlock/redlock/internal/quorum"
	"github.com/go-redlock/redlock/internal/wire"
)

// split returns an acquisition of five nodes. Two have granted it, the other reports that owner on
// two of them, and one does not answer.
func split(other string) *quorum.Acquisition {
	var a quorum.Acquisition
	a.Start(5, 3, 0)
	for i := range 2 {
		a.Acquired(i, wire.Reply{Verdict: wire.OK, Token: 1}, true)
	}
	for i := 2; i < 4; i++ {
		a.Acquired(i, wire.Reply{Verdict: wire.Held, TTL: 1, Fingerprint: other}, true)
	}
	a.Acquired(4, wire.Reply{Verdict: wire.Unavailable}, true)
	return &a
}

// All readers have one fingerprint, by which a writer sees them and they see themselves: so both
// sides of a split vote see the same order.
func TestOneOfAWriterAndTheReadersInsistsOnASplitVote(t *testing.T) {
	t.Parallel()
	const readers = "5"
	for _, writer := range []string{"1", "9"} {
		if w, r := split(readers).First(writer), split(writer).First(readers); w == r || w != (writer < readers) {
			t.Errorf("writer %s insists: %t, readers %s: %t", writer, w, readers, r)
		}
	}
}

// A reader that is refused where readers have the lock is kept out for a writer: to ask again is of
// no use.
func TestAReaderThatIsKeptOutDoesNotInsist(t *testing.T) {
	t.Parallel()
	const readers = "5"
	if a := split(readers); a.Decide() != quorum.Contested || a.First(readers) {
		t.Error("it insists")
	}
}
