package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// results are the raw figures of all workloads, by name. They may come from several runs.
type results map[string]*run

// A run is one run of one workload.
type run struct {
	When    time.Time `json:"when"`
	Machine string    `json:"machine"`
	Samples []sample  `json:"samples"`
}

// A sample is what one contestant did in one round.
type sample struct {
	Round      int       `json:"round"`
	Contestant string    `json:"contestant"`
	Values     values    `json:"values"`
	Curve      []float64 `json:"curve,omitempty"` // percentiles 0 to 100, µs
}

// MarshalJSON leaves out values that are not numbers.
func (v values) MarshalJSON() ([]byte, error) {
	clean := make(map[string]float64, len(v))
	for metric, f := range v {
		if !math.IsNaN(f) && !math.IsInf(f, 0) {
			clean[metric] = f
		}
	}
	return json.Marshal(clean)
}

// at returns the metric of a contestant in a round, NaN if there is none.
func (r results) at(workload, contestant, metric string, round int) float64 {
	if run := r[workload]; run != nil {
		for _, s := range run.Samples {
			if v, ok := s.Values[metric]; ok && s.Contestant == contestant && s.Round == round {
				return v
			}
		}
	}
	return math.NaN()
}

// rounds returns how many rounds the workload had.
func (r results) rounds(workload string) int {
	n := 0
	if run := r[workload]; run != nil {
		for _, s := range run.Samples {
			n = max(n, s.Round+1)
		}
	}
	return n
}

// series returns the metric of a contestant in each round.
func (r results) series(workload, contestant, metric string) []float64 {
	var s []float64
	for round := range r.rounds(workload) {
		s = append(s, r.at(workload, contestant, metric, round))
	}
	return s
}

// ratios returns, for each round of both workloads, the first value over the second.
func (r results) ratios(workloadA, metricA, a, workloadB, metricB, b string) []float64 {
	var s []float64
	for round := range min(r.rounds(workloadA), r.rounds(workloadB)) {
		s = append(s, r.at(workloadA, a, metricA, round)/r.at(workloadB, b, metricB, round))
	}
	return s
}

func readResults(path string) (results, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return results{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("results: %w", err)
	}
	r := results{}
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("results: %w", err)
	}
	return r, nil
}

func (r results) write(path string) error {
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return os.WriteFile(path, append(compact(text), '\n'), 0o644) //nolint:gosec // for all to read
}

// compact puts each curve on a line of its own.
func compact(text []byte) []byte {
	var out strings.Builder
	inCurve := false
	for line := range strings.Lines(string(text)) {
		inCurve = inCurve || strings.Contains(line, `"curve": [`)
		if inCurve {
			line = strings.TrimSuffix(line, "\n")
			if strings.TrimSpace(line) == "]" {
				inCurve = false
				line = "]\n"
			} else if !strings.Contains(line, "curve") {
				line = strings.TrimSpace(line)
			}
		}
		out.WriteString(line)
	}
	return []byte(out.String())
}

// machine describes this machine.
func machine() string {
	cpu := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(text), "model name\t: "); ok {
			cpu, _, _ = strings.Cut(rest, "\n")
		}
	}
	server := "unknown server"
	if out, err := exec.Command("redis-server", "--version").Output(); err == nil {
		for word := range strings.FieldsSeq(string(out)) {
			if v, ok := strings.CutPrefix(word, "v="); ok {
				server = "redis-server " + v
			}
		}
	}
	return fmt.Sprintf("%s, %d cores, %s/%s, %s, %s", cpu, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), server)
}

// versions lists the versions of the contestants.
func versions() []string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	var found []string
	for _, dep := range info.Deps {
		switch dep.Path {
		case "github.com/go-redsync/redsync/v4", "github.com/redis/rueidis", "github.com/bsm/redislock",
			"go.etcd.io/etcd/server/v3", "github.com/redis/go-redis/v9":
			found = append(found, strings.TrimPrefix(dep.Path, "github.com/")+" "+dep.Version)
		}
	}
	return found
}
