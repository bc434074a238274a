//go:build linux

// Package marks measures locks on distant masters, and has the goals for them. The benchmarks and
// CI share it.
//
// A scenario runs in a process of its own, in the namespace of the clients of a link: the program
// that calls [Run] starts itself again. So it must call [Child] before anything else.
package marks

import (
	"context"
	"math"
	"time"

	"github.com/go-redlock/redlock/internal/distance"
)

// Figures are the results of a scenario, by name. Times are in milliseconds; +Inf means never.
type Figures map[string]float64

// A Locker is a contestant's, over all masters. Lock waits until it has the lock or ctx ends;
// TryLock asks once. Both return a function that unlocks.
type Locker interface {
	Lock(ctx context.Context, name string) (func(context.Context) error, error)
	TryLock(ctx context.Context, name string) (func(context.Context) error, error)
	Close() error
}

// A Scenario is what is measured with the contestants.
type Scenario struct {
	Name    string
	Title   string
	Profile distance.Profile
	TTL     time.Duration // zero is the contestant's default
	MaxIdle time.Duration // how long a connection may be idle; zero is the contestant's default
	TLS     bool
	Regions int  // of clients; the profile has the times of one after the other; 0: one
	Alone   bool // only for this library
	run     func(context.Context, *site) (Figures, error)
}

func rtt(ms ...float64) (all []time.Duration) {
	for _, m := range ms {
		all = append(all, time.Duration(m*float64(time.Millisecond)))
	}
	return all
}

var (
	regions = distance.Profile{RTT: rtt(1, 40, 80, 120, 200), Jitter: 0.05, Seed: 1}
	zones   = distance.Profile{RTT: rtt(1, 1, 30, 30, 80), Seed: 1}
	lossy   = distance.Profile{RTT: rtt(1, 1, 1, 1, 1), Loss: []float64{0, 0, 0, 0.01, 0.01}, Seed: 1}
	apart   = distance.Profile{RTT: rtt(
		1, 1, 30, 30, 80,
		30, 30, 1, 30, 80,
		30, 30, 30, 1, 80,
		80, 80, 80, 80, 1,
	), Jitter: 0.05, Seed: 1}
	proxied = distance.Profile{RTT: rtt(1, 1, 1, 1, 1), Forget: 1500 * time.Millisecond, Seed: 1}
)

// Scenarios returns all scenarios.
var Scenarios = []Scenario{
	{Name: "regions", Title: "1, 40, 80, 120, 200 ms, 5 % jitter", Profile: regions, run: pairs},
	{Name: "zones", Title: "1, 1, 30, 30, 80 ms, TTL 1 s", Profile: zones, TTL: time.Second, run: pairs},
	{Name: "regions, votes", Title: "1, 40, 80, 120, 200 ms", Profile: regions, Alone: true, run: votes},
	{Name: "zones, votes", Title: "1, 1, 30, 30, 80 ms, TTL 10 s", Profile: zones, TTL: 10 * time.Second, Alone: true, run: votes},
	{Name: "cold", Title: "1, 40, 80, 120, 200 ms", Profile: regions, run: cold},
	{Name: "cold, TLS", Title: "1, 40, 80, 120, 200 ms, TLS 1.3", Profile: regions, TLS: true, run: cold},
	{Name: "connections", Title: "1, 40, 80, 120, 200 ms", Profile: regions, run: connections},
	{Name: "loss", Title: "1 ms each; two of five lose 1 % of the packets each way", Profile: lossy, Alone: true, run: loss},
	{Name: "turns", Title: "four regions, 1 to 80 ms, hold 5 ms", Profile: apart, Regions: 4, run: turns(5 * time.Millisecond)},
	{Name: "turns, hold 0", Title: "four regions, 1 to 80 ms, hold 0", Profile: apart, Regions: 4, run: turns(0)},
	{Name: "rest", Title: "1 ms each; connections are forgotten after 1.5 s", Profile: proxied, MaxIdle: time.Second, Alone: true, run: rest},
}

