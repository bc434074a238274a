package main

import (
	"fmt"
	"math"
)

// A mark is a goal of this library: a bound on a figure of the results.
type mark struct {
	text   string
	figure func(results) float64
	limit  float64
	least  bool // the figure must be at least the limit, not at most
}

func atMost(limit float64, text string, figure func(results) float64) mark {
	return mark{text, figure, limit, false}
}

func atLeast(limit float64, text string, figure func(results) float64) mark {
	return mark{text, figure, limit, true}
}

// reached reports whether the figure is within the limit.
func (m mark) reached(figure float64) bool {
	if m.least {
		return figure >= m.limit
	}
	return figure <= m.limit
}

func (m mark) bound() string {
	if m.least {
		return "≥ " + number(m.limit)
	}
	return "≤ " + number(m.limit)
}

// number prints a figure with three significant digits.
func number(f float64) string {
	switch {
	case math.IsNaN(f):
		return "–"
	case math.Abs(f) >= 100:
		return fmt.Sprintf("%.0f", f)
	default:
		return fmt.Sprintf("%.3g", f)
	}
}

// value is the median of a metric over the rounds.
func value(workload, contestant, metric string) func(results) float64 {
	return func(r results) float64 { return median(r.series(workload, contestant, metric)) }
}

// over is the median over the rounds of one contestant's metric over another's.
func over(workload, metric, a, b string) func(results) float64 {
	return func(r results) float64 { return median(r.ratios(workload, metric, a, workload, metric, b)) }
}

// within is the median over the rounds of one metric over another of the same contestant.
func within(workload, contestant, metric, base string) func(results) float64 {
	return func(r results) float64 {
		return median(r.ratios(workload, metric, contestant, workload, base, contestant))
	}
}

