package redlockprom_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"regexp"
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

// An owner id begins with this, and what is shown must not have it.
var ownerID = regexp.MustCompile(`[0-9a-f]{32}`)

// live has a Locker take, renew, lose, release and fail to get locks, under the observer's eyes.
func live(t *testing.T, observer redlock.Observer) {
	t.Helper()
	masters, nodes := memnode.Cluster(3)
	var lockers []*redlock.Locker
	for range 2 {
		l, err := redlock.New(nodes, redlock.WithObserver(observer), redlock.WithRenewal(redlock.Forever), redlock.WithHolder("web-1"))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close(context.WithoutCancel(t.Context()))
		lockers = append(lockers, l)
	}
	lock := func(name string) *redlock.Lease {
		lease, err := lockers[0].Lock(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // for the answers that came after the decision
		if owner, _, _ := masters[0].Get(name); !ownerID.MatchString(owner) {
			t.Fatalf("an owner id does not look as this test thinks: %q", owner)
		}
		return lease
	}
	released, gone, starved := lock("job:released"), lock("job:gone"), lock("job:starved")
	if _, err := lockers[1].TryLock(t.Context(), "job:gone"); !errors.Is(err, redlock.ErrHeld) {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Second) // a renewal each
	if err := released.Unlock(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, m := range masters {
		m.Delete("job:gone")
	}
	if err := gone.Extend(t.Context()); !errors.Is(err, redlock.ErrLost) {
		t.Fatal(err)
	}
	masters[0].Kill()
	masters[1].Freeze()
	if _, err := lockers[1].TryLock(t.Context(), "job:none"); !errors.Is(err, redlock.ErrNoQuorum) {
		t.Fatal(err)
	}
	<-starved.Done()
	masters[1].Thaw()
	masters[0].Start(true)
	synctest.Wait()
}

func TestAScrapeGivesNoOwnerAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		metrics := redlockprom.New(redlockprom.WithNames(kind))
		live(t, metrics)
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(metrics)
		w := httptest.NewRecorder()
		promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		text := w.Body.String()
		for _, series := range []string{
			`redlock_leases{lock="job"} 0`, `redlock_leases_in_danger_total{lock="job"} 1`, `redlock_leases_lost_total{lock="job"} 2`,
			`redlock_failures_total{lock="job",verdict="no_quorum"} 1`, `redlock_releases_total{lock="job",verdict="ok"} 1`,
		} {
			if !strings.Contains(text, series) {
				t.Errorf("the scrape lacks %s", series)
			}
		}
		if ownerID.MatchString(text) {
			t.Errorf("the scrape gives an owner away:\n%s", text)
		}
	})
}
