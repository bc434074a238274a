package sim

import (
	"flag"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/go-redlock/redlock/internal/jitter"
)

var (
	first   = flag.Uint64("sim.seed", 1, "the first seed")
	count   = flag.Int("sim.count", 40, "how many schedules of each regime to run")
	only    = flag.String("sim.regime", "", "the regime to run; empty: all")
	keep    = flag.String("sim.faults", "all", "the faults to keep, such as 0,3: what a failure prints")
	verbose = flag.Bool("sim.verbose", false, "print the goroutines where a waiter hangs")
	tries   = flag.Int("sim.tries", 1, "how often to run each, with a jitter of its own: the order of goroutines is not seeded")
)

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m)
}

func TestSimulation(t *testing.T) { //nolint:paralleltest // on one processor
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, r := range regimes {
		if *only != "" && *only != r.name {
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			began := time.Now()
			var ran, messages, most, cut, overlaps int
			count := *count
			if r.turns {
				count = (count + turnsRarer - 1) / turnsRarer
			}
			for seed := *first; seed < *first+uint64(count); seed++ {
				for try := range *tries {
					w := run(t, r, seed, try, kept())
					ran++
					sent := int(w.sent.Load())
					messages, most = messages+sent, max(most, sent)
					if w.short.Load() {
						cut++
					}
					overlaps += w.overlaps
					if len(w.violations) > 0 {
						report(t, w)
						return
					}
				}
			}
			took := time.Since(began)
			t.Logf("%d schedules (seeds %d to %d), %d messages each and %d at most (%d were cut short by that), %d overlaps, %.0f a second",
				ran, *first, *first+uint64(count)-1, messages/max(ran, 1), most, cut, overlaps, float64(ran)/took.Seconds())
		})
	}
}

// kept returns the faults to keep; nil means all.
func kept() (faults []int) {
	if *keep == "all" {
		return nil
	}
	faults = []int{}
	for s := range strings.SplitSeq(*keep, ",") {
		if n, err := strconv.Atoi(s); err == nil {
			faults = append(faults, n)
		}
	}
	return faults
}

// run runs one schedule. In each try the library draws other pauses. Goroutines that are left over
// are a violation too: the bubble cannot end.
func run(t *testing.T, r regime, seed uint64, try int, faults []int) (w *world) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			if w == nil {
				panic(p)
			}
			w.violate("goroutines are left: %v", p)
		}
	}()
	synctest.Test(t, func(*testing.T) {
		jitter.Seed(seed + uint64(try)<<40)
		w = newWorld(r, seed)
		if faults != nil {
			w.faults = choose(w.faults, faults)
		}
		w.play()
	})
	return w
}

func choose(all []fault, which []int) (some []fault) {
	for _, i := range which {
		if i < len(all) {
			some = append(some, all[i])
		}
	}
	return some
}
