package quorum_test

import (
	"fmt"
	"testing"

	"github.com/go-redlock/redlock/internal/quorum"
	"github.com/go-redlock/redlock/internal/wire"
)

// A choice is a node's answer to a request for any of two slots.
type choice int

const (
	first        choice = iota // grants slot 0, with a low token
	firstHigh                  // with a high one
	second                     // grants slot 1
	full                       // refuses: no slot is free
	lost                       // grants slot 1, and its answer is lost
	lateSecond                 // its answer, of slot 1, comes after the decision
	choices      = 6
	other        = "other" // the fingerprint of another owner
	slots, nodes = 2, 5
)

// A hall is an acquisition of any slot, and what the nodes really have.
type hall struct {
	t      *testing.T
	a      quorum.Acquisition
	mix    [nodes]choice
	again  wire.Verdict // the result of a request for the slot that was won
	has    [nodes][slots]bool
	tokens [nodes][slots]uint64
	strays [nodes]int
}

func (h *hall) answer(i int) {
	grant := func(slot int, token uint64) {
		h.has[i][slot], h.tokens[i][slot] = true, token
		if h.mix[i] == lost {
			h.a.Acquired(i, wire.Reply{Verdict: wire.Unavailable}, true)
			return
		}
		h.a.Acquired(i, wire.Reply{Verdict: wire.OK, Slot: uint8(slot), Free: "11"[slot:] + "01"[:slot], Token: token, Server: fmt.Sprint(i)}, true)
	}
	switch h.mix[i] {
	case first:
		grant(0, 1)
	case firstHigh:
		grant(0, 2)
	case second, lost, lateSecond:
		grant(1, 1)
	case full:
		h.a.Acquired(i, wire.Reply{Verdict: wire.Held, TTL: 1, Fingerprint: other, Server: fmt.Sprint(i)}, true)
	default:
	}
	h.drive()
}

// drive does what the driver of an acquisition does after each answer.
func (h *hall) drive() {
	switch h.a.Decide() {
	case quorum.Undecided, quorum.Doubtful:
	case quorum.Accepted:
		h.a.Conclude(quorum.Won)
	case quorum.Contested:
		h.t.Fatal("an acquisition of any slot insists")
	default:
		h.a.Conclude(quorum.Over)
	}
	for {
		for i, slot, more := h.a.Stray(); more; i, slot, more = h.a.Stray() {
			if !h.has[i][slot] || slot == h.a.Slot {
				h.t.Fatalf("slot %d of node %d is no stray", slot, i)
			}
			h.has[i][slot] = false
			h.strays[i]++
		}
		i, v, more := h.a.Next()
		switch {
		case !more:
			return
		case v == wire.Repair:
			h.tokens[i][h.a.Slot] = h.a.Token
			h.a.Repaired(i, wire.Reply{Verdict: wire.OK, Server: fmt.Sprint(i)}, true, wire.Reply{})
		case h.again == wire.OK:
			h.has[i][h.a.Slot], h.tokens[i][h.a.Slot] = true, h.a.Token
			h.a.Acquired(i, wire.Reply{Verdict: wire.OK, Token: h.a.Token, Server: fmt.Sprint(i)}, true)
		default:
			h.a.Acquired(i, wire.Reply{Verdict: wire.Held, TTL: 1, Fingerprint: other, Server: fmt.Sprint(i)}, true)
		}
		if h.a.Phase() == quorum.Asking && h.a.Decide() == quorum.Accepted {
			h.a.Conclude(quorum.Won)
		}
	}
}

