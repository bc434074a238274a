package election_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/election"
	"github.com/go-redlock/redlock/redlocktest"
)

func TestLeaderTellsTheTokenThatTheLeaderHas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, r := redlocktest.New(t, 5), &record{}
		e := election.New(q.Locker(), name)
		if leader, err := e.Leader(t.Context()); leader != (election.Leader{}) || err != nil {
			t.Errorf("before anyone campaigns %+v leads, %v", leader, err)
		}
		stop := campaign(t.Context(), election.New(q.Locker(), name, redlock.WithHolder("ann")), r.lead("ann"))
		synctest.Wait()
		leader, err := e.Leader(t.Context())
		if err != nil || len(leader.Owner) != 16 || leader.Left != redlock.DefaultTTL || leader.Holder != "ann" || leader.Fence != r.tokens()[0] {
			t.Errorf("%+v leads, %v; its token is %d", leader, err, r.tokens())
		}
		// even if failed attempts have taken tokens meanwhile
		q.Restart(4)
		_, _ = q.Locker().TryLock(t.Context(), name)
		if leader, err := e.Leader(t.Context()); err != nil || leader.Fence != r.tokens()[0] {
			t.Errorf("%+v leads, %v; its token is %d", leader, err, r.tokens())
		}
		_ = stop()
	})
}

func TestObserveYieldsEachLeaderAndEachVacancy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, r := redlocktest.New(t, 5), &record{}
		_, stop := observed(t.Context(), election.New(q.Locker(), name))
		time.Sleep(time.Minute)
		for _, who := range []string{"ann", "bob", "ann"} {
			leader := campaign(t.Context(), election.New(q.Locker(), name, redlock.WithHolder(who)), r.lead(who))
			time.Sleep(time.Minute)
			_ = leader()
			time.Sleep(time.Minute)
		}
		words := stop()
		if got := holders(words); !slices.Equal(got, []string{"", "ann", "", "bob", "", "ann", ""}) {
			t.Errorf("it was told %q", got)
		}
		var tokens []uint64
		for _, w := range words {
			if w.err != nil {
				t.Error(w.err)
			}
			if w.leader.Owner != "" {
				tokens = append(tokens, w.leader.Fence)
			} else if w.leader != (election.Leader{}) {
				t.Errorf("a vacancy is told as %+v", w.leader)
			}
		}
		if !slices.Equal(tokens, r.tokens()) {
			t.Errorf("the tokens are %d, not %d", tokens, r.tokens())
		}
	})
}

// Terms and vacancies have any length, and may be too short to be seen.
func TestWhatObserveYieldsIsASubsequenceOfWhatWas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		q, r := redlocktest.New(t, 5), &record{}
		lockers := []*redlock.Locker{q.Locker(), q.Locker(), q.Locker()}
		_, stop := observed(t.Context(), election.New(q.Locker(), name))
		was := []uint64{0} // tokens; 0 for a vacancy
		for range 200 {
			leader := campaign(t.Context(), election.New(lockers[random.IntN(3)], name), r.lead(""))
			time.Sleep(1 + upTo(random, time.Duration(1)<<random.IntN(35)))
			_ = leader()
			was = append(was, r.tokens()[len(r.tokens())-1], 0)
			time.Sleep(1 + upTo(random, time.Duration(1)<<random.IntN(35)))
		}
		words := stop()
		rest := was
		for _, w := range words {
			i := slices.Index(rest, w.leader.Fence)
			if i < 0 || w.err != nil {
				t.Fatalf("after %d others it was told %+v, %v", len(was)-len(rest), w.leader, w.err)
			}
			rest = rest[i+1:]
		}
		t.Logf("%d of %d were seen", len(words), len(was))
		if len(words) < 6 {
			t.Error("it was told too little")
		}
	})
}

// Without a quorum the leader is unknown. That is reported, and it is not a vacancy.
func TestALostQuorumIsNoVacancy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, r := redlocktest.New(t, 5), &record{}
		leader := campaign(t.Context(), election.New(q.Locker(), name, redlock.WithHolder("ann")), r.lead("ann"))
		synctest.Wait()
		e := election.New(q.Locker(), name)
		so, stop := observed(t.Context(), e)
		time.Sleep(time.Minute)
		for i := range 3 {
			q.Freeze(i)
		}
		time.Sleep(redlock.DefaultTTL / 5)
		if got := holders(so()); !slices.Equal(got, []string{"ann"}) {
			t.Errorf("while the term of the leader lasts it is told %q", got)
		}
		time.Sleep(5 * time.Minute)
		if got := holders(so()); !slices.Equal(got, []string{"ann", "?"}) {
			t.Errorf("it is told %q", got)
		}
		if now, err := e.Leader(t.Context()); now != (election.Leader{}) || !errors.Is(err, redlock.ErrNoQuorum) {
			t.Errorf("Leader: %+v, %v", now, err)
		}
		for i := range 3 {
			q.Thaw(i)
		}
		time.Sleep(time.Minute)
		if got := holders(stop()); !slices.Equal(got, []string{"ann", "?", "ann"}) && !slices.Equal(got, []string{"ann", "?", "", "ann"}) {
			t.Errorf("it is told %q", got)
		}
		_ = leader()
	})
}

