package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/go-redlock/redlock/internal/redisserver"
	"github.com/go-redlock/redlock/internal/servertest"
)

// TestMain lets the test binary be a worker, because workers are processes of this program.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-worker" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// A log collects what is written to it.
type log struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// check fails the test if the log shows a fault.
func (l *log) check(t *testing.T) {
	t.Helper()
	for _, fault := range faults(l.text.String()) {
		t.Errorf("%s in\n%s", fault, l.text.String())
	}
}

// faults reads in a log whether each worker worked once, nobody's work overlapped with another's,
// and the sum is right.
func faults(text string) (all []string) {
	inside, turns := 0, map[int]int{}
	for line := range strings.Lines(text) {
		var worker int
		var does string
		if _, err := fmt.Sscanf(line, "worker %d %s", &worker, &does); err != nil {
			continue
		}
		switch {
		case does == "has" && inside != 0:
			all = append(all, fmt.Sprintf("worker %d begins while worker %d is at work", worker, inside))
		case does == "has":
			inside = worker
		case does == "makes" && inside == worker:
			inside = 0
			turns[worker]++
		case does == "makes":
			all = append(all, fmt.Sprintf("worker %d ends, but worker %d is at work", worker, inside))
		}
	}
	for w := range workers {
		if turns[w+1] != 1 {
			all = append(all, fmt.Sprintf("worker %d had %d turns", w+1, turns[w+1]))
		}
	}
	if !strings.Contains(text, "the sum is 45,") {
		all = append(all, "the sum is not 45")
	}
	return all
}

func TestWorkOfGoroutinesDoesNotOverlap(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "sum")
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var l log
		if err := (scene{second: time.Second, file: file}).run(t.Context(), &l); err != nil {
			t.Fatal(err)
		}
		l.check(t)
		if took := time.Since(began); took < 6*time.Second || took > 7*time.Second {
			t.Errorf("it took %v, not about 6s", took)
		}
	})
}

func TestWorkOfProcessesDoesNotOverlap(t *testing.T) {
	t.Parallel()
	var l log
	err := scene{second: 50 * time.Millisecond, processes: true, file: filepath.Join(t.TempDir(), "sum")}.run(t.Context(), &l)
	if errors.Is(err, redisserver.ErrNone) {
		servertest.Missing(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	l.check(t)
}

func TestOverlapsAreNoticed(t *testing.T) {
	t.Parallel()
	text := "worker 1 has\nworker 2 has\nworker 1 makes\nworker 2 makes\nworker 3 has\nworker 3 makes\nthe sum is 45,"
	if got := faults(text); len(got) != 3 { // 2 begins in 1, 2 ends in nobody, 2 has had no turn
		t.Errorf("faults found: %q", got)
	}
}