// eachHall runs every mix of answers, in the order of the nodes.
func eachHall(t *testing.T, check func(h *hall)) {
	t.Helper()
	for number := range choices * choices * choices * choices * choices {
		for _, again := range []wire.Verdict{wire.OK, wire.Held} {
			h := &hall{t: t, again: again}
			for i, rest := 0, number; i < nodes; i, rest = i+1, rest/choices {
				h.mix[i] = choice(rest % choices)
			}
			h.a.StartAny(nodes, nodes/2+1, 0)
			for range nodes {
				h.a.Next()
			}
			for i := range nodes {
				if h.mix[i] != lateSecond {
					h.answer(i)
				}
			}
			if h.a.Phase() == quorum.Asking { // the node timeout is over
				for i := range nodes {
					if acquire, _ := h.a.Waits(i); acquire {
						h.a.GiveUp(i, wire.Reply{Verdict: wire.Unavailable})
					}
				}
				h.drive()
			}
			if check(h); t.Failed() {
				t.Fatalf("answers %v, again %v", h.mix, again)
			}
		}
	}
}

// The rule R29, and its converse: an attempt that could have a permit gets it.
func TestAPermitIsAMajorityForOneAndTheSameSlot(t *testing.T) {
	t.Parallel()
	eachHall(t, func(h *hall) {
		var answered [slots]int // nodes that granted the slot, and answered in time
		for i, c := range h.mix {
			switch c {
			case first, firstHigh:
				answered[0]++
			case second:
				answered[1]++
			default:
			}
			_ = i
		}
		won := h.a.Phase() == quorum.Won
		if could := max(answered[0], answered[1]) > nodes/2; won != could {
			t.Errorf("won: %t; there is a majority: %t", won, could)
		}
		if !won {
			return
		}
		with := 0
		for i := range nodes {
			if h.has[i][h.a.Slot] && h.tokens[i][h.a.Slot] == h.a.Token {
				with++
			}
		}
		if with <= nodes/2 {
			t.Errorf("%d nodes have slot %d with the token", with, h.a.Slot)
		}
	})
}

func TestWhatIsGrantedOfAnotherSlotIsGivenBackOnceAndTheNodeIsAskedAgain(t *testing.T) {
	t.Parallel()
	eachHall(t, func(h *hall) {
		if h.a.Phase() != quorum.Won {
			return
		}
		for i := range nodes { // also what is granted late
			if h.mix[i] == lateSecond {
				h.answer(i)
			}
		}
		for i, c := range h.mix {
			stray := c != full && c != lost && (c == second || c == lateSecond) == (h.a.Slot == 0)
			if want := map[bool]int{true: 1}[stray]; h.strays[i] != want {
				t.Errorf("node %d: %d strays, want %d", i, h.strays[i], want)
			}
			if h.has[i][1-h.a.Slot] && h.mix[i] != lost {
				t.Errorf("node %d still has the other slot", i)
			}
			if stray && h.has[i][h.a.Slot] != (h.again == wire.OK) {
				t.Errorf("node %d was not asked again", i)
			}
		}
	})
}

func TestWhateverSlotANodeMayHaveIsReleased(t *testing.T) {
	t.Parallel()
	eachHall(t, func(h *hall) {
		for i, c := range h.mix {
			if c != lost || h.a.Phase() != quorum.Won {
				continue
			}
			// A renewal takes the slot that was won where the node has another, and its answer was
			// lost.
			h.a.Extended(i, wire.Extend, &wire.Reply{Verdict: wire.Gone, Server: fmt.Sprint(i)})
			if h.a.Extend(i, true) != wire.Rejoin {
				t.Fatalf("node %d is not won back", i)
			}
			h.has[i][h.a.Slot] = true
			h.a.Extended(i, wire.Rejoin, &wire.Reply{Verdict: wire.OK, Server: fmt.Sprint(i)})
		}
		h.a.Conclude(quorum.Over)
		release := func(i int) {
			owed, _ := h.a.Release(i)
			switch {
			case owed != quorum.Due && owed != quorum.NotYet && h.has[i] != [slots]bool{}:
				t.Errorf("node %d keeps what it has", i)
			case owed == quorum.Due && h.a.Has(i):
				h.has[i][h.a.Slot] = false
			case owed == quorum.Due:
				h.has[i] = [slots]bool{}
			}
		}
		for i := range nodes {
			release(i)
			if h.mix[i] == lateSecond {
				h.answer(i)
				release(i)
			}
			if h.has[i] != [slots]bool{} {
				t.Errorf("node %d still has %v", i, h.has[i])
			}
		}
	})
}