// An observer that starts without a quorum gets the error at once. A short loss of the quorum is
// not reported while the leader's term lasts.
func TestAnObserverIsToldOfALostQuorumIfItNeedsToKnow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, r := redlocktest.New(t, 5), &record{}
		for i := range 3 {
			q.Freeze(i)
		}
		so, stop := observed(t.Context(), election.New(q.Locker(), name))
		time.Sleep(time.Second)
		if got := holders(so()); !slices.Equal(got, []string{"?"}) {
			t.Errorf("it is told %q", got)
		}
		for i := range 3 {
			q.Thaw(i)
		}
		leader := campaign(t.Context(), election.New(q.Locker(), name, redlock.WithHolder("ann")), r.lead("ann"))
		for range 20 { // so that it asks during one of the losses
			time.Sleep(time.Minute)
			for i := range 3 {
				q.Freeze(i)
			}
			time.Sleep(redlock.DefaultTTL / 5)
			for i := range 3 {
				q.Thaw(i)
			}
		}
		time.Sleep(time.Minute)
		if got := slices.Compact(holders(stop())); got[len(got)-1] != "ann" || len(got) > 3 {
			t.Errorf("it is told %q", got)
		}
		_ = leader()
	})
}

// Four of five nodes answer, which is a quorum. But the leader's lock is on two of them, and may be
// on the fifth.
func TestNodesThatDoNotAnswerMayBeTheLeaders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, r := redlocktest.New(t, 5), &record{}
		leader := campaign(t.Context(), election.New(q.Locker(), name), r.lead("ann"))
		synctest.Wait()
		e := election.New(q.Locker(), name)
		q.Restart(0)
		q.Restart(1)
		q.Freeze(2)
		_, err := e.Leader(t.Context())
		if !errors.Is(err, redlock.ErrNoQuorum) || !strings.Contains(err.Error(), q.Nodes()[2].Addr()+": ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("Leader says %v", err)
		}
		q.Thaw(2)
		if now, err := e.Leader(t.Context()); err != nil || now.Owner == "" {
			t.Errorf("%+v leads, %v", now, err)
		}
		_ = leader()
		q.Freeze(2)
		if now, err := e.Leader(t.Context()); err != nil || now.Owner != "" {
			t.Errorf("after the leader has resigned %+v leads, %v", now, err)
		}
		q.Thaw(2)
	})
}

func TestObserveEndsWithItsContextItsLoopAndItsLocker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := redlocktest.New(t, 3)
		locks := q.Locker()
		e := election.New(locks, name)
		for range e.Observe(t.Context()) {
			break
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		n := 0
		for leader, err := range e.Observe(ctx) {
			if n++; leader.Owner != "" || err != nil {
				t.Errorf("it yields %+v, %v", leader, err)
			}
		}
		if n != 1 {
			t.Errorf("it has yielded %d times", n)
		}
		time.AfterFunc(time.Minute, func() { _ = locks.Close(context.Background()) })
		var last error
		for _, err := range e.Observe(t.Context()) {
			last = err
		}
		if !errors.Is(last, redlock.ErrClosed) {
			t.Errorf("at the end it yields %v", last)
		}
	})
}

// After a rolling restart of masters that keep nothing the leader still leads, but no quorum knows
// its token. That is no change of the leader.
func TestALeaderIsNotToldAgainWhereTheNodesHaveLostItsToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, r := redlocktest.New(t, 5), &record{}
		e := election.New(q.Locker(), name)
		leader := campaign(t.Context(), election.New(q.Locker(), name, redlock.WithHolder("ann")), r.lead("ann"))
		synctest.Wait()
		_, stop := observed(t.Context(), e)
		for i := range 5 {
			q.Restart(i)
			time.Sleep(redlock.DefaultTTL)
		}
		if now, err := e.Leader(t.Context()); err != nil || now.Holder != "ann" || now.Fence != 0 {
			t.Errorf("%+v leads, %v", now, err)
		}
		if words := stop(); len(words) != 1 || words[0].leader.Fence != r.tokens()[0] {
			t.Errorf("it was told %+v", words)
		}
		_ = leader()
	})
}
