package schedule_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/schedule"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A task records when it runs. It runs at an interval, as many times as it is told.
type task struct {
	name  string
	every time.Duration
	left  int
	entry schedule.Entry
	log   *log
	run   func()
}

func (t *task) Run() (clock.Moment, bool) {
	t.log.add(t.name)
	if t.run != nil {
		t.run()
	}
	t.left--
	return present().Add(t.every), t.left > 0
}

type log struct {
	mu    sync.Mutex
	began time.Time
	lines []string
}

func (l *log) add(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, time.Since(l.began).String()+" "+name)
}

func (l *log) want(t *testing.T, lines ...string) {
	t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.lines, lines) {
		t.Errorf("got %q, want %q", l.lines, lines)
	}
}

// free returns hooks that always have room.
var free = schedule.Hooks{Ready: func() bool { return true }, Ran: func() {}}

func present() clock.Moment { return clock.Present(clock.System{}) }

func TestTasksRunAtTheirTimesWhateverTheOrderInWhichTheyWereAdded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := schedule.New(clock.System{}, 0, free), &log{began: time.Now()}
		for _, a := range []*task{
			{name: "c", every: time.Second, left: 1},
			{name: "a", every: time.Second, left: 2},
			{name: "b", every: 5 * time.Second, left: 2},
		} {
			a.log = l
			s.Add(&a.entry, a, present().Add(time.Duration(a.name[0]-'a'+1)*time.Second))
		}
		time.Sleep(time.Minute)
		l.want(t, "1s a", "2s b", "2s a", "3s c", "7s b")
	})
}

func TestWhatIsDueAtAboutTheSameTimeRunsTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := schedule.New(clock.System{}, 10*time.Millisecond, free), &log{began: time.Now()}
		for i, name := range []string{"a", "b", "c"} {
			a := &task{name: name, left: 1, log: l}
			s.Add(&a.entry, a, present().Add(time.Second+time.Duration(i)*6*time.Millisecond))
		}
		time.Sleep(time.Minute)
		l.want(t, "1s a", "1s b", "1.012s c")
	})
}

func TestATaskThatWasRemovedDoesNotRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := schedule.New(clock.System{}, 0, free), &log{began: time.Now()}
		before := &task{name: "removed before it was added", left: 1, log: l}
		s.Remove(&before.entry)
		s.Add(&before.entry, before, present().Add(time.Second))
		waits := &task{name: "removed while it waits", left: 1, log: l}
		s.Add(&waits.entry, waits, present().Add(time.Second))
		s.Remove(&waits.entry)
		itself := &task{name: "removes itself", every: time.Second, left: 9, log: l}
		itself.run = func() { s.Remove(&itself.entry) } // with no lock held
		s.Add(&itself.entry, itself, present().Add(time.Second))
		other := &task{name: "another", left: 1, log: l}
		s.Add(&other.entry, other, present().Add(2*time.Second))
		time.Sleep(time.Minute)
		l.want(t, "1s removes itself", "2s another")
	})
}

func TestTasksOfAScheduleRunOneAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := schedule.New(clock.System{}, 0, free), &log{began: time.Now()}
		slow := &task{name: "slow", left: 1, log: l, run: func() { time.Sleep(5 * time.Second) }}
		s.Add(&slow.entry, slow, present().Add(time.Second))
		time.Sleep(2 * time.Second)
		next := &task{name: "next", left: 1, log: l}
		s.Add(&next.entry, next, present())
		time.Sleep(time.Minute)
		l.want(t, "1s slow", "6s next")
	})
}

func TestATaskThatIsRemovedByOneThatIsDueWithItDoesNotRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := schedule.New(clock.System{}, 0, free), &log{began: time.Now()}
		second := &task{name: "second", every: time.Second, left: 1, log: l}
		first := &task{name: "first", left: 1, log: l, run: func() { s.Remove(&second.entry) }}
		at := present().Add(time.Second)
		s.Add(&first.entry, first, at)
		s.Add(&second.entry, second, at)
		time.Sleep(time.Minute)
		l.want(t, "1s first")
	})
}

// While there is no room, the tasks that are due wait; then those that are due first run first.
func TestTasksWaitForRoomAndTheEarliestGoesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var room, ran atomic.Int64
		l := &log{began: time.Now()}
		s := schedule.New(clock.System{}, 0, schedule.Hooks{
			Ready: func() bool { return room.Add(-1) >= 0 },
			Ran:   func() { ran.Add(1) },
		})
		for _, name := range []string{"c", "a", "b", "d"} {
			a := &task{name: name, every: time.Minute, left: 1, log: l}
			s.Add(&a.entry, a, present().Add(time.Duration(name[0]-'a')*time.Millisecond))
		}
		time.Sleep(time.Second)
		l.want(t)
		room.Store(2)
		time.Sleep(10 * time.Millisecond)
		l.want(t, "1.001s a", "1.001s b")
		if n := ran.Load(); n == 0 {
			t.Error("nobody was told that they ran")
		}
		room.Store(5)
		time.Sleep(time.Second)
		l.want(t, "1.001s a", "1.001s b", "1.011s c", "1.011s d")
	})
}

// A task that is due again at once does not keep other tasks from running.
func TestATaskThatIsDueAgainRunsOnceInAPass(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, l := schedule.New(clock.System{}, 10*time.Millisecond, free), &log{began: time.Now()}
		often := &task{name: "often", every: 5 * time.Millisecond, left: 3, log: l}
		s.Add(&often.entry, often, present().Add(time.Second))
		time.Sleep(time.Minute)
		l.want(t, "1s often", "1.005s often", "1.01s often")
	})
}
