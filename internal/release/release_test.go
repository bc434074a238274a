package release_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/dispatch"
	"github.com/go-redlock/redlock/internal/memnode"
	"github.com/go-redlock/redlock/internal/quorum"
	"github.com/go-redlock/redlock/internal/release"
	"github.com/go-redlock/redlock/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	ms      = time.Millisecond
	timeout = 80 * ms          // of the node
	life    = 10 * time.Second // of a key
	most    = 32768            // releases that may wait
)

var (
	ok          = wire.Reply{Verdict: wire.OK}
	gone        = wire.Reply{Verdict: wire.Gone}
	unavailable = wire.Reply{Verdict: wire.Unavailable, Err: errors.New("i/o timeout")}
	refused     = wire.Reply{Verdict: wire.Refused, Err: errors.New("NOPERM")}
)

// A node answers releases as the test says, and records when it got them.
type node struct {
	*memnode.Node
	began time.Time

	mu    sync.Mutex
	says  wire.Reply
	locks map[string]wire.Reply // its answer for one lock
	times []time.Duration
	holds []time.Duration // the rest of a minimum hold
}

func (n *node) Do(ctx context.Context, calls []wire.Call) {
	n.Node.Do(ctx, calls)
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range calls {
		r := calls[i].Request
		if r.Verb != wire.Release {
			continue
		}
		n.times, n.holds = append(n.times, time.Since(n.began)), append(n.holds, r.TTL)
		calls[i].Reply = n.says
		if reply, own := n.locks[r.Lock]; own {
			calls[i].Reply = reply
		}
	}
}

// say sets the node's answer, for these locks or for all others.
func (n *node) say(reply wire.Reply, locks ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range locks {
		n.locks[l] = reply
	}
	if len(locks) == 0 {
		n.says = reply
	}
}

// sent returns when the node got releases, and which minimum hold they left.
func (n *node) sent() (times, holds []time.Duration) {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.times), slices.Clone(n.holds)
}

func (n *node) count() int {
	times, _ := n.sent()
	return len(times)
}

// A scene is a node with its backlog, and the owner of the locks that are released.
type scene struct {
	*release.Backlog
	node       *node
	dispatcher *dispatch.Dispatcher

	mu        sync.Mutex
	confirmed int
	answers   int
	gaveUp    []error
}

// told returns how many confirmations and how many answers the owner got.
func (s *scene) told() (confirmed, answers int) {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.confirmed, s.answers
}

// Released implements release.Owner.
func (s *scene) Released(_ int, _ wire.Reply, confirmed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers++
	if confirmed {
		s.confirmed++
	}
}

// play runs a test in virtual time.
func play(t *testing.T, test func(*testing.T, *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &scene{node: &node{Node: memnode.New("node"), began: time.Now(), says: ok, locks: make(map[string]wire.Reply)}}
		s.dispatcher = dispatch.New([]wire.Node{s.node}, dispatch.Hooks{
			Full: func(int) bool { return s.Full() }, Alive: func(int) { s.Settle() }, Duplicate: func(int, int) {},
			Heard: func(int, wire.Verb, *wire.Reply, time.Duration, time.Time) {},
		})
		s.Backlog = release.New(s.dispatcher.Lines()[0], &s.dispatcher.Group, clock.System{}, func(why error) {
			if !s.Full() {
				s.Settle() // would hang if a mutex of the backlog were held
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.gaveUp = append(s.gaveUp, why)
		})
		test(t, s)
		s.Close()
		s.dispatcher.Drain(nil)
		s.dispatcher.Retire()
		s.dispatcher.Join()
	})
}

// pending returns the release of a lock whose key lasts for its life.
func (s *scene) pending(lock string) *release.Pending {
	return &release.Pending{
		Attempt: &release.Attempt{Owner: s, Until: clock.IO().Add(life), Timeout: timeout},
		Backlog: s.Backlog, Request: &wire.Request{Verb: wire.Release, Lock: lock},
	}
}

