package redlockprom_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/redlockprom"
	"github.com/go-redlock/redlock/redlocktest"
)

func Example() {
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	metrics := redlockprom.New(redlockprom.WithNames(func(name string) string {
		kind, _, _ := strings.Cut(name, ":")
		return kind // "invoice" of "invoice:42": few enough to be a label
	}))
	registry := prometheus.NewRegistry() // or prometheus.DefaultRegisterer
	registry.MustRegister(metrics)

	locks, err := redlock.New(nodes, redlock.WithObserver(metrics))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer locks.Close(context.Background())
	err = locks.Do(context.Background(), "invoice:42", func(context.Context, *redlock.Lease) error { return nil })
	if err != nil {
		fmt.Println(err)
	}

	families, err := registry.Gather()
	if err != nil {
		fmt.Println(err)
	}
	for _, f := range families {
		if f.GetName() == "redlock_attempts_total" {
			m := f.GetMetric()[0]
			for _, l := range m.GetLabel() {
				fmt.Print(l.GetName(), "=", l.GetValue(), " ")
			}
			fmt.Println(m.GetCounter().GetValue())
		}
	}
	// Output: kind=lock lock=invoice verdict=ok 1
}

func ExampleNew() {
	metrics := redlockprom.New()
	registry := prometheus.NewRegistry() // or prometheus.DefaultRegisterer
	registry.MustRegister(metrics)
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes, redlock.WithObserver(metrics))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer locks.Close(context.Background())
	fmt.Println(locks)
	// Output: redlock.Locker(5 nodes)
}

func ExampleMetrics_Watch() {
	metrics := redlockprom.New()
	registry := prometheus.NewRegistry() // or prometheus.DefaultRegisterer
	registry.MustRegister(metrics)
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes, redlock.WithObserver(metrics))
	if err != nil {
		panic(err)
	}
	defer metrics.Watch(locks)()
	defer locks.Close(context.Background())
	families, err := registry.Gather()
	if err != nil {
		panic(err)
	}
	for _, f := range families {
		if f.GetName() == "redlock_pending_requests" {
			fmt.Println(f.GetMetric()[0].GetGauge().GetValue())
		}
	}
	// Output: 0
}

// Few enough to be a label: what comes before the colon.
func ExampleWithNames() {
	metrics := redlockprom.New(redlockprom.WithNames(func(name string) string {
		kind, _, _ := strings.Cut(name, ":")
		return kind // "invoice" of "invoice:42"
	}))
	metrics.Observe(redlock.DangerEvent{Name: "invoice:42"}) // as a Locker does
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics)
	families, err := registry.Gather()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range families {
		m := f.GetMetric()[0]
		if m.GetCounter().GetValue() > 0 {
			fmt.Println(f.GetName(), m.GetLabel()[1].GetName(), m.GetLabel()[1].GetValue())
		}
	}
	// Output: redlock_leases_in_danger_total lock invoice
}