func TestTheVacantSlotIsTheOneThatIsFreeOnTheMostNodes(t *testing.T) {
	t.Parallel()
	// Slots 0, 1 and 2 are held by bare majorities, and slot 3 is free everywhere.
	var a quorum.Acquisition
	a.StartAny(5, 3, 0)
	for i, reply := range []wire.Reply{{Slot: 1, Free: "0111"}, {Slot: 2, Free: "0011"}, {Slot: 3, Free: "0001"}, {Slot: 0, Free: "1001"}, {Slot: 0, Free: "1101"}} {
		reply.Verdict, reply.Server = wire.OK, fmt.Sprint(i)
		a.Acquired(i, reply, true)
	}
	if outcome := a.Decide(); outcome != quorum.Outvoted {
		t.Fatalf("outcome %v", outcome)
	}
	if s := a.Standing(); !s.Vacant || s.Slot != 3 || s.Owned || s.Held != 3 || s.Granted != 2 {
		t.Errorf("%+v", s)
	}
}

func TestAFullSemaphoreIsHeldUnlessAnotherSlotMayBeContested(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		slot  uint8
		free  string
		owned bool
	}{
		{0, "1000", true}, // one node has forgotten the owner that the others report
		{3, "0001", false},
		{0, "", true},
	} {
		var a quorum.Acquisition
		a.StartAny(3, 2, 0)
		refusal := wire.Reply{Verdict: wire.Held, TTL: 1, Fingerprint: other}
		a.Acquired(0, refusal, true)
		a.Acquired(1, refusal, true)
		if c.free == "" {
			a.Acquired(2, refusal, true)
		} else {
			a.Acquired(2, wire.Reply{Verdict: wire.OK, Slot: c.slot, Free: c.free}, true)
		}
		if outcome := a.Decide(); outcome != quorum.Outvoted {
			t.Fatalf("outcome %v", outcome)
		}
		if s := a.Standing(); s.Owned != c.owned {
			t.Errorf("slot %d: %+v", c.slot, s)
		}
	}
}

// A late answer may show that a node has another slot than the one that was won. If a renewal takes
// the slot that was won there, or may have taken it, the node is not asked for it too.
func TestAStrayIsNotAskedForTheSlotThatARenewalTakes(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]*wire.Reply{ // to the renewal's request
		"before it answers":  nil,
		"it does not answer": {Verdict: wire.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var a quorum.Acquisition
			a.StartAny(5, 3, 0)
			for range 5 {
				a.Next()
			}
			slot := func(n uint8, server string, again bool) wire.Reply {
				return wire.Reply{Verdict: wire.OK, Slot: n, Free: "11", Token: 7, Server: server, Again: again}
			}
			// over line 4 the server has taken slot 1 before
			a.Acquired(3, slot(1, "3", true), true)
			for i := range 3 {
				a.Acquired(i, slot(0, fmt.Sprint(i), false), true)
			}
			if o := a.Decide(); o != quorum.Accepted || a.Slot != 0 {
				t.Fatal(o, a.Slot)
			}
			a.Conclude(quorum.Won)
			a.Extended(3, wire.Extend, &wire.Reply{Verdict: wire.Gone, Server: "3"})
			if a.Extend(3, true) != wire.Rejoin {
				t.Fatal("the renewal does not win the node back")
			}
			if answer != nil {
				a.Extended(3, wire.Rejoin, answer)
			}
			a.Acquired(4, slot(1, "3", false), false) // which counts for line 3
			if i, _, more := a.Stray(); more {
				t.Errorf("node %d is asked too", i)
			}
		})
	}
}
