//go:build linux

package marks

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// A turn is the time for which a client of one region had the lock.
type turn struct {
	region    int
	got, gave time.Time
}

// turns measures a client in each region, all of which want one lock and hold it for that long.
func turns(hold time.Duration) func(context.Context, *site) (Figures, error) {
	return func(ctx context.Context, s *site) (Figures, error) {
		var lockers []Locker
		defer func() {
			for _, l := range lockers {
				_ = l.Close() // what it has not released expires
			}
		}()
		for region := range s.scenario.Regions {
			l, err := s.openIn(region)
			if err != nil {
				return nil, err
			}
			lockers = append(lockers, l)
			// this makes the connections
			if free, err := lockWithin(ctx, l, "warm"); err != nil || free(ctx) != nil {
				return nil, errors.Join(errors.New("the first"), err)
			}
		}
		began := time.Now().Add(2 * time.Second) // all take part by then
		end := began.Add(time.Duration(s.scale * 30 * float64(time.Second)))
		stop := watchPauses(50 * time.Millisecond)
		all, failed := contest(ctx, lockers, hold, end)
		paused := stop()
		first := slices.IndexFunc(all, func(t turn) bool { return !t.got.Before(began) })
		if first < 0 {
			return Figures{"hand-overs/s": 0, "gap p50": never, "gap p99": never, "least": 0, "failed": float64(failed)}, nil
		}
		f := judge(all[first:], len(lockers), paused)
		f["hand-overs/s"] /= end.Sub(began).Seconds()
		f["failed"] = float64(failed)
		return f, nil
	}
}

// contest lets the lockers take turns until then, and returns the turns in order, and how many
// Locks failed.
func contest(ctx context.Context, lockers []Locker, hold time.Duration, end time.Time) (all []turn, failed int) {
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	var mu sync.Mutex
	var clients sync.WaitGroup
	for region, l := range lockers {
		clients.Go(func() {
			for ctx.Err() == nil {
				t := turn{region: region}
				free, err := l.Lock(ctx, "turns")
				if t.got = time.Now(); err == nil {
					time.Sleep(hold)
					t.gave = time.Now()
					_ = free(context.WithoutCancel(ctx)) // the next Lock would show it
				}
				mu.Lock()
				switch {
				case err == nil:
					all = append(all, t)
				case ctx.Err() == nil:
					failed++
				}
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	slices.SortFunc(all, func(a, b turn) int { return a.got.Compare(b.got) })
	return all, failed
}

// judge returns the figures of turns, of which there is at least one. The gaps with a pause in them
// or just before are left out, and counted.
func judge(all []turn, regions int, paused pauses) Figures {
	counts := make([]int, regions)
	var gaps samples
	overlaps, left := 0, 0
	for i, t := range all {
		counts[t.region]++
		if i == 0 {
			continue
		}
		before := all[i-1]
		gap := t.got.Sub(before.gave)
		switch {
		case gap < 0:
			overlaps++
		case paused.meet(span{before.got, t.got}): // a pause before Unlock delays what follows too
			left++
			continue
		}
		gaps = append(gaps, gap)
	}
	return Figures{
		"hand-overs/s": float64(len(all)), "gap p50": gaps.percentile(50), "gap p99": gaps.percentile(99), "overlaps": float64(overlaps), "paused": float64(left),
		"least": float64(slices.Min(counts)) * float64(regions) / float64(len(all)),
	}
}