// Find returns the scenario of that name.
func Find(name string) (Scenario, bool) {
	for _, s := range Scenarios {
		if s.Name == name {
			return s, true
		}
	}
	return Scenario{}, false
}

// A Mark is a goal: a figure of a scenario is at most Limit or, with AtLeast, at least Limit. The
// limit CI allows for a busy machine.
type Mark struct {
	What     string
	Scenario string
	Figure   string
	Over     string // another figure of the same run, by which it is divided
	Rival    string // the contestant whose figure that is; empty: its own
	AtLeast  bool
	Limit    float64
	CI       float64
}

// Marks are the goals.
var Marks = []Mark{
	{What: "regions: Lock p50 over a PING to the third nearest", Scenario: "regions", Figure: "lock", Over: "ping", Limit: 1.05, CI: 1.2},
	{What: "regions: Unlock p50 over the same", Scenario: "regions", Figure: "unlock", Over: "ping", Limit: 1.05, CI: 1.2},
	{What: "regions: Lock p50 over redsync's", Scenario: "regions", Figure: "lock", Over: "lock", Rival: "redsync", Limit: 0.5},
	{What: "regions: Unlock p50 over redsync's", Scenario: "regions", Figure: "unlock", Over: "unlock", Rival: "redsync", Limit: 0.5},
	{What: "zones: Lock p50 over a PING to the third nearest", Scenario: "zones", Figure: "lock", Over: "ping", Limit: 1.05, CI: 1.3},
	{What: "zones: Unlock p50 over the same", Scenario: "zones", Figure: "unlock", Over: "ping", Limit: 1.05, CI: 1.3},
	{What: "regions: masters that vote within 2 s", Scenario: "regions, votes", Figure: "votes", AtLeast: true, Limit: 5, CI: 5},
	{What: "zones: masters that vote within 2 s", Scenario: "zones, votes", Figure: "votes", AtLeast: true, Limit: 5, CI: 5},
	{What: "cold first Lock, in quorum round trips", Scenario: "cold", Figure: "lock", Over: "ping", Limit: 3, CI: 3},
	{What: "the same, no script known", Scenario: "cold", Figure: "flushed", Over: "ping", Limit: 4, CI: 4},
	{What: "cold first Lock over TLS 1.3, in quorum round trips", Scenario: "cold, TLS", Figure: "lock", Over: "ping", Limit: 4, CI: 4},
	{What: "the same, no script known", Scenario: "cold, TLS", Figure: "flushed", Over: "ping", Limit: 5, CI: 5},
	{What: "regions: connections to a master in 20 s, at most", Scenario: "connections", Figure: "most", Limit: 4, CI: 4},
	{What: "loss: ErrNoQuorum of 20,000 TryLocks", Scenario: "loss", Figure: "no quorum", Limit: 0, CI: 0},
	{What: "four regions take turns: hand-overs/s over redsync's", Scenario: "turns", Figure: "hand-overs/s", Over: "hand-overs/s", Rival: "redsync", AtLeast: true, Limit: 1},
	{What: "the same: p99 of the gap over its p50", Scenario: "turns", Figure: "gap p99", Over: "gap p50", Limit: 3, CI: 5},
	{What: "the same: turns of the region that has the fewest, over the mean", Scenario: "turns", Figure: "least", AtLeast: true, Limit: 0.5, CI: 0.5},
	{What: "rest: first TryLocks after it that failed", Scenario: "rest", Figure: "failed", Limit: 0, CI: 0},
}

// Value returns the mark's figure from the results by scenario and contestant; NaN if there is
// none.
func (m Mark) Value(of func(scenario, contestant string) Figures) float64 {
	get := func(contestant, figure string) float64 {
		v, found := of(m.Scenario, contestant)[figure]
		if !found {
			return math.NaN()
		}
		return v
	}
	v := get(Redlock, m.Figure)
	if m.Over == "" {
		return v
	}
	rival := m.Rival
	if rival == "" {
		rival = Redlock
	}
	return v / get(rival, m.Over)
}

// Reached reports whether the value is within a limit.
func (m Mark) Reached(value, limit float64) bool {
	if m.AtLeast {
		return value >= limit
	}
	return value <= limit
}
