package redlockprom

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/go-redlock/redlock"
)

// pending tells how much the watched Lockers have under way.
var pending = prometheus.NewDesc("redlock_pending_requests",
	"Requests on their way to lock nodes, and releases that are still to be sent again.", nil, nil)

// lockers are the Lockers that are watched, each as often as it is watched.
type lockers struct {
	mu      sync.Mutex
	watched map[*watch]struct{}
}

// A watch is one call of Watch.
type watch struct{ *redlock.Locker }

// Watch adds redlock_pending_requests, which no event tells, to the metrics: what all Lockers that
// are watched have under way, by [redlock.Locker.Stats]. It stays high while a node does not
// confirm releases. The Locker counts, and is kept in memory, until stop is called, once it has
// been closed for instance.
func (m *Metrics) Watch(l *redlock.Locker) (stop func()) {
	w := &watch{l}
	m.lockers.mu.Lock()
	defer m.lockers.mu.Unlock()
	if m.lockers.watched == nil {
		m.lockers.watched = make(map[*watch]struct{})
	}
	m.lockers.watched[w] = struct{}{}
	return func() {
		m.lockers.mu.Lock()
		defer m.lockers.mu.Unlock()
		delete(m.lockers.watched, w)
	}
}

// Describe implements [prometheus.Collector].
func (*lockers) Describe(to chan<- *prometheus.Desc) { to <- pending }

// Collect implements [prometheus.Collector]. Nothing is told while no Locker is watched.
func (ls *lockers) Collect(to chan<- prometheus.Metric) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if len(ls.watched) == 0 {
		return
	}
	sum := 0
	for w := range ls.watched {
		sum += w.Stats().Pending
	}
	to <- prometheus.MustNewConstMetric(pending, prometheus.GaugeValue, float64(sum))
}
