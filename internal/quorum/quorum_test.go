package quorum_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/go-redlock/redlock/internal/quorum"
	"github.com/go-redlock/redlock/internal/wire"
)

// A kind is a way in which a node answers.
type kind int

const (
	low          kind = iota // grants the lock with a token below others'
	high                     // with the greatest
	held                     // refuses: another has the lock
	heldBySecond             // refuses: a third owner has it
	refusing                 // refuses otherwise
	silent                   // does not answer before the node timeout, but executes the request
	kinds
)

// A world is one order and mix of answers, and what the nodes really have.
type world struct {
	a        quorum.Acquisition
	needed   int
	kinds    []kind
	repairs  wire.Verdict // how a Repair ends
	has      []bool       // the attempt has the lock there
	register []uint64
	pending  []int // nodes that a Repair was sent to and that have not answered it
	outcome  quorum.Outcome
}

func newWorld(mix []kind, repairs wire.Verdict) *world {
	w := &world{needed: len(mix)/2 + 1, kinds: mix, repairs: repairs, has: make([]bool, len(mix)), register: make([]uint64, len(mix))}
	w.a.Start(len(mix), w.needed, 0)
	for i := range mix {
		if n, v, more := w.a.Next(); !more || n != i || v != wire.Acquire {
			panic("step 2: not every node was asked")
		}
	}
	return w
}

// answer delivers a node's answer to Acquire.
func (w *world) answer(i int) {
	server := fmt.Sprint("run", i)
	grant := func(token uint64) {
		w.has[i], w.register[i] = true, token
		w.a.Acquired(i, wire.Reply{Verdict: wire.OK, Token: token, Server: server}, true)
	}
	switch w.kinds[i] {
	case low:
		grant(1)
	case high:
		grant(2)
	case held:
		w.a.Acquired(i, wire.Reply{Verdict: wire.Held, TTL: 1, Fingerprint: "other", Server: server}, true)
	case heldBySecond:
		w.a.Acquired(i, wire.Reply{Verdict: wire.Held, TTL: 1, Fingerprint: "second", Server: server}, true)
	case refusing:
		w.a.Acquired(i, wire.Reply{Verdict: wire.Refused, Unsent: true, Server: server}, true)
	default:
	}
}

// timeout gives up the nodes that have not answered.
func (w *world) timeout() {
	for i := range w.kinds {
		if acquire, repair := w.a.Waits(i); acquire || repair {
			w.a.GiveUp(i, wire.Reply{Verdict: wire.Unavailable})
		}
	}
}

// late delivers the late answers of silent nodes.
func (w *world) late(i int) {
	w.has[i], w.register[i] = true, 1
	w.a.Acquired(i, wire.Reply{Verdict: wire.OK, Token: 1, Server: fmt.Sprint("run", i)}, true)
}

// decide drives the acquisition as its driver does.
func (w *world) decide() {
	outcome := w.a.Decide()
	for i, v, more := w.a.Next(); more; i, v, more = w.a.Next() {
		if v == wire.Repair {
			w.pending = append(w.pending, i)
		}
	}
	switch outcome {
	case quorum.Undecided, quorum.Doubtful:
		return
	case quorum.Accepted:
		w.a.Conclude(quorum.Won)
	default:
		w.a.Conclude(quorum.Over)
	}
	w.outcome = outcome
}

// repair delivers the answers to Repairs.
func (w *world) repair() {
	for len(w.pending) > 0 {
		i := w.pending[0]
		w.pending = w.pending[1:]
		if w.repairs == wire.OK {
			w.register[i] = max(w.register[i], w.a.Token)
		}
		w.a.Repaired(i, wire.Reply{Verdict: w.repairs, Server: fmt.Sprint("run", i)}, true, wire.Reply{})
		w.decide()
	}
}

