package main

import (
	"context"
	"fmt"
	"time"

	"github.com/go-redlock/redlock/internal/redisserver"
)

const longestGap = "longest gap" // for which nobody had the lock though all wanted it

// minority measures some lockers with some goroutines each, which all want one lock: with all nodes
// healthy, with two of five killed, and with two of five frozen. Each case has servers of its own,
// and is measured from the fault on.
func minority(lockers, each int, lasts time.Duration) runner {
	return func(ctx context.Context, b *bench, c contestant) (values, []float64, error) {
		all, curves := values{}, []float64(nil)
		for _, befalls := range []struct {
			name  string
			fault fault
		}{{"healthy ", nil}, {"killed ", refused}, {"", frozen}} {
			v, waits, err := contended(ctx, c, lockers, each, b.lasting(lasts), befalls.fault)
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %w", befalls.name, err)
			}
			for metric, f := range v {
				all[befalls.name+metric] = f
			}
			curves = curve(waits)
		}
		all["kept"] = all[rate] / all["killed "+rate]
		return all, curves, nil
	}
}

// contended lets lockers take turns while two nodes are away.
func contended(ctx context.Context, c contestant, lockers, each int, lasts time.Duration, befall fault) (values, []float64, error) {
	masters, err := redisserver.Start(c.nodes)
	if err != nil {
		return nil, nil, err
	}
	defer masters.Stop()
	p, err := gather(ctx, masters.Addrs(), c, lockers, each, hold)
	if err != nil {
		return nil, nil, err
	}
	time.Sleep(lasts / 4)
	for i := c.nodes/2 + 1; i < c.nodes && befall != nil; i++ {
		if err := befall(masters.Process(i)); err != nil {
			return nil, nil, fmt.Errorf("node %d: %w", i, err)
		}
	}
	begin := time.Now()
	time.Sleep(lasts)
	end := time.Now()
	_ = p.end() // its error may say that nodes did not answer
	turns := p.between(begin, end)
	v := values{rate: float64(len(turns)) / lasts.Seconds(), failures: float64(p.failed.Load())}
	if len(turns) == 0 {
		return v, nil, nil
	}
	of, waits := judge(turns, lockers, hold)
	for _, metric := range []string{p50, p99, longest, longestGap} {
		v[metric] = of[metric]
	}
	return v, waits, nil
}