// release sends it.
func (s *scene) release(lock string) { s.pending(lock).Send(clock.IO(), false) }

// want checks how many releases are under way, and how many were given up.
func (s *scene) want(t *testing.T, pending int, dropped, refused uint64) {
	t.Helper()
	synctest.Wait()
	if n := s.dispatcher.Pending(); n != pending || s.Dropped() != dropped || s.Refused() != refused {
		t.Errorf("%d under way, %d dropped, %d refused; want %d, %d, %d", n, s.Dropped(), s.Refused(), pending, dropped, refused)
	}
}

// With pauses that grow to a second.
func TestAReleaseIsSentUntilTheNodeConfirmsIt(t *testing.T) {
	t.Parallel()
	play(t, func(t *testing.T, s *scene) {
		s.node.say(unavailable)
		s.release("a")
		time.Sleep(4 * time.Second)
		want := []time.Duration{0, 20 * ms, 60 * ms, 140 * ms, 300 * ms, 620 * ms, 1260 * ms, 2260 * ms, 3260 * ms}
		if got, _ := s.node.sent(); !slices.Equal(got, want) {
			t.Errorf("it was sent at %v, not %v", got, want)
		}
		s.want(t, 1, 0, 0)
		s.node.say(ok)
		time.Sleep(time.Hour)
		if confirmed, answers := s.told(); s.node.count() != len(want)+1 || answers != len(want)+1 || confirmed != 1 {
			t.Errorf("it was sent %d times; of %d answers %d confirm it", s.node.count(), answers, confirmed)
		}
		s.want(t, 0, 0, 0)
	})
}

func TestAllThatWaitsIsSentOnceTheNodeAnswersAnything(t *testing.T) {
	t.Parallel()
	play(t, func(t *testing.T, s *scene) {
		s.node.say(unavailable)
		for i := range 100 {
			s.release(fmt.Sprint("a", i))
		}
		time.Sleep(5*time.Second + ms) // shortly after a probe
		s.want(t, 100, 0, 0)
		s.node.say(ok)
		s.release("another")
		s.want(t, 0, 0, 0)
		if confirmed, _ := s.told(); confirmed != 101 {
			t.Errorf("%d of 101 are confirmed", confirmed)
		}

		time.Sleep(time.Second)
		s.node.say(unavailable) // the pauses begin anew
		before := s.node.count()
		s.release("one more")
		time.Sleep(20 * ms)
		if n := s.node.count() - before; n != 2 {
			t.Errorf("the next was sent %d times in 20 ms", n)
		}
	})
}

// The probe may be the only release that waits.
func TestAnAnsweredProbeResetsThePause(t *testing.T) {
	t.Parallel()
	for name, says := range map[string]wire.Reply{"unanswered": unavailable, "refused": refused} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, func(t *testing.T, s *scene) {
				s.node.say(says)
				s.release("a")
				time.Sleep(4 * time.Second)
				s.node.say(ok)
				time.Sleep(time.Second)
				s.want(t, 0, 0, 0)

				s.node.say(says)
				before := s.node.count()
				s.release("b")
				time.Sleep(20 * ms)
				if n := s.node.count() - before; n != 2 {
					t.Errorf("the next release was sent %d times in 20 ms, not twice", n)
				}
			})
		})
	}
}

// A timer that was set with the old pause does not delay the next probe.
func TestAnAnswerResetsThePauseOfARunningTimer(t *testing.T) {
	t.Parallel()
	play(t, func(t *testing.T, s *scene) {
		s.node.say(unavailable)
		s.release("a")
		time.Sleep(4 * time.Second) // the next probe is due at 4.26 s
		s.node.say(ok, "b")
		began := time.Since(s.node.began)
		before := s.node.count()
		s.release("b")
		time.Sleep(60 * ms)
		got, _ := s.node.sent()
		// b; then a, with new pauses
		want := []time.Duration{began, began, began + 20*ms, began + 60*ms}
		if !slices.Equal(got[before:], want) {
			t.Errorf("releases were sent at %v, not %v", got[before:], want)
		}
	})
}

