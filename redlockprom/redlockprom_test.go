package redlockprom_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/observertest"
	"github.com/go-redlock/redlock/pool"
	"github.com/go-redlock/redlock/redlockprom"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryEventIsCounted(t *testing.T) {
	t.Parallel()
	metrics := redlockprom.New(redlockprom.WithNames(observertest.Kind))
	for _, e := range []redlock.Event{
		redlock.NodeEvent{Node: "a:6379", Verb: pool.Acquire, Verdict: pool.OK, Latency: time.Millisecond},
		redlock.NodeEvent{Node: "b:6379", Verb: pool.Release, Verdict: pool.Unavailable, Latency: time.Second},
		redlock.AttemptEvent{Name: "job:1", Kind: redlock.KindLock, Err: redlock.ErrHeld, Took: time.Millisecond},
		redlock.AttemptEvent{Name: "job:2", Kind: redlock.KindLock, Took: time.Millisecond, Repairs: 2},
		redlock.AcquiredEvent{Name: "job:2", Kind: redlock.KindLock, Wait: time.Second, Validity: 9 * time.Second},
		redlock.FailedEvent{Name: "job:1", Kind: redlock.KindLock, Err: errors.Join(redlock.ErrNoQuorum, context.Canceled)},
		redlock.RenewedEvent{Name: "job:2", Kind: redlock.KindLock},
		redlock.RenewedEvent{Name: "job:2", Kind: redlock.KindLock, Err: redlock.ErrNoQuorum},
		redlock.DangerEvent{Name: "job:2", Kind: redlock.KindLock},
		redlock.LostEvent{Name: "job:2", Kind: redlock.KindLock, Held: time.Minute},
		redlock.ReleasedEvent{Name: "job:3", Kind: redlock.KindLock, Held: time.Minute},
		redlock.ReleasedEvent{Name: "job:4", Kind: redlock.KindLock, Held: time.Minute, Err: redlock.ErrLost},
		redlock.DroppedEvent{Node: "b:6379"},
		redlock.DroppedEvent{Node: "b:6379", Err: errors.New("NOPERM")},
	} {
		metrics.Observe(e)
	}
	text := `
# HELP redlock_attempts_total Attempts to take a distributed lock, by how they ended.
# TYPE redlock_attempts_total counter
redlock_attempts_total{kind="lock",lock="job",verdict="held"} 1
redlock_attempts_total{kind="lock",lock="job",verdict="ok"} 1
# HELP redlock_dropped_releases_total Releases of lock keys that were given up: the key lasts until its TTL.
# TYPE redlock_dropped_releases_total counter
redlock_dropped_releases_total{node="a:6379",reason="backlog"} 0
redlock_dropped_releases_total{node="a:6379",reason="refused"} 0
redlock_dropped_releases_total{node="b:6379",reason="backlog"} 1
redlock_dropped_releases_total{node="b:6379",reason="refused"} 1
# HELP redlock_failures_total Calls of Lock, TryLock, Do and TryDo that gave up without a lease, by their verdict.
# TYPE redlock_failures_total counter
redlock_failures_total{kind="lock",lock="job",verdict="no_quorum"} 1
redlock_failures_total{kind="lock",lock="job",verdict="too_late"} 0
# HELP redlock_fence_repairs_total Second requests to nodes for a fencing token, needed where clocks differ.
# TYPE redlock_fence_repairs_total counter
redlock_fence_repairs_total{kind="lock",lock="job"} 2
# HELP redlock_leases_in_danger_total Leases of distributed locks whose renewals failed until a third of the TTL was left.
# TYPE redlock_leases_in_danger_total counter
redlock_leases_in_danger_total{kind="lock",lock="job"} 1
# HELP redlock_leases_lost_total Leases of distributed locks that ended before they were unlocked, or were found gone then: work may have overlapped.
# TYPE redlock_leases_lost_total counter
redlock_leases_lost_total{kind="lock",lock="job"} 2
# HELP redlock_node_requests_total Requests to each lock node, by what it answered.
# TYPE redlock_node_requests_total counter
redlock_node_requests_total{node="a:6379",verb="acquire",verdict="ok"} 1
redlock_node_requests_total{node="a:6379",verb="acquire",verdict="quarantined"} 0
redlock_node_requests_total{node="a:6379",verb="acquire",verdict="refused"} 0
redlock_node_requests_total{node="a:6379",verb="acquire",verdict="unavailable"} 0
redlock_node_requests_total{node="b:6379",verb="acquire",verdict="quarantined"} 0
redlock_node_requests_total{node="b:6379",verb="acquire",verdict="refused"} 0
redlock_node_requests_total{node="b:6379",verb="acquire",verdict="unavailable"} 0
redlock_node_requests_total{node="b:6379",verb="release",verdict="unavailable"} 1
# HELP redlock_releases_total Calls of Unlock, by how they ended.
# TYPE redlock_releases_total counter
redlock_releases_total{kind="lock",lock="job",verdict="lost"} 1
redlock_releases_total{kind="lock",lock="job",verdict="ok"} 1
# HELP redlock_renewals_total Renewals of leases and calls of Extend, by how they ended.
# TYPE redlock_renewals_total counter
redlock_renewals_total{kind="lock",lock="job",verdict="no_quorum"} 1
redlock_renewals_total{kind="lock",lock="job",verdict="ok"} 1
`
	counters := []string{
		"redlock_attempts_total", "redlock_leases_in_danger_total", "redlock_dropped_releases_total", "redlock_failures_total",
		"redlock_fence_repairs_total", "redlock_leases_lost_total", "redlock_node_requests_total", "redlock_releases_total", "redlock_renewals_total",
	}
	if err := testutil.CollectAndCompare(metrics, strings.NewReader(text), counters...); err != nil {
		t.Error(err)
	}
	want(t, metrics, "redlock_attempt_duration_seconds", 2)
	want(t, metrics, "redlock_wait_duration_seconds", 1)
	want(t, metrics, "redlock_validity_seconds", 1)
	want(t, metrics, "redlock_hold_duration_seconds", 3)
	want(t, metrics, "redlock_node_duration_seconds", 2)
}

