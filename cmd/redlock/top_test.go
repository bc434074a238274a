package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock"
)

// waited returns a row of a lock for which processes have waited that long.
func waited(name string, q ...time.Duration) row {
	return row{listed{&redlock.Inspection{Name: name, Owner: "0123456789abcdef", Left: time.Second}, nil}, q}
}

func TestAScreenThatIsTooShortShowsTheLongestWaitsByName(t *testing.T) {
	t.Parallel()
	p := &picture{
		addresses: []server{{addr: "a:1"}, {addr: "b:1"}},
		errs:      []error{nil, errors.New("refused\x1b[2J\nmore")},
	}
	for i := range 30 {
		p.rows = append(p.rows, waited(fmt.Sprintf("n%02d", 29-i)))
	}
	p.rows = append(p.rows, waited("n99", 3*time.Second, time.Second), waited("n50", 2*time.Second), waited("n70", 2*time.Second))
	const height = 12
	lines := p.screen(false, 80, height, time.Second)
	if len(lines) != height {
		t.Errorf("%d lines for %d", len(lines), height)
	}
	if want := "33 held, 4 waiting, longest 3s   1 of 2 nodes answer   every 1s, q ends"; lines[0] != want {
		t.Errorf("the summary is %q, not %q", lines[0], want)
	}
	var names []string
	for _, line := range lines {
		if name, _, _ := strings.Cut(line, " "); strings.HasPrefix(name, "n") {
			names = append(names, name)
		}
	}
	if !slices.IsSorted(names) || len(names) != 6 || !slices.Equal(names[3:], []string{"n50", "n70", "n99"}) {
		t.Errorf("it shows %v", names)
	}
	if got, want := lines[len(lines)-3:], []string{"27 more, with shorter waits", "", `b:1: "refused\x1b[2J"`}; !slices.Equal(got, want) {
		t.Errorf("it ends with %q, not %q", got, want)
	}
}

func TestALongNameLeavesRoomForTheOtherColumns(t *testing.T) {
	t.Parallel()
	p := &picture{rows: []row{waited(strings.Repeat("ä", 500), time.Second)}}
	lines := p.screen(false, 80, 24, time.Second)
	if got := []rune(lines[3]); len(got) > 100 || !strings.HasPrefix(lines[3], strings.Repeat("ä", 19)+"… ") {
		t.Errorf("%d characters: %s", len(got), lines[3])
	}
}

func TestAProcessWaitsIfMostOfTheServersHaveQueuedIt(t *testing.T) {
	t.Parallel()
	began := time.Unix(1_800_000_000, 0)
	tally := &tally{waits: make([]map[string][]time.Duration, 2), answers: 3}
	for i, waiters := range [][]string{{"x", "y"}, {"x", "y"}, {"x", "z"}} {
		for k, inbox := range waiters {
			since := began.Add(time.Duration(k) * time.Second)
			tally.add(1, redis.Z{Member: inbox, Score: float64(since.UnixMicro())}, began.Add(time.Duration(5+i)*time.Second))
		}
	}
	got := tally.queues()
	if want := (queue{5 * time.Second, 4 * time.Second}); len(got[0]) != 0 || !slices.Equal(got[1], want) {
		t.Errorf("the queues are %v, not empty and %v", got, want)
	}
}