func TestARefusedReleaseIsAskedForAgainWhileItsKeyMayLastAndThenCounted(t *testing.T) {
	t.Parallel()
	play(t, func(t *testing.T, s *scene) {
		s.node.say(refused)
		s.release("a")
		time.Sleep(life - ms)
		if n := s.node.count(); n < 12 {
			t.Errorf("it was sent %d times while its key lasted", n)
		}
		s.want(t, 1, 0, 0)
		time.Sleep(time.Second)
		s.want(t, 0, 0, 1)
		if len(s.gaveUp) != 1 || !errors.Is(s.gaveUp[0], refused.Err) {
			t.Errorf("given up: %v", s.gaveUp)
		}
		before := s.node.count()
		time.Sleep(time.Hour)
		if n := s.node.count() - before; n != 0 {
			t.Errorf("it was sent %d times more", n)
		}
	})
}

// Other answers of the node say nothing about its permissions.
func TestRefusedReleasesFollowOneOfThemThatIsTaken(t *testing.T) {
	t.Parallel()
	play(t, func(t *testing.T, s *scene) {
		s.node.say(refused, "a", "b", "c")
		for _, lock := range []string{"a", "b", "c"} {
			s.release(lock)
		}
		time.Sleep(5 * time.Second)
		before := s.node.count()
		s.node.say(ok, "a", "b", "c")
		s.release("another")
		if n := s.node.count() - before; n != 1 {
			t.Errorf("%d releases were sent where another was taken", n)
		}
		time.Sleep(time.Second)
		s.want(t, 0, 0, 0)
		if confirmed, _ := s.told(); s.node.count()-before != 4 || confirmed != 4 {
			t.Errorf("%d releases were sent, and %d confirmed", s.node.count()-before, confirmed)
		}
	})
}

// A key that has expired needs no release, and nothing is reported.
func TestReleasesThatWereNeverAnsweredAreForgottenWithTheirKeys(t *testing.T) {
	t.Parallel()
	play(t, func(t *testing.T, s *scene) {
		s.node.say(unavailable)
		for i := range 100 {
			s.release(fmt.Sprint("a", i))
		}
		time.Sleep(life - time.Second)
		s.want(t, 100, 0, 0)
		time.Sleep(2 * time.Second)
		s.want(t, 0, 0, 0)
		late := s.pending("late")
		late.Until = clock.IO()
		late.Send(clock.IO(), false)
		s.want(t, 0, 0, 0)
		if len(s.gaveUp) != 0 {
			t.Errorf("given up: %v", s.gaveUp)
		}
	})
}

// The key's last request was refused: hardly anything is owed.
func TestARefusedReleaseOfARefusedRequestIsNotAskedForAgain(t *testing.T) {
	t.Parallel()
	play(t, func(t *testing.T, s *scene) {
		s.node.say(refused)
		p := s.pending("a")
		p.Trace.Refused = true
		p.Send(clock.IO(), false)
		s.want(t, 0, 0, 0)
	})
}

func TestMoreReleasesThanMayWaitAreDroppedAndCounted(t *testing.T) {
	t.Parallel()
	play(t, func(t *testing.T, s *scene) {
		s.node.say(unavailable)
		for i := range most {
			if s.Full() {
				t.Fatalf("it is full with %d", i)
			}
			p := s.pending("a")
			p.Answered(0, p.Request, unavailable)
		}
		s.want(t, most, 0, 0)
		for range 3 {
			p := s.pending("a")
			p.Answered(0, p.Request, unavailable)
		}
		s.want(t, most, 3, 0)
		if !s.Full() || len(s.gaveUp) != 3 || errors.Join(s.gaveUp...) != nil {
			t.Errorf("full: %t; given up: %v", s.Full(), s.gaveUp)
		}
	})
}

