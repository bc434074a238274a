package redlockotel_test

import (
	"context"
	"fmt"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/memnode"
	"github.com/go-redlock/redlock/redlockotel"
)

func Example() {
	spans := tracetest.NewSpanRecorder() // in place of an exporter
	telemetry, err := redlockotel.New(
		redlockotel.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))) // without it: the global one
	if err != nil {
		fmt.Println(err)
		return
	}
	_, nodes := memnode.Cluster(5) // or pool.Dial("10.0.0.1:6379", …)
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
