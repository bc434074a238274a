package history_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/go-redlock/redlock/integration/history"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGoodHistoriesPass(t *testing.T) {
	t.Parallel()
	for name, leases := range map[string][]history.Lease{
		"one after the other": {
			{Name: "a", Token: 5, Called: 0, Locked: 10, Ended: 20, Freed: 25},
			{Name: "a", Token: 6, Called: 5, Locked: 23, Ended: 30, Freed: 35, Holder: 1},
		},
		"two names": {
			{Name: "a", Token: 5, Called: 0, Locked: 10, Ended: 20, Freed: 25},
			{Name: "b", Token: 5, Called: 0, Locked: 10, Ended: 20, Freed: 25},
		},
		"the slots of a semaphore": {
			{Name: "a", Slot: 0, Permits: 2, Token: 5, Called: 0, Locked: 10, Ended: 20, Freed: 25},
			{Name: "a", Slot: 1, Permits: 2, Token: 4, Called: 11, Locked: 15, Ended: 30, Freed: 35},
			{Name: "a", Slot: 0, Permits: 2, Token: 6, Called: 12, Locked: 20, Ended: 40, Freed: 45, Holder: 1},
		},
		"readers at one time, with one token": {
			{Name: "a", Token: 5, Called: 0, Locked: 10, Ended: 20, Freed: 25},
			{Name: "a", Shared: true, Token: 5, Called: 21, Locked: 30, Ended: 50, Freed: 55},
			{Name: "a", Shared: true, Token: 5, Called: 22, Locked: 31, Ended: 40, Freed: 45, Holder: 1},
			{Name: "a", Token: 6, Called: 22, Locked: 55, Ended: 60, Freed: 65, Holder: 1},
		},
		"a semaphore and a lock of one name": {
			{Name: "a", Permits: 1, Token: 5, Called: 0, Locked: 10, Ended: 20, Freed: 25},
			{Name: "a", Token: 5, Called: 0, Locked: 10, Ended: 20, Freed: 25},
		},
		"a release whose outcome nobody knows": {
			{Name: "a", Token: 5, Called: 0, Locked: 10, Ended: 20, Freed: history.Unknown},
			{Name: "a", Token: 6, Called: 12, Locked: 40, Ended: 50, Freed: 55, Holder: 1},
		},
		"one that never ends": {
			{Name: "a", Token: 5, Called: 0, Locked: 10, Ended: history.Unknown, Freed: history.Unknown},
		},
	} {
		v := history.Check(leases)
		if wrong := v.Wrong(); len(wrong) != 0 {
			t.Errorf("%s: %q", name, wrong)
		}
	}
}

func TestBadHistoriesAreFoundAndDrawn(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]struct {
		leases                   []history.Lease
		overlaps, crowds, tokens int
	}{
		"an overlap": {[]history.Lease{
			{Name: "a", Token: 5, Called: 0, Locked: 10, Ended: 30, Freed: 35},
			{Name: "a", Token: 6, Called: 5, Locked: 20, Ended: 40, Freed: 45, Holder: 1},
		}, 1, 0, 0},
		"an overlap with an earlier one": {[]history.Lease{
			{Name: "a", Token: 5, Called: 0, Locked: 10, Ended: 90, Freed: 95},
			{Name: "a", Token: 6, Called: 5, Locked: 20, Ended: 25, Freed: 26, Holder: 1},
			{Name: "a", Token: 7, Called: 27, Locked: 30, Ended: 40, Freed: 45, Holder: 2},
		}, 2, 0, 0},
		"a token twice": {[]history.Lease{
			{Name: "a", Token: 5, Called: 0, Locked: 10, Ended: 20, Freed: 25},
			{Name: "a", Token: 5, Called: 5, Locked: 30, Ended: 40, Freed: 45, Holder: 1},
		}, 0, 0, 1},
		"a token that falls": {[]history.Lease{
			{Name: "a", Token: 5, Called: 0, Locked: 10, Ended: 20, Freed: 25},
			{Name: "a", Token: 4, Called: 26, Locked: 30, Ended: 40, Freed: 45, Holder: 1},
		}, 0, 0, 1},
		"a writer beside a reader": {[]history.Lease{
			{Name: "a", Shared: true, Token: 5, Called: 0, Locked: 10, Ended: 50, Freed: 55},
			{Name: "a", Shared: true, Token: 5, Called: 0, Locked: 11, Ended: 15, Freed: 16, Holder: 2},
			{Name: "a", Token: 6, Called: 5, Locked: 20, Ended: 40, Freed: 45, Holder: 1},
		}, 1, 0, 0},
		"a reader beside a writer": {[]history.Lease{
			{Name: "a", Token: 5, Called: 0, Locked: 10, Ended: 50, Freed: 55},
			{Name: "a", Shared: true, Token: 5, Called: 5, Locked: 20, Ended: 40, Freed: 45, Holder: 1},
		}, 1, 0, 0},
		"a reader's token below a writer's": {[]history.Lease{
			{Name: "a", Token: 5, Called: 0, Locked: 10, Ended: 20, Freed: 25},
			{Name: "a", Shared: true, Token: 4, Called: 26, Locked: 30, Ended: 40, Freed: 45, Holder: 1},
		}, 0, 0, 1},
		"a writer's token that a reader had": {[]history.Lease{
			{Name: "a", Shared: true, Token: 5, Called: 0, Locked: 10, Ended: 20, Freed: 25},
			{Name: "a", Token: 5, Called: 26, Locked: 30, Ended: 40, Freed: 45, Holder: 1},
		}, 0, 0, 1},
		"a slot twice": {[]history.Lease{
			{Name: "a", Slot: 1, Permits: 2, Token: 5, Called: 0, Locked: 10, Ended: 30, Freed: 35},
			{Name: "a", Slot: 1, Permits: 2, Token: 6, Called: 5, Locked: 20, Ended: 40, Freed: 45, Holder: 1},
		}, 1, 0, 0},
		"more permits than there are": {[]history.Lease{
			{Name: "a", Slot: 0, Permits: 2, Token: 5, Called: 0, Locked: 10, Ended: 30, Freed: 35},
			{Name: "a", Slot: 1, Permits: 2, Token: 5, Called: 0, Locked: 11, Ended: 30, Freed: 35},
			{Name: "a", Slot: 1, Permits: 2, Token: 6, Called: 5, Locked: 20, Ended: 40, Freed: 45, Holder: 1},
		}, 1, 1, 0},
		"a token twice in one slot": {[]history.Lease{
			{Name: "a", Slot: 1, Permits: 2, Token: 5, Called: 0, Locked: 10, Ended: 20, Freed: 25},
			{Name: "a", Slot: 1, Permits: 2, Token: 5, Called: 5, Locked: 30, Ended: 40, Freed: 45, Holder: 1},
		}, 0, 0, 1},
		"an overlap on one of two names": {[]history.Lease{
			{Name: "a", Token: 5, Called: 0, Locked: 10, Ended: 30, Freed: 35},
			{Name: "b", Token: 5, Called: 0, Locked: 10, Ended: 30, Freed: 35},
			{Name: "b", Token: 6, Called: 5, Locked: 20, Ended: 40, Freed: 45, Holder: 1},
		}, 1, 0, 0},
	} {
		v := history.Check(bad.leases)
		if len(v.Overlaps) != bad.overlaps || len(v.Crowds) != bad.crowds || len(v.Tokens) != bad.tokens || len(v.Illegal) == 0 {
			t.Errorf("%s: %d overlaps, %d crowds, %d tokens, %d illegal", name, len(v.Overlaps), len(v.Crowds), len(v.Tokens), len(v.Illegal))
			continue
		}
		path := filepath.Join(t.TempDir(), "history.html")
		if err := v.Draw(path); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if s, err := os.Stat(path); err != nil || s.Size() == 0 {
			t.Errorf("%s: nothing was drawn: %v", name, err)
		}
	}
}

