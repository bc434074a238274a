package election_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/election"
	"github.com/go-redlock/redlock/redlocktest"
)

// Four processes campaign. Meanwhile masters freeze, die, are slow and restart, and processes are
// cut off, resign and campaign again.
func TestUnderFaultsAtMostOneLeadsAndTokensRise(t *testing.T) {
	t.Parallel()
	for range 20 {
		seed := rand.Uint64()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed)
			for range 300 {
				w.step()
				w.check()
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
			w.finish()
		})
	}
}

const masters, processes = 5, 4

type world struct {
	t       *testing.T
	random  *rand.Rand
	quorum  *redlocktest.Quorum
	record  record
	lockers []*redlock.Locker
	resign  [processes]chan error
	end     []func()
	rejoin  [processes]func()
	down    map[int]bool
	stop    func() []word
}

var errResigned = errors.New("resigned")

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, random: rand.New(rand.NewPCG(seed, 0)), quorum: redlocktest.New(t, masters), down: make(map[int]bool)}
	for i := range processes {
		w.lockers = append(w.lockers, w.quorum.Locker(redlock.WithTTL(2*time.Second)))
		w.resign[i] = make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		e, lead := election.New(w.lockers[i], name), w.record.resign(fmt.Sprint(i), w.resign[i])
		go func() {
			defer close(ended)
			for ctx.Err() == nil {
				_ = e.Lead(ctx, lead)
			}
		}()
		w.end = append(w.end, func() {
			cancel()
			<-ended
		})
	}
	_, w.stop = observed(t.Context(), election.New(w.quorum.Locker(redlock.WithTTL(2*time.Second)), name))
	return w
}

// step makes something happen, and lets time pass.
func (w *world) step() {
	i, p := w.random.IntN(masters), w.random.IntN(processes)
	switch w.random.IntN(8) {
	case 0:
		w.quorum.Freeze(i)
	case 1:
		w.quorum.Thaw(i)
	case 2:
		w.quorum.RestartWithData(i)
	case 3:
		w.quorum.Slow(i, upTo(w.random, 50*time.Millisecond))
	case 4:
		if w.rejoin[p] == nil {
			w.rejoin[p] = w.quorum.Isolate(w.lockers[p])
		}
	case 5:
		if w.rejoin[p] != nil {
			w.rejoin[p]()
			w.rejoin[p] = nil
		}
	default:
		select {
		case w.resign[p] <- errResigned:
		default: // it will
		}
	}
	time.Sleep(upTo(w.random, time.Duration(1)<<(20+w.random.IntN(12))))
	synctest.Wait()
}

func (w *world) check() {
	if who := w.record.leading(); len(who) > 1 {
		w.t.Errorf("%q lead", who)
	}
	if tokens := w.record.tokens(); !slices.IsSorted(tokens) || len(slices.Compact(tokens)) != len(w.record.tokens()) {
		w.t.Errorf("the tokens are %d", tokens)
	}
}

// finish ends the run, and checks that the tokens that the observer saw rise too.
func (w *world) finish() {
	for i := range masters {
		w.quorum.Thaw(i)
		w.quorum.Slow(i, 0)
	}
	for _, rejoin := range w.rejoin {
		if rejoin != nil {
			rejoin()
		}
	}
	for _, end := range w.end {
		end()
	}
	last := uint64(0)
	words := w.stop()
	for _, word := range words {
		if word.leader.Fence != 0 && word.leader.Fence < last {
			w.t.Errorf("the observer was told of %d after %d", word.leader.Fence, last)
		}
		last = max(last, word.leader.Fence)
	}
	w.t.Logf("%d terms, %d words to the observer", len(w.record.tokens()), len(words))
	if len(w.record.tokens()) < 5 {
		w.t.Error("hardly anybody led")
	}
}