// each runs every order and mix of answers of up to five nodes, with every result of repairs, which
// come at once or last. The nodes answer in their order: since nodes are alike, all mixes cover all
// orders.
func each(t *testing.T, check func(t *testing.T, w *world)) {
	t.Helper()
	runs := 0
	for n := 1; n <= 5; n++ {
		for _, mix := range mixes(n) {
			for _, repairs := range []wire.Verdict{wire.OK, wire.Unavailable, wire.Raised} {
				for _, atOnce := range []bool{true, false} {
					if !slices.Contains(mix, low) && (repairs != wire.OK || !atOnce) {
						continue // there is nothing to repair
					}
					w := newWorld(mix, repairs)
					w.run(atOnce)
					check(t, w)
					if t.Failed() {
						t.Fatalf("answers %v, repairs %v, at once %t", mix, repairs, atOnce)
					}
					runs++
				}
			}
		}
	}
	t.Logf("%d orders and mixes", runs)
}

func (w *world) run(atOnce bool) {
	for i := range w.kinds {
		if w.kinds[i] == silent {
			continue
		}
		w.answer(i)
		w.decide()
		if atOnce {
			w.repair()
		}
	}
	w.repair()
	w.timeout()
	w.decide()
	w.repair()
}

// mixes returns all mixes of n answers.
func mixes(n int) (all [][]kind) {
	if n == 0 {
		return [][]kind{nil}
	}
	for _, rest := range mixes(n - 1) {
		for k := range kinds {
			all = append(all, append(slices.Clone(rest), k))
		}
	}
	return all
}

// "If and only if the client was able to acquire the lock in the majority of the instances", and
// the majority has accepted one token (R6, R23, R24).
func TestStep3TheLockIsAcquiredOnlyWhereAMajorityHoldsItWithTheToken(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		t.Helper()
		accepted, granted := 0, 0
		for i, has := range w.has {
			if has {
				granted++
			}
			if has && w.register[i] == w.a.Token {
				accepted++
			}
		}
		switch {
		case w.outcome == quorum.Undecided:
			t.Error("all nodes have answered, and nothing is decided")
		case w.outcome == quorum.Accepted && accepted < w.needed:
			t.Errorf("acquired with token %d, which %d of %d nodes hold", w.a.Token, accepted, len(w.has))
		case w.outcome != quorum.Accepted && granted >= w.needed && w.repairs == wire.OK && !lateHigh(w):
			t.Errorf("lost (%v), though %d of %d nodes granted it", w.outcome, granted, len(w.has))
		}
	})
}

// lateHigh reports whether a node granted a token above the chosen one, too late to be chosen.
func lateHigh(w *world) bool {
	return slices.ContainsFunc(w.register, func(r uint64) bool { return r > w.a.Token })
}

// "If the client failed to acquire the lock for some reason, it will try to unlock all the
// instances": each once, and none before its Acquire was answered (R17).
func TestStep5WhatMayHoldTheLockIsReleasedOnceAndNotBeforeItsAnswer(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		t.Helper()
		w.a.Conclude(quorum.Over)
		for i, k := range w.kinds {
			owed, _ := w.a.Release(i)
			switch {
			case k == silent && owed != quorum.NotYet:
				t.Errorf("node %d: %v, though its Acquire is under way", i, owed)
			case w.has[i] && owed != quorum.Due:
				t.Errorf("node %d: %v, though it holds the lock", i, owed)
			case (k == held || k == heldBySecond) && owed != quorum.Refused && owed != quorum.Nothing, k == refusing && owed != quorum.Nothing:
				t.Errorf("node %d: %v, though it refused", i, owed)
			}
			if again, _ := w.a.Release(i); owed == quorum.Due && again != quorum.Nothing {
				t.Errorf("node %d is released twice", i)
			}
			if k != silent {
				continue
			}
			w.late(i)
			if owed, _ := w.a.Release(i); owed != quorum.Due {
				t.Errorf("node %d: %v, though it granted the lock late", i, owed)
			}
		}
		if _, v, more := w.a.Next(); more {
			t.Errorf("%v is to be sent behind a release", v)
		}
	})
}