// Such a history is possible for each slot.
func TestASlotThatASemaphoreDoesNotHaveIsFound(t *testing.T) {
	t.Parallel()
	v := history.Check([]history.Lease{{Name: "a", Slot: 2, Permits: 2, Token: 5, Called: 0, Locked: 10, Ended: 20, Freed: 25}})
	if len(v.Crowds) != 1 {
		t.Errorf("%q", v.Wrong())
	}
}

func TestIdleIsTheLongestTimeThatNobodyHasWhatIsWanted(t *testing.T) {
	t.Parallel()
	const ttl, from, to = 100, 0, 1000
	first := history.Lease{Name: "a", Called: 0, Locked: 0, Ended: 20, Freed: 25}
	for name, c := range map[string]struct {
		leases []history.Lease
		wants  []history.Want
		idle   time.Duration
	}{
		"nobody wants it":          {leases: []history.Lease{first}},
		"the next one waits":       {[]history.Lease{first, {Name: "a", Called: 10, Locked: 50, Ended: 60, Freed: 65}}, nil, 30},
		"the next one comes later": {[]history.Lease{first, {Name: "a", Called: 40, Locked: 50, Ended: 60, Freed: 65}}, nil, 10},
		"those who wait take turns": {
			[]history.Lease{first, {Name: "a", Called: 90, Locked: 120, Ended: 130, Freed: 130}},
			[]history.Want{{Name: "a", Called: 10, Ended: 60}, {Name: "a", Called: 60, Ended: 95}},
			100,
		},
		"nobody wants it for a while": {
			[]history.Lease{first, {Name: "a", Called: 80, Locked: 90, Ended: 95, Freed: 95}},
			[]history.Want{{Name: "a", Called: 10, Ended: 50}},
			30,
		},
		"of another name": {[]history.Lease{first}, []history.Want{{Name: "b", Called: 10, Ended: 15}}, 5},
		"nobody knows whether it was released": {
			[]history.Lease{
				{Name: "a", Called: 0, Locked: 0, Ended: 20, Freed: history.Unknown},
				{Name: "a", Called: 10, Locked: 125, Ended: 130, Freed: 130},
			}, nil, 5,
		},
		"it is never given back": {
			[]history.Lease{{Name: "a", Called: 0, Locked: 0, Ended: history.Unknown, Freed: history.Unknown}},
			[]history.Want{{Name: "a", Called: 10, Ended: 900}},
			0,
		},
		"of a semaphore, a permit that is free": {
			[]history.Lease{
				{Name: "a", Permits: 2, Called: 0, Locked: 0, Ended: 90, Freed: 95},
				{Name: "a", Permits: 2, Called: 0, Locked: 0, Ended: 20, Freed: 25},
			},
			[]history.Want{{Name: "a", Permits: 2, Called: 10, Ended: 50}},
			30,
		},
		"before and after": {nil, []history.Want{{Name: "a", Called: -500, Ended: 30}, {Name: "a", Called: 960, Ended: 9000}}, 40},
	} {
		if got := history.Idle(c.leases, c.wants, ttl, from, to); got != c.idle {
			t.Errorf("%s: %d instead of %d", name, got, c.idle)
		}
	}
}
