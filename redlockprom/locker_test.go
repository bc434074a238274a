package redlockprom_test

import (
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/memnode"
	"github.com/go-redlock/redlock/redlockprom"
	"github.com/go-redlock/redlock/redlocktest"
)

func TestWhatALockerDoesIsCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := redlocktest.New(t, 5)
		metrics := redlockprom.New()
		locks := q.Locker(redlock.WithObserver(metrics))

		lease, err := locks.Lock(t.Context(), "job", redlock.WithRenewal(redlock.Forever))
		if err != nil {
			t.Fatal(err)
		}
		want(t, metrics, "redlock_leases", 1)
		if _, err := q.Locker(redlock.WithObserver(metrics)).TryLock(t.Context(), "job"); !errors.Is(err, redlock.ErrHeld) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second) // one renewal
		if err := lease.Unlock(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err = locks.Lock(t.Context(), "job", redlock.WithRenewal(redlock.Forever)); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			q.Kill(i)
		}
		time.Sleep(time.Minute)
		if _, err := locks.TryLock(t.Context(), "other"); !errors.Is(err, redlock.ErrNoQuorum) {
			t.Fatal(err)
		}
		for name, sum := range map[string]float64{
			"redlock_attempts_total":           4,
			"redlock_attempt_duration_seconds": 4,
			"redlock_wait_seconds":             2,
			"redlock_validity_seconds":         2,
			"redlock_failures_total":           2,
			"redlock_hold_seconds":             2,
			"redlock_danger_total":             1,
			"redlock_losses_total":             1,
			"redlock_releases_total":           1,
			"redlock_leases":                   0,
		} {
			want(t, metrics, name, sum)
		}
		for _, name := range []string{"redlock_renewals_total", "redlock_node_requests_total", "redlock_node_latency_seconds"} {
			if total(t, metrics, name) == 0 {
				t.Errorf("%s is 0", name)
			}
		}
	})
}

func TestAScrapeGivesNoOwnerAway(t *testing.T) {
	t.Parallel()
	masters, nodes := memnode.Cluster(3)
	metrics := redlockprom.New(redlockprom.WithNames(kind))
	locks, err := redlock.New(nodes, redlock.WithObserver(metrics))
	if err != nil {
		t.Fatal(err)
	}
	defer locks.Close(t.Context())
	if _, err := locks.Lock(t.Context(), "job:1"); err != nil {
		t.Fatal(err)
	}
	var owner string
	for _, m := range masters { // one of them may not have it yet
		if o, _, found := m.Get("job:1"); found {
			owner = o
		}
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metrics)
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(body); !strings.Contains(text, `redlock_leases{lock="job"} 1`) || owner == "" || strings.Contains(text, owner) {
		t.Errorf("the scrape is\n%s", text)
	}
}
