package main

import (
	"math"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// values are the results of one turn of one contestant, by metric.
type values map[string]float64

// The metrics. Times are in microseconds. A metric "per" something was counted over the whole turn.
const (
	rate      = "per second"
	p50       = "p50"
	p99       = "p99"
	longest   = "longest"
	lockP50   = "lock p50"
	unlockP50 = "unlock p50"
	reads     = "reads"
	commands  = "commands"
	serverCPU = "server cpu"
	clientCPU = "client cpu"
	allocs    = "allocations"
	allocated = "bytes"
	failures  = "failures"
)

// percentile returns the p-th percentile of sorted values, NaN if there are none.
func percentile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	return sorted[min(int(p/100*float64(len(sorted))), len(sorted)-1)]
}

// median returns the median of the values that are numbers.
func median(of []float64) float64 {
	var sorted []float64
	for _, v := range of {
		if !math.IsNaN(v) {
			sorted = append(sorted, v)
		}
	}
	slices.Sort(sorted)
	if n := len(sorted); n > 0 && n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return percentile(sorted, 50)
}

// curve returns the percentiles 0 to 100 of sorted values, for the plots.
func curve(sorted []float64) []float64 {
	var c []float64
	for p := range 101 {
		if v := percentile(sorted, float64(p)); !math.IsNaN(v) {
			c = append(c, v)
		}
	}
	return c
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// usage is what this process has used so far.
type usage struct {
	mallocs, bytes, cpu float64
}

func used() usage {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // cannot fail: the arguments are right
	cpu := time.Duration(r.Utime.Nano() + r.Stime.Nano())
	return usage{float64(m.Mallocs), float64(m.TotalAlloc), cpu.Seconds()}
}

func (u usage) minus(earlier usage) usage {
	return usage{u.mallocs - earlier.mallocs, u.bytes - earlier.bytes, u.cpu - earlier.cpu}
}