// A late grant belongs to the lease: the node's register is raised, so that it accepts the token
// (R6).
func TestALateLowerGrantIsRepairedAfterTheWin(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		t.Helper()
		if w.outcome != quorum.Accepted {
			return
		}
		for i, k := range w.kinds {
			if k != silent {
				continue
			}
			w.late(i)
			node, v, more := w.a.Next()
			if repaired := more && node == i && v == wire.Repair; repaired != (w.a.Token > 1) {
				t.Errorf("node %d granted 1 late, the token is %d, a Repair is to be sent: %t", i, w.a.Token, repaired)
			}
		}
		if w.a.Phase() != quorum.Won {
			t.Error("what was won is so no more")
		}
	})
}

// After the conclusion nothing is left to be sent: a Repair would come after its Release.
func TestNothingIsToBeSentOnceItIsLost(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		t.Helper()
		if _, v, more := w.a.Next(); more && w.a.Phase() == quorum.Over {
			t.Errorf("%v is to be sent", v)
		}
	})
}

// One server has one vote, whatever addresses lead to it (R22).
func TestAServerHasOneVote(t *testing.T) {
	t.Parallel()
	var a quorum.Acquisition
	a.Start(3, 2, 0)
	for i := range 3 {
		a.Acquired(i, wire.Reply{Verdict: wire.OK, Token: 1, Server: "one"}, true)
	}
	if o := a.Decide(); o != quorum.NoQuorum {
		t.Errorf("a server at three addresses: %v", o)
	}
	a.Start(3, 2, 0)
	for i, server := range []string{"before a restart", "after it", ""} {
		a.Acquired(i, wire.Reply{Verdict: wire.OK, Token: 1, Server: server, Again: i > 0}, true)
	}
	if o := a.Decide(); o != quorum.NoQuorum {
		t.Errorf("a server at three addresses, which restarts: %v", o)
	}
	for i := range 3 {
		if owed, _ := a.Release(i); owed != quorum.Due {
			t.Errorf("node %d is owed no release", i)
		}
	}
	// Two lines lead to one server, and the first one votes: either may be asked first, and may
	// answer first.
	for _, c := range []struct{ asked, order []int }{{[]int{0, 1}, []int{0, 1}}, {[]int{1, 0}, []int{1, 0}}, {[]int{1, 0}, []int{0, 1}}} {
		a.Start(3, 2, 0)
		for _, i := range append(c.order, 2) {
			if o := a.Decide(); o != quorum.Undecided {
				t.Errorf("%v, before node %d: %v", c, i, o)
			}
			a.Acquired(i, wire.Reply{Verdict: wire.OK, Token: 1, Server: fmt.Sprint(i / 2), Again: i == c.asked[1]}, i != 1)
		}
		if o := a.Decide(); o != quorum.Accepted {
			t.Errorf("%v: %v", c, o)
		}
	}
	a.Start(3, 2, 0)
	for i := range 3 {
		a.Acquired(i, wire.Reply{Verdict: wire.OK, Token: 1, Server: fmt.Sprint(i)}, i == 0)
	}
	if o := a.Decide(); o != quorum.NoQuorum {
		t.Errorf("two nodes without a vote: %v", o)
	}
	for n := 1; n <= 9; n++ {
		v := quorum.NewVote(n, n/2+1)
		for i := range n {
			if first := v.Count(quorum.Yes, fmt.Sprint("run", i/2)); first != (i%2 == 0) {
				t.Errorf("%d nodes: answer %d counts: %t", n, i, first)
			}
		}
		if v.Ayes != (n+1)/2 || v.Pending != 0 || v.Failed() != n/2 {
			t.Errorf("%d nodes: %d ayes, %d pending, %d failed", n, v.Ayes, v.Pending, v.Failed())
		}
	}
}

// A vote is decided as soon as no open answer can change it, and not before.
func TestAVoteIsDecidedAsSoonAsItIsCertain(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 5; n++ {
		q := n/2 + 1
		for ayes := 0; ayes <= n; ayes++ {
			for noes := 0; ayes+noes <= n; noes++ {
				for failed := 0; ayes+noes+failed <= n; failed++ {
					v := quorum.NewVote(n, q)
					for range ayes {
						v.Count(quorum.Yes, "")
					}
					for range noes {
						v.Count(quorum.No, "")
					}
					for range failed {
						v.Count(quorum.Neither, "")
					}
					open := n - ayes - noes - failed
					want := quorum.Open
					switch {
					case ayes >= q:
						want = quorum.Yes
					case noes >= q:
						want = quorum.No
					case ayes+open < q && noes+open < q:
						want = quorum.Neither
					}
					if got := v.Outcome(); got != want {
						t.Errorf("%d nodes, %d yes, %d no, %d failed: %v, want %v", n, ayes, noes, failed, got, want)
					}
				}
			}
		}
	}
}

