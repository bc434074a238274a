package main

import (
	"context"
	"time"
)

// A runner measures one contestant once. It may also return a curve: the percentiles 0 to 100 of
// the times that callers waited.
type runner func(context.Context, *bench, contestant) (values, []float64, error)

// A workload is what is measured with each of its contestants.
type workload struct {
	name        string
	title       string
	run         runner
	contestants []contestant
	rounds      float64 // the share of all rounds; at least one round
	columns     []column
}

// A column of a workload's table.
type column struct {
	heading string
	metric  string
	format  string  // of fmt
	scale   float64 // 0: 1
	over    string  // if not empty, the value is divided by this contestant's in the same round
}

var (
	everybody = named(fenced, plain, redsync, floor, bare, fenced1, plain1, rueidis, bsm, etcd)
	alone     = named(fenced, plain, redsync, floor, quorum, bare, fenced1, plain1, rueidis, bsm, etcd)
	passers   = named(fenced, plain, watched, redsync, chain)
	setters   = named(fenced, pair, eight, inTurn, rsInTurn)
	queuers   = named(fenced, plain, redsync, fenced1, rueidis, bsm, etcd)

	timesRedsync = column{"× redsync", rate, "%.2f", 0, redsync}
	callerTable  = []column{
		timesRedsync,
		{"pairs/s", rate, "%.0f", 0, ""},
		{"p50 ms", p50, "%.3f", 1e-3, ""},
		{"p99 ms", p99, "%.2f", 1e-3, ""},
		{"server µs", serverCPU, "%.0f", 0, ""},
		{"client µs", clientCPU, "%.0f", 0, ""},
		{"allocations", allocs, "%.0f", 0, ""},
		{"reads", reads, "%.2f", 0, ""},
		{"failed", failures, "%.0f", 0, ""},
	}
	loneTable = append([]column{
		{"p50 over redsync", p50, "%.2f", 0, redsync},
		{"over bare sockets", p50, "%.2f", 0, bare},
		{"Lock p50 µs", lockP50, "%.0f", 0, ""},
		{"Unlock p50 µs", unlockP50, "%.0f", 0, ""},
	}, callerTable[3:]...)
	permitTable = append([]column{
		{"p50 over a lock's", p50, "%.2f", 0, fenced},
		{"Lock p50 µs", lockP50, "%.0f", 0, ""},
		{"Unlock p50 µs", unlockP50, "%.0f", 0, ""},
	}, callerTable[2:]...)
	shareTable = []column{
		{"hand-overs/s", rate, "%.0f", 0, ""},
		{"in use", inUse, "%.2f", 0, ""},
		{"gap of a slot ms", slotGap, "%.2f", 1e-3, ""},
		{"p99 ms", p99, "%.0f", 1e-3, ""},
		{"in turns of all", inAllTurns, "%.2f", 0, ""},
		{"longest ms", longest, "%.0f", 1e-3, ""},
		{"least turns / median", leastTurns, "%.2f", 0, ""},
		{"reads", readsBare, "%.1f", 0, ""},
		{"server µs", serverCPU, "%.0f", 0, ""},
	}
	sharedTable = append([]column{{"× a lock each", rate, "%.2f", 0, fenced}}, callerTable[1:]...)
	mixedTable  = []column{
		{"turns/s", rate, "%.0f", 0, ""},
		{"p50 ms", p50, "%.0f", 1e-3, ""},
		{"p99 ms", p99, "%.0f", 1e-3, ""},
		{"of writers", writersP99, "%.0f", 1e-3, ""},
		{"in fair turns", writersInTurns, "%.2f", 0, ""},
		{"longest ms", longest, "%.0f", 1e-3, ""},
		{"least turns / median", leastTurns, "%.2f", 0, ""},
		{"reads", readsBare, "%.1f", 0, ""},
		{"server µs", serverCPU, "%.0f", 0, ""},
		{"clashes", clashes, "%.0f", 0, ""},
	}
	setTable = append([]column{
		{"p50 over one lock's", p50, "%.2f", 0, fenced},
		{"over two in turn", p50, "%.2f", 0, inTurn},
		{"over redsync's two", p50, "%.2f", 0, rsInTurn},
	}, callerTable[2:]...)
	faultTable = []column{
		{"p50 ms healthy", "healthy " + p50, "%.3f", 1e-3, ""},
		{"p50 ms", p50, "%.3f", 1e-3, ""},
		{"p99 ms healthy", "healthy " + p99, "%.2f", 1e-3, ""},
		{"p99 ms", p99, "%.2f", 1e-3, ""},
		{"pairs/s healthy", "healthy " + rate, "%.0f", 0, ""},
		{"pairs/s", rate, "%.0f", 0, ""},
		{"failed", failures, "%.0f", 0, ""},
	}
	crowdTable = []column{
		timesRedsync,
		{"hand-overs/s", rate, "%.0f", 0, ""},
		{"p99 ms", p99, "%.2f", 1e-3, ""},
		{"longest ms", longest, "%.0f", 1e-3, ""},
		{"least turns / mean", leastTurns, "%.2f", 0, ""},
		{"most turns / mean", mostTurns, "%.2f", 0, ""},
		{"overlaps", overlaps, "%.0f", 0, ""},
	}
	processTable = []column{
		{"hand-overs/s", rate, "%.0f", 0, ""},
		{"gap p50 ms", gapP50, "%.2f", 1e-3, ""},
		{"p99 ms", p99, "%.0f", 1e-3, ""},
		{"in fair turns", lateness, "%.2f", 0, ""},
		{"longest ms", longest, "%.0f", 1e-3, ""},
		{"least turns / median", leastTurns, "%.2f", 0, ""},
		{"reads", reads, "%.1f", 0, ""},
		{"after set-up", readsBare, "%.1f", 0, ""},
		{"commands", commands, "%.0f", 0, ""},
		{"overlaps", overlaps, "%.0f", 0, ""},
	}
	passTable = []column{
		{"× ring", rate, "%.2f", 0, chain},
		timesRedsync,
		{"hand-overs/s", rate, "%.0f", 0, ""},
		{"gap p50 ms", gapP50, "%.2f", 1e-3, ""},
		{"gap p99 ms", gapP99, "%.1f", 1e-3, ""},
		{"longest wait ms", longest, "%.0f", 1e-3, ""},
		{"least / most turns", evenness, "%.2f", 0, ""},
		{"failed attempts", vain, "%.2f", 0, ""},
		{"on four nodes or more", wide, "%.2f", 0, ""},
		{"reads", readsBare, "%.1f", 0, ""},
		{"server µs", serverCPU, "%.0f", 0, ""},
		{"client µs", clientCPU, "%.0f", 0, ""},
		{"overlaps", overlaps, "%.0f", 0, ""},
	}
	strickenTable = []column{
		{"hand-overs/s before", "healthy " + rate, "%.0f", 0, ""},
		{"after", rate, "%.0f", 0, ""},
		{"kept", "kept", "%.2f", 0, ""},
		{"p99 ms before", "healthy " + p99, "%.0f", 1e-3, ""},
		{"after", p99, "%.0f", 1e-3, ""},
		{"in fair turns", lateness, "%.2f", 0, ""},
		{"longest ms", longest, "%.0f", 1e-3, ""},
	}
	minorityTable = []column{
		{"hand-overs/s healthy", "healthy " + rate, "%.1f", 0, ""},
		{"killed", "killed " + rate, "%.1f", 0, ""},
		{"frozen", rate, "%.1f", 0, ""},
		{"frozen / killed", "kept", "%.2f", 0, ""},
		{"p99 ms killed", "killed " + p99, "%.0f", 1e-3, ""},
		{"frozen", p99, "%.0f", 1e-3, ""},
		{"longest ms killed", "killed " + longest, "%.0f", 1e-3, ""},
		{"frozen", longest, "%.0f", 1e-3, ""},
		{"idle ms killed", "killed " + longestGap, "%.0f", 1e-3, ""},
		{"frozen", longestGap, "%.0f", 1e-3, ""},
	}
	electionTable = []column{
		{"terms/s", rate, "%.0f", 0, ""},
		{"gap p50 ms", gapP50, "%.2f", 1e-3, ""},
		{"gap p99 ms", gapP99, "%.1f", 1e-3, ""},
		{"least / most terms", evenness, "%.2f", 0, ""},
		{"reads", readsBare, "%.1f", 0, ""},
		{"overlaps", overlaps, "%.0f", 0, ""},
	}
	renewalTable = []column{
		{"renewals/s", rate, "%.0f", 0, ""},
		{"server µs a renewal", serverCPU, "%.1f", 0, ""},
		{"client µs", clientCPU, "%.0f", 0, ""},
		{"late", late, "%.0f", 0, ""},
		{"lost", lost, "%.0f", 0, ""},
		{"a fresh Lock: p50 ms", lockP50, "%.2f", 1e-3, ""},
		{"p99 ms", p99, "%.1f", 1e-3, ""},
		{"longest ms", longest, "%.0f", 1e-3, ""},
	}
	candidateTable = []column{{perNode, perNode, "%.1f", 0, ""}}
	memoryTable    = []column{
		{"heap bytes", heapPerWaiter, "%.0f", 0, ""},
		{"stack bytes beyond a parked goroutine's", stackPerWaiter, "%.0f", 0, ""},
		{"further goroutines", goroutines, "%.1f", 0, ""},
	}
)

