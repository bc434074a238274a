package election_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/election"
	"github.com/go-redlock/redlock/internal/clustertest"
)

// These tests check the figures of docs/operations.md.

const costTTL = 15 * time.Second

// fiveMasters are distant, so that all of them get each request before a majority has answered it.
func fiveMasters() *clustertest.Cluster {
	c := clustertest.New(5)
	c.Latency(time.Millisecond)
	return c
}

// wantRate fails the test unless that many requests a second are sent to each of five nodes.
func wantRate(t *testing.T, c *clustertest.Cluster, what string, least, most float64) {
	t.Helper()
	const settles, lasts = time.Minute, 10 * time.Minute
	time.Sleep(settles)
	before := c.Sent()
	time.Sleep(lasts)
	rate := float64(c.Sent()-before) / 5 / lasts.Seconds()
	t.Logf("%s: %.2f requests a second on each node", what, rate)
	if rate < least || rate > most {
		t.Errorf("%s: %.3f requests a second on each node, not %v to %v", what, rate, least, most)
	}
}

func TestALeaderAndAnObserverCostARequestEachThirdOfTheTTL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, r := fiveMasters(), &record{}
		_, stop := observed(t.Context(), election.New(c.Locker(t), name, redlock.WithTTL(costTTL)))
		wantRate(t, c, "an observer of a vacancy", 0.8, 1)
		_ = stop()
		leader := campaign(t.Context(), election.New(c.Locker(t), name, redlock.WithTTL(costTTL)), r.lead(""))
		wantRate(t, c, "a leader", 0.19, 0.21)
		_, stop = observed(t.Context(), election.New(c.Locker(t), name, redlock.WithTTL(costTTL)))
		wantRate(t, c, "a leader and an observer", 0.35, 0.4)
		_ = stop()
		_ = leader()
	})
}

// The candidates of one process wait in one queue, and cost as much as one candidate.
func TestAHundredCandidatesCostAtMostThirtyRequestsASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, r := fiveMasters(), &record{}
		leader := campaign(context.WithoutCancel(t.Context()), election.New(c.Locker(t), name, redlock.WithTTL(costTTL)), r.lead(""))
		time.Sleep(time.Second)
		ctx, stop := context.WithCancel(t.Context())
		var stops []func() error
		stand := func(e *election.Election) { stops = append(stops, campaign(ctx, e, r.lead(""))) }
		one := election.New(c.Locker(t), name)
		for range 100 {
			stand(one)
		}
		wantRate(t, c, "a hundred candidates in one process, and a leader", 0.4, 0.5)
		for range 99 {
			stand(election.New(c.Locker(t), name))
		}
		wantRate(t, c, "a hundred candidate processes, and a leader", 20, 30)
		stop()
		for _, stop := range stops {
			_ = stop()
		}
		_ = leader()
	})
}

// A leader resigns and campaigns again. That costs its release, the attempt of the next leader,
// which wins, and its own attempt, by which it joins the queue.
func TestAChangeOfTheLeaderCostsThreeRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const lasts, terms = 100 * time.Millisecond, 100
		c := fiveMasters()
		var led atomic.Int64
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan struct{})
		for range 2 {
			e := election.New(c.Locker(t), name)
			go func() {
				for ctx.Err() == nil {
					_ = e.Lead(ctx, func(context.Context, *redlock.Lease) error {
						led.Add(1)
						time.Sleep(lasts)
						return nil
					})
				}
				over <- struct{}{}
			}()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		began, before := led.Load(), c.Sent()
		time.Sleep(terms * lasts)
		synctest.Wait()
		n, sum := led.Load()-began, c.Sent()-before
		cancel()
		<-over
		<-over
		if each := float64(sum) / 5 / float64(n); n < terms*8/10 || each > 3.2 {
			t.Errorf("%d terms took %.2f requests each on each node, want at least %d of at most 3", n, each, terms*8/10)
		}
	})
}