// A request that takes the lock may be executed after a release that was sent later. So the first
// answer that nothing is left is not final.
func TestARepeatComesOneNodeTimeoutLater(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		trace quorum.Trace
		says  wire.Reply
		times []time.Duration
	}{
		"all was answered, ok":             {quorum.Trace{}, ok, []time.Duration{0}},
		"all was answered, gone":           {quorum.Trace{}, gone, []time.Duration{0}},
		"all was answered, won back, ok":   {quorum.Trace{Rejoined: true}, ok, []time.Duration{0}},
		"all was answered, won back, gone": {quorum.Trace{Rejoined: true}, gone, []time.Duration{0}},
		"one went unanswered, ok":          {quorum.Trace{Unconfirmed: true}, ok, []time.Duration{0}},
		"one went unanswered, gone":        {quorum.Trace{Unconfirmed: true}, gone, []time.Duration{0, timeout}},
		"unanswered, won back, ok":         {quorum.Trace{Unconfirmed: true, Rejoined: true}, ok, []time.Duration{0, timeout}},
		"unanswered, won back, gone":       {quorum.Trace{Unconfirmed: true, Rejoined: true}, gone, []time.Duration{0, timeout}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			play(t, func(t *testing.T, s *scene) {
				s.node.say(c.says)
				p := s.pending("a")
				p.Trace = c.trace
				p.Send(clock.IO(), false)
				repeats := len(c.times) - 1
				if confirmed, _ := s.told(); confirmed != 1-repeats {
					t.Errorf("after the first answer it is confirmed %d times", confirmed)
				}
				s.want(t, repeats, 0, 0)
				time.Sleep(time.Hour)
				got, _ := s.node.sent()
				if confirmed, _ := s.told(); !slices.Equal(got, c.times) || confirmed != 1 {
					t.Errorf("it was sent at %v, not %v, and confirmed %d times", got, c.times, confirmed)
				}
				s.want(t, 0, 0, 0)
			})
		})
	}
}

// A release that is sent again leaves the rest of the hold on the key, and confirms nothing while
// the hold lasts.
func TestALaterReleaseLeavesTheRestOfTheMinimumHold(t *testing.T) {
	t.Parallel()
	play(t, func(t *testing.T, s *scene) {
		const hold = time.Second
		s.node.say(unavailable)
		p := s.pending("a")
		p.Hold, p.Request.TTL = clock.IO().Add(hold), hold
		p.Send(clock.IO(), false)
		time.Sleep(200 * ms)
		s.node.say(ok)
		time.Sleep(200 * ms)
		s.want(t, 0, 0, 0)
		want := []time.Duration{hold, 980 * ms, 940 * ms, 860 * ms, 700 * ms}
		if _, got := s.node.sent(); !slices.Equal(got, want) {
			t.Errorf("the key was left to live for %v, not %v", got, want)
		}
		if confirmed, _ := s.told(); confirmed != 0 {
			t.Error("it is confirmed while the key is in place")
		}
	})
}

func TestCloseForgetsWhatWaitsAndWhatIsGoingTo(t *testing.T) {
	t.Parallel()
	play(t, func(t *testing.T, s *scene) {
		s.node.say(unavailable)
		s.node.say(refused, "refused")
		s.node.say(gone, "gone")
		s.release("silent")
		s.release("refused")
		twice := s.pending("gone")
		twice.Trace.Unconfirmed = true
		twice.Send(clock.IO(), false)
		s.want(t, 3, 0, 0)
		s.Close()
		s.want(t, 0, 0, 0)
		before := s.node.count()
		time.Sleep(time.Hour)
		if n := s.node.count() - before; n != 0 {
			t.Errorf("%d releases were sent after Close", n)
		}
		s.release("late") // an Unlock after Close
		time.Sleep(time.Hour)
		if n := s.node.count() - before; n != 1 {
			t.Errorf("a release after Close was sent %d times", n)
		}
		s.want(t, 0, 0, 0)
	})
}
