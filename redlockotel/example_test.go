package redlockotel_test

import (
	"context"
	"fmt"
	"strings"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/redlockotel"
	"github.com/go-redlock/redlock/redlocktest"
)

func Example() {
	spans := tracetest.NewSpanRecorder() // in place of an exporter
	telemetry, err := redlockotel.New(
		// without it: the global one
		redlockotel.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))))
	if err != nil {
		fmt.Println(err)
		return
	}
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes, redlock.WithObserver(telemetry))
	if err != nil {
		fmt.Println(err)
		return
	}
	err = locks.Do(context.Background(), "invoice:42", func(context.Context, *redlock.Lease) error { return nil })
	if err != nil {
		fmt.Println(err)
	}
	if err := locks.Close(context.Background()); err != nil {
		fmt.Println(err)
	}
	for _, s := range spans.Ended() {
		fmt.Println(s.Name())
	}
	// Output:
	// redlock.lock
	// redlock.hold
}

// What is done under the lock appears below the span of the lease.
func ExampleTelemetry_Context() {
	spans := tracetest.NewSpanRecorder() // in place of an exporter
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	telemetry, err := redlockotel.New(redlockotel.WithTracerProvider(provider))
	if err != nil {
		panic(err)
	}
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes, redlock.WithObserver(telemetry))
	if err != nil {
		panic(err)
	}
	defer locks.Close(context.Background())

	err = locks.Do(context.Background(), "invoice:42", func(ctx context.Context, lease *redlock.Lease) error {
		ctx = telemetry.Context(ctx, lease)
		_, paying := provider.Tracer("billing").Start(ctx, "pay")
		defer paying.End()
		return nil
	})
	if err != nil {
		panic(err)
	}
	ended := make(map[string]sdktrace.ReadOnlySpan)
	for _, s := range spans.Ended() {
		ended[s.Name()] = s
	}
	fmt.Println(ended["pay"].Parent().SpanID() == ended["redlock.hold"].SpanContext().SpanID())
	// Output: true
}

// With the global providers, which the program has set up, no options are needed.
func ExampleNew() {
	telemetry, err := redlockotel.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	nodes := redlocktest.Nodes(5) // or nodes, err := pool.Dial("10.0.0.1:6379", …)
	locks, err := redlock.New(nodes, redlock.WithObserver(telemetry))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer locks.Close(context.Background())
	fmt.Println(locks)
	// Output: redlock.Locker(5 nodes)
}

func ExampleWithTracerProvider() {
	provider := sdktrace.NewTracerProvider() // with a processor and an exporter
	defer provider.Shutdown(context.Background())
	_, err := redlockotel.New(redlockotel.WithTracerProvider(provider))
	fmt.Println(err)
	// Output: <nil>
}

func ExampleWithMeterProvider() {
	reader := sdkmetric.NewManualReader() // in place of a reader with an exporter
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	defer provider.Shutdown(context.Background())
	telemetry, err := redlockotel.New(redlockotel.WithMeterProvider(provider))
	if err != nil {
		fmt.Println(err)
		return
	}
	telemetry.Observe(redlock.DroppedEvent{Node: "10.0.0.1:6379"}) // as a Locker does
	var read metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &read); err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range read.ScopeMetrics[0].Metrics {
		if m.Name == "redlock.node.releases.dropped" {
			fmt.Println(m.Name)
		}
	}
	// Output: redlock.node.releases.dropped
}

// Few enough to be an attribute: what comes before the colon.
func ExampleWithNames() {
	_, err := redlockotel.New(redlockotel.WithNames(func(name string) string {
		kind, _, _ := strings.Cut(name, ":")
		return kind // "invoice" of "invoice:42"
	}))
	fmt.Println(err)
	// Output: <nil>
}