// Prometheus sees no rise in a series that begins with its first event.
func TestWhatAlertsRestOnBeginsAtZero(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		opts  []redlockprom.Option
		event redlock.Event // which begins the series
		want  map[string]int
	}{
		"a Locker, without names": {
			want: map[string]int{"redlock_leases_lost_total": 1, "redlock_leases_in_danger_total": 1, "redlock_failures_total": 2},
		},
		"a lock, with names": {
			opts:  []redlockprom.Option{redlockprom.WithNames(observertest.Kind)},
			event: redlock.AttemptEvent{Name: "job:1", Kind: redlock.KindLock},
			want:  map[string]int{"redlock_leases_lost_total": 1, "redlock_leases_in_danger_total": 1, "redlock_failures_total": 2},
		},
		"a node": {
			event: redlock.NodeEvent{Node: "a:6379", Verb: pool.Acquire},
			want:  map[string]int{"redlock_node_requests_total": 4, "redlock_dropped_releases_total": 2},
		},
	} {
		metrics := redlockprom.New(test.opts...)
		if test.event != nil {
			metrics.Observe(test.event)
		}
		for metric, count := range test.want {
			if got := testutil.CollectAndCount(metrics, metric); got != count {
				t.Errorf("%s: %s has %d series, not %d", name, metric, got, count)
			}
		}
	}
}

// total sums a metric up over all its series; a histogram counts its samples.
func total(t *testing.T, c prometheus.Collector, name string) (sum float64) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

func TestALeaseCountsUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		metrics := redlockprom.New()
		lease, end := context.WithCancel(t.Context())
		metrics.ObserveContext(lease, redlock.AcquiredEvent{Name: "job"})
		want(t, metrics, "redlock_leases", 1)
		end()
		synctest.Wait() // another goroutine lowers the count
		want(t, metrics, "redlock_leases", 0)
	})
}

// want checks the sum of a metric over all its series.
func want(t *testing.T, c prometheus.Collector, name string, sum float64) {
	t.Helper()
	if got := total(t, c, name); got != sum {
		t.Errorf("%s is %v, want %v", name, got, sum)
	}
}

func TestTheMetricsKeepToPrometheusRules(t *testing.T) {
	t.Parallel()
	metrics := redlockprom.New()
	metrics.ObserveContext(t.Context(), redlock.AcquiredEvent{Name: "job"})
	metrics.Observe(redlock.NodeEvent{Node: "a:6379", Verb: pool.Acquire, Verdict: pool.OK})
	problems, err := testutil.CollectAndLint(metrics)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}
