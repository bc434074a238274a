package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/election"
)

// A candidate is a process that campaigns. Its lock returns when it is elected, and its unlock
// resigns.
type candidate struct{ ourLocker }

func openCandidate(_ context.Context, addrs []string) (locker, error) {
	l, err := openOurs(addrs)
	if err != nil {
		return nil, err
	}
	return candidate{l.(ourLocker)}, nil //nolint:errcheck,forcetypeassert // it is
}

func (c candidate) lock(ctx context.Context, name string) (held, error) {
	t := &term{resign: make(chan struct{}), over: make(chan error, 1)}
	elected := make(chan struct{})
	go func() {
		t.over <- election.New(c.Locker, name).Lead(ctx, func(context.Context, *redlock.Lease) error {
			close(elected)
			<-t.resign
			return nil
		})
	}()
	select {
	case <-elected:
		return t, nil
	case err := <-t.over:
		return nil, err
	}
}

// A term lasts until its leader resigns.
type term struct {
	resign chan struct{}
	over   chan error
}

func (t *term) unlock(context.Context) error {
	close(t.resign)
	return <-t.over
}

// An etcdCandidate campaigns in an election of etcd's.
type etcdCandidate struct{ *etcdLocker }

func (c etcdCandidate) lock(ctx context.Context, name string) (held, error) {
	e := concurrency.NewElection(c.session, "/"+name)
	return (*etcdTerm)(e), e.Campaign(ctx, "bench")
}

type etcdTerm concurrency.Election

func (t *etcdTerm) unlock(ctx context.Context) error { return (*concurrency.Election)(t).Resign(ctx) }

func openEtcdCandidate(ctx context.Context, addrs []string) (locker, error) {
	l, err := openEtcd(ctx, addrs)
	if err != nil {
		return nil, err
	}
	return etcdCandidate{l.(*etcdLocker)}, nil //nolint:errcheck,forcetypeassert // it is
}

const (
	perNode  = "requests a second on each node"
	settling = 5 * time.Second // until then all candidates wait
)

// candidates measures how many requests n processes that campaign send to the nodes while another
// leads.
func candidates(n int, lasts time.Duration) runner {
	return func(ctx context.Context, b *bench, c contestant) (values, []float64, error) {
		if err := b.servers.flush(ctx); err != nil {
			return nil, nil, err
		}
		var lockers []locker
		defer func() {
			for _, l := range lockers {
				_ = l.close() // the figures stay valid
			}
		}()
		for range n + 1 {
			l, err := c.open(ctx, b.servers.Addrs()[:c.nodes])
			if err != nil {
				return nil, nil, err
			}
			lockers = append(lockers, l)
		}
		leader, err := lockers[0].lock(ctx, "bench")
		if err != nil {
			return nil, nil, err
		}
		campaign, stop := context.WithCancel(ctx)
		var waiting sync.WaitGroup
		for _, l := range lockers[1:] {
			waiting.Go(func() {
				if h, err := l.lock(campaign, "bench"); err == nil {
					_ = h.unlock(ctx) // it was elected after the measurement
				}
			})
		}
		time.Sleep(settling)
		before, err := b.servers.bill(ctx)
		began := time.Now()
		time.Sleep(b.lasting(lasts))
		after, err2 := b.servers.bill(ctx)
		took := time.Since(began)
		stop()
		waiting.Wait()
		if err := errors.Join(err, err2, leader.unlock(ctx)); err != nil {
			return nil, nil, err
		}
		return values{perNode: after.minus(before, 1).reads / allNodes / took.Seconds()}, nil, nil
	}
}