// A block of tokens counts nodes that accepted the token, and have had the lock ever since, on the
// server that granted it (R10, R11).
func TestOnlyWhatAcceptedTheTokenAndKeptTheLockVouchesForABlock(t *testing.T) {
	t.Parallel()
	ok := func(server string) *wire.Reply { return &wire.Reply{Verdict: wire.OK, Server: server} }
	for name, test := range map[string]struct {
		after func(a *quorum.Acquisition)
		reply *wire.Reply
		vote  bool
		want  bool
	}{
		"the server that granted it":         {func(*quorum.Acquisition) {}, ok("0"), true, true},
		"another server":                     {func(*quorum.Acquisition) {}, ok("9"), true, false},
		"a node without a vote":              {func(*quorum.Acquisition) {}, ok("0"), false, false},
		"a no":                               {func(*quorum.Acquisition) {}, &wire.Reply{Verdict: wire.Raised, Server: "0"}, true, false},
		"after an extension":                 {func(a *quorum.Acquisition) { a.Extended(0, wire.Extend, ok("0")) }, ok("0"), true, true},
		"after another server's extension":   {func(a *quorum.Acquisition) { a.Extended(0, wire.Extend, ok("9")) }, ok("0"), true, false},
		"after it was won back by a renewal": {wonBack, ok("0"), true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var a quorum.Acquisition
			a.Start(1, 1, 0)
			a.Acquired(0, wire.Reply{Verdict: wire.OK, Token: 7, Server: "0"}, true)
			if o := a.Decide(); o != quorum.Accepted {
				t.Fatal(o)
			}
			test.after(&a)
			if got := a.Vouches(0, test.reply, test.vote); got != test.want {
				t.Errorf("it vouches: %t", got)
			}
		})
	}
}

// wonBack makes node 0 lose the lock, and a renewal win it back.
func wonBack(a *quorum.Acquisition) {
	a.Extended(0, wire.Extend, &wire.Reply{Verdict: wire.Gone, Server: "0"})
	if a.Extend(0, false) != wire.Extend || a.Extend(0, true) != wire.Rejoin {
		panic("only a renewal wins a node back")
	}
	a.Extended(0, wire.Rejoin, &wire.Reply{Verdict: wire.OK, Server: "0"})
}

// A node that refused the lock is asked for it again only where no renewal takes it, or may have
// taken it: of two such requests under way, the second could take the lock after its release.
func TestANodeThatARenewalWinsBackIsNotAskedAgain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer *wire.Reply // to the renewal's request
		want   bool
	}{
		"before it answers":  {nil, false},
		"it has the lock":    {&wire.Reply{Verdict: wire.OK, Server: "2"}, false},
		"it does not answer": {&wire.Reply{Verdict: wire.Unavailable}, false},
		"it refuses again":   {&wire.Reply{Verdict: wire.Held, Server: "2"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var a quorum.Acquisition
			a.Start(3, 2, 0)
			for i, verdict := range []wire.Verdict{wire.OK, wire.OK, wire.Held} {
				a.Next()
				a.Acquired(i, wire.Reply{Verdict: verdict, Token: 7, Server: fmt.Sprint(i)}, true)
			}
			if o := a.Decide(); o != quorum.Accepted {
				t.Fatal(o)
			}
			a.Conclude(quorum.Won)
			a.Extended(2, wire.Extend, &wire.Reply{Verdict: wire.Gone, Server: "2"})
			if a.Extend(2, true) != wire.Rejoin {
				t.Fatal("the renewal does not win the node back")
			}
			if test.answer != nil {
				a.Extended(2, wire.Rejoin, test.answer)
			}
			if got := a.AskAgain(2); got != test.want {
				t.Errorf("it is asked again: %t", got)
			}
		})
	}
}