var marks = []mark{
	atMost(0.8, "one caller: plain over redsync", over("one", p50, plain, redsync)),
	atMost(1.25, "one caller: plain over bare sockets", over("one", p50, plain, bare)),
	atMost(0.9, "one caller: fenced over redsync", over("one", p50, fenced, redsync)),
	atMost(1.3, "one caller: Lock fenced over Lock plain", over("one", lockP50, fenced, plain)),
	atMost(10.01, "one caller: reads a pair, fenced (a second round trip of one lock in a hundred would be seen)", value("one", fenced, reads)),
	atMost(60, "one caller: allocations a pair, fenced", value("one", fenced, allocs)),
	atMost(60, "one caller: allocations a pair, plain", value("one", plain, allocs)),
	atLeast(4, "64 callers: fenced over redsync", over("64", rate, fenced, redsync)),
	atLeast(6, "64 callers: plain over redsync", over("64", rate, plain, redsync)),
	atLeast(5, "1,000 callers: fenced over redsync", over("1000", rate, fenced, redsync)),
	atLeast(9, "1,000 callers: plain over redsync", over("1000", rate, plain, redsync)),
	atMost(0.25, "1,000 callers: p99, fenced over redsync", over("1000", p99, fenced, redsync)),
	atMost(0.25, "1,000 callers: p99, plain over redsync", over("1000", p99, plain, redsync)),
	atMost(50, "1,000 callers: server µs a pair, fenced", value("1000", fenced, serverCPU)),
	atMost(25, "1,000 callers: server µs a pair, plain", value("1000", plain, serverCPU)),
	atMost(10.5, "two locks at once: reads a pair", value("sets", pair, reads)),
	atMost(1.3, "two locks at once over one", over("sets", p50, pair, fenced)),
	atMost(2, "eight locks at once over one", over("sets", p50, eight, fenced)),
	atMost(0.6, "two locks at once over two in turn", over("sets", p50, pair, inTurn)),
	atMost(0.45, "two locks at once over redsync's two in turn", over("sets", p50, pair, rsInTurn)),
	atMost(2.3, "16 processes want two locks: reads a hand-over over one's", over("sets-16", readsBare, pair, fenced)),
	atMost(1.15, "a permit of 16, half of them held, over a lock", over("permits", p50, half, fenced)),
	atMost(1.5, "the last permit of 16 over a lock", over("permits", p50, last, fenced)),
	atMost(10.5, "the last permit of 16: reads a pair", value("permits", last, reads)),
	atMost(18, "32 processes, 4 permits: reads a hand-over", value("permits-32", four, readsBare)),
	atMost(1.2, "32 processes, 4 permits: gap of a slot over a lock's", over("permits-32", slotGap, four, fenced)),
	atMost(1.5, "32 processes, 4 permits: p99 in turns of all", value("permits-32", four, inAllTurns)),
	atLeast(3.8, "32 processes, 4 permits: in use", value("permits-32", four, inUse)),
	atMost(1.25, "one caller: shared over a lock", over("shared", p50, reader, fenced)),
	atMost(10.01, "one caller: reads a pair, shared", value("shared", reader, reads)),
	atLeast(0.6, "64 callers: one lock shared by all over each its own", over("shared-64", rate, together, fenced)),
	atMost(20, "32 processes, shared nine times of ten: reads a turn", value("shared-32", nineTen, readsBare)),
	atMost(3, "32 processes, shared nine times of ten: p99 of writers in fair turns", value("shared-32", nineTen, writersInTurns)),
	atLeast(0.8, "32 processes, shared nine times of ten: least turns over the median", value("shared-32", nineTen, leastTurns)),
	atMost(1.2, "one caller, a node frozen: fenced over healthy", within("one-frozen", fenced, p50, "healthy "+p50)),
	atMost(1.2, "one caller, a node frozen: Lock over healthy", within("one-frozen", fenced, lockP50, "healthy "+lockP50)),
	atMost(1.2, "one caller, a node frozen: Unlock over healthy", within("one-frozen", fenced, unlockP50, "healthy "+unlockP50)),
	atMost(1.2, "one caller, a node refused: fenced over healthy", within("one-refused", fenced, p50, "healthy "+p50)),
	atMost(1.2, "1,000 callers, a node frozen: fenced over healthy", within("1000-frozen", fenced, p50, "healthy "+p50)),
	atMost(1.2, "1,000 callers, a node refused: fenced over healthy", within("1000-refused", fenced, p50, "healthy "+p50)),
	atLeast(100, "16 waiters: hand-overs over redsync's", over("crowd", rate, fenced, redsync)),
	atLeast(0.9, "16 waiters: least turns over the mean", value("crowd", fenced, leastTurns)),
	atMost(1.1, "16 waiters: most turns over the mean", value("crowd", fenced, mostTurns)),
	atMost(2, "32 processes: gap over that of one alone", func(r results) float64 {
		return median(r.ratios("32", gapP50, fenced, "paced", gapP50, fenced))
	}),
	atMost(1.5, "32 processes: p99 wait in fair turns", value("32", fenced, lateness)),
	atLeast(0.8, "32 processes: least turns over the median", value("32", fenced, leastTurns)),
	atMost(18, "32 processes: reads a hand-over, set-up included", value("32", fenced, reads)),
	atMost(18, "200 processes: reads a hand-over", value("200", fenced, readsBare)),
	atLeast(0.55, "2 processes, hold 0: hand-overs over the ring's", over("turns-2", rate, fenced, chain)),
	atLeast(0.55, "8 processes, hold 0: hand-overs over the ring's", over("turns-8", rate, fenced, chain)),
	atMost(3000, "8 processes, hold 0: p99 gap in µs", value("turns-8", fenced, gapP99)),
	atLeast(0.95, "8 processes, hold 0: least turns over most", value("turns-8", fenced, evenness)),
	atMost(1.05, "8 processes, hold 0: failed attempts a hand-over, the one that joins included", value("turns-8", watched, vain)),
	atLeast(0.55, "32 processes, hold 0: hand-overs over the ring's", over("turns-32", rate, fenced, chain)),
	atLeast(0.9, "8 processes, hold 1 ms: locks on four nodes or more", value("turns-8-1ms", watched, wide)),
	atMost(1.05, "200 processes: reads a hand-over over those with 32", func(r results) float64 {
		return median(r.ratios("200", readsBare, fenced, "32", readsBare, fenced))
	}),
	atLeast(0.8, "32 processes, one stopped: hand-overs kept", value("waiter-frozen", fenced, "kept")),
	atMost(3, "32 processes, one stopped: p99 wait in fair turns", value("waiter-frozen", fenced, lateness)),
	atLeast(0.8, "32 processes, one killed: hand-overs kept", value("waiter-killed", fenced, "kept")),
	atMost(3, "32 processes, one killed: p99 wait in fair turns", value("waiter-killed", fenced, lateness)),
	atMost(5000, "a leader resigns: median µs until the next leads", value("elections", elected, gapP50)),
	atMost(1, "the same over etcd's election", over("elections", gapP50, elected, etcdLead)),
	atMost(30, "100 candidates wait: requests a second on each node", value("candidates", elected, perNode)),
	atMost(20, "50,000 renewed leases: server µs a renewal, all nodes together", value("renewals", renewed, serverCPU)),
	atMost(0, "50,000 renewed leases: late or lost", func(r results) float64 {
		return value("renewals", renewed, late)(r) + value("renewals", renewed, lost)(r)
	}),
	atMost(10000, "50,000 renewed leases: p99 of a fresh Lock in µs", value("renewals", renewed, p99)),
	atMost(500, "50,000 renewed leases, one of two processors busy: lost", value("renewals-busy", renewed, lost)),
	atMost(4096, "1,000 waiters: bytes each", value("memory", fenced, heapPerWaiter)),
	atLeast(1, "one master, one caller: fenced over rueidislock", over("one", rate, fenced1, rueidis)),
	atLeast(1, "one master, 64 callers: fenced over rueidislock", over("64", rate, fenced1, rueidis)),
	atLeast(1, "one master, 1,000 callers: fenced over rueidislock", over("1000", rate, fenced1, rueidis)),
	atLeast(1.5, "one master, 64 callers: plain over rueidislock", over("64", rate, plain1, rueidis)),
	atLeast(1.5, "one master, 1,000 callers: plain over rueidislock", over("1000", rate, plain1, rueidis)),
	atMost(1, "one master, 32 processes: reads a hand-over over rueidislock's", over("32", reads, fenced1, rueidis)),
}
