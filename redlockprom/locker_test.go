package redlockprom_test

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/observertest"
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
			"redlock_wait_duration_seconds":    2,
			"redlock_validity_seconds":         2,
			"redlock_failures_total":           2,
			"redlock_hold_duration_seconds":    2,
			"redlock_leases_in_danger_total":   1,
			"redlock_leases_lost_total":        1,
			"redlock_releases_total":           1,
			"redlock_leases":                   0,
		} {
			want(t, metrics, name, sum)
		}
		for _, name := range []string{"redlock_renewals_total", "redlock_node_requests_total", "redlock_node_duration_seconds"} {
			if total(t, metrics, name) == 0 {
				t.Errorf("%s is 0", name)
			}
		}
	})
}

func TestAScrapeGivesNoOwnerAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		metrics := redlockprom.New(redlockprom.WithNames(observertest.Kind))
		observertest.Live(t, metrics)
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(metrics)
		w := httptest.NewRecorder()
		promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		text := w.Body.String()
		for _, series := range []string{
			`redlock_leases{kind="lock",lock="job"} 0`, `redlock_leases_in_danger_total{kind="lock",lock="job"} 1`, `redlock_leases_lost_total{kind="lock",lock="job"} 2`,
			`redlock_failures_total{kind="lock",lock="job",verdict="no_quorum"} 1`, `redlock_releases_total{kind="lock",lock="job",verdict="ok"} 1`,
		} {
			if !strings.Contains(text, series) {
				t.Errorf("the scrape lacks %s", series)
			}
		}
		if observertest.OwnerID.MatchString(text) {
			t.Errorf("the scrape gives an owner away:\n%s", text)
		}
	})
}

// A master that is frozen keeps releases waiting, and nothing else shows how many.
func TestWhatALockerHasUnderWayIsToldWhileItIsWatched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := redlocktest.New(t, 3)
		metrics := redlockprom.New()
		locks, other := q.Locker(redlock.WithObserver(metrics)), q.Locker()
		told := func() (values []float64) {
			registry := prometheus.NewPedanticRegistry()
			registry.MustRegister(metrics)
			families, err := registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				if f.GetName() == "redlock_pending_requests" {
					values = append(values, f.GetMetric()[0].GetGauge().GetValue())
				}
			}
			return values
		}
		if got := told(); len(got) != 0 {
			t.Errorf("no Locker is watched, and the metric is %v", got)
		}
		stop, stopOther := metrics.Watch(locks), metrics.Watch(other)
		var leases []*redlock.Lease
		for _, name := range []string{"a", "b"} {
			lease, err := locks.Lock(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			leases = append(leases, lease)
		}
		time.Sleep(time.Second) // all masters have granted both
		q.Freeze(2)
		for _, lease := range leases {
			if err := lease.Unlock(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if got, want := told(), float64(locks.Stats().Pending); len(got) != 1 || got[0] != want || want < 1 {
			t.Errorf("the metric is %v, the Locker has %v under way", got, want)
		}
		q.Thaw(2)
		time.Sleep(time.Minute)
		if got := told(); len(got) != 1 || got[0] != 0 {
			t.Errorf("after all is confirmed the metric is %v", got)
		}
		stop()
		stopOther()
		if got := told(); len(got) != 0 {
			t.Errorf("no Locker is watched any more, and the metric is %v", got)
		}
	})
}