var workloads = []workload{
	{"one", "One caller", callers(1, 400*time.Millisecond), alone, 3, loneTable},
	{"64", "64 callers, each its own lock", callers(64, time.Second), everybody, 1, callerTable},
	{"1000", "1,000 callers, each its own lock", callers(1000, 2*time.Second), everybody, 1, callerTable},
	{"sets", "One caller, several locks", callers(1, 400*time.Millisecond), setters, 3, setTable},
	{"sets-16", "16 processes want the same two locks, hold 0", processes(16, 0, 3*time.Second), named(fenced, pair, inTurn, rsInTurn), 1, processTable},
	{"permits", "One caller, permits of a semaphore", callers(1, 400*time.Millisecond), named(fenced, half, last), 3, permitTable},
	{"permits-32", "32 processes, hold 5 ms: one lock, or four permits", processes(32, hold, 4*time.Second), named(fenced, four), 1, shareTable},
	{"shared", "One caller, a lock or a shared lock", callers(1, 400*time.Millisecond), named(fenced, reader), 3, permitTable},
	{"shared-64", "64 callers, each its own lock, or one lock shared", callers(64, time.Second), named(fenced, reader, together), 1, sharedTable},
	{"shared-32", "32 processes, hold 2 ms: the lock alone, or shared nine times of ten", processes(32, 2*time.Millisecond, 4*time.Second), named(fenced, nineTen), 1, mixedTable},
	{"one-frozen", "One caller, one of five nodes frozen", faulty(1, time.Second, frozen), named(fenced, plain), 1, faultTable},
	{"one-refused", "One caller, one of five nodes refuses connections", faulty(1, time.Second, refused), named(fenced, plain, redsync), 1, faultTable},
	{"1000-frozen", "1,000 callers, one of five nodes frozen", faulty(1000, 2*time.Second, frozen), named(fenced, plain), 1, faultTable},
	{"1000-refused", "1,000 callers, one of five nodes refuses connections", faulty(1000, 2*time.Second, refused), named(fenced, plain), 1, faultTable},
	{"redsync-frozen", "redsync, one caller, one of five nodes frozen", faulty(1, time.Second/10, frozen), named(redsync), 0.2, faultTable},
	{"minority", "3 Lockers × 2 goroutines, one lock, hold 5 ms, two of five nodes away", minority(3, 2, 3*time.Second), named(fenced, plain, redsync), 0.6, minorityTable},
	{"crowd", "16 waiters in one process, hold 0", crowd(16, time.Second), named(fenced, plain, redsync, fenced1, rueidis, bsm), 1, crowdTable},
	{"paced", "One process alone, hold 5 ms", processes(1, hold, 2*time.Second), queuers, 1, processTable},
	{"32", "32 processes, hold 5 ms", processes(32, hold, 6*time.Second), queuers, 0.6, processTable},
	{"200", "200 processes, hold 5 ms", processes(200, hold, 12*time.Second), named(fenced, plain, redsync), 0.2, processTable},
	{"turns-2", "2 processes, hold 0", processes(2, 0, 3*time.Second), passers, 1, passTable},
	{"turns-8", "8 processes, hold 0", processes(8, 0, 3*time.Second), passers, 1, passTable},
	{"turns-32", "32 processes, hold 0", processes(32, 0, 3*time.Second), passers, 1, passTable},
	{"turns-8-1ms", "8 processes, hold 1 ms", processes(8, time.Millisecond, 3*time.Second), passers, 1, passTable},
	{"turns-32-1ms", "32 processes, hold 1 ms", processes(32, time.Millisecond, 3*time.Second), passers, 1, passTable},
	{"waiter-frozen", "32 processes, hold 5 ms: one is stopped while it waits", stricken(32, 4*time.Second, func(*child) error { return nil }), named(fenced, redsync, rueidis), 0.6, strickenTable},
	{"waiter-killed", "32 processes, hold 5 ms: one is killed while it waits", stricken(32, 4*time.Second, (*child).kill), named(fenced, redsync, rueidis), 0.6, strickenTable},
	{"elections", "8 processes that campaign, lead for 5 ms and resign", processes(8, hold, 3*time.Second), named(elected, fenced, etcdLead), 1, electionTable},
	{"candidates", "100 processes that campaign while another leads", candidates(100, 20*time.Second), named(elected), 0.2, candidateTable},
	{"renewals", "50,000 leases that are renewed, TTL 10 s", renewals(50000, 0, 30*time.Second), named(renewed), 0.2, renewalTable},
	{"renewals-busy", "the same, while another process keeps one of two processors busy", renewals(50000, 1, 30*time.Second), named(renewed), 0.2, renewalTable},
	{"memory", "1,000 waiters in one process", memory(1000), named(fenced, plain, redsync, rueidis, bsm), 0.2, memoryTable},
}

// find returns the workload of that name, nil if there is none.
func find(name string) *workload {
	for i := range workloads {
		if workloads[i].name == name {
			return &workloads[i]
		}
	}
	return nil
}
