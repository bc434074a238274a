package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// hold is how long each process works under the lock.
const hold = 5 * time.Millisecond

// A turn is the time for which one process had the lock once.
type turn struct {
	who              int
	reads            bool // others may have it at the same time
	asked, got, gave time.Time
}

// A journal records the turns of all processes.
type journal struct {
	mu    sync.Mutex
	turns []turn
}

// between returns the turns that began in that time, in order.
func (j *journal) between(begin, end time.Time) []turn {
	j.mu.Lock()
	defer j.mu.Unlock()
	var found []turn
	for _, t := range j.turns {
		if !t.got.Before(begin) && t.got.Before(end) {
			found = append(found, t)
		}
	}
	slices.SortFunc(found, func(a, b turn) int { return a.got.Compare(b.got) })
	return found
}

// A party is a number of independent lockers on one name, as that many processes would use.
type party struct {
	journal
	lockers []locker
	hold    time.Duration
	stop    context.CancelFunc
	wg      sync.WaitGroup
	failed  atomic.Int64
}

// gather opens n lockers and lets them take turns, with some goroutines each.
func gather(ctx context.Context, addrs []string, c contestant, n, each int, hold time.Duration) (*party, error) {
	p := &party{hold: hold}
	var running context.Context
	running, p.stop = context.WithCancel(ctx)
	for range n {
		l, err := c.open(ctx, addrs)
		if err != nil {
			return nil, errors.Join(err, p.end())
		}
		p.lockers = append(p.lockers, l)
	}
	for i, l := range p.lockers {
		for range each {
			p.wg.Go(func() {
				for running.Err() == nil {
					if err := p.turn(running, i, l); err != nil && running.Err() == nil {
						p.failed.Add(1)
					}
				}
			})
		}
	}
	return p, nil
}

func (p *party) turn(ctx context.Context, i int, l locker) error {
	t := turn{who: i, asked: time.Now()}
	h, err := l.lock(ctx, "bench")
	if err != nil {
		return err
	}
	t.got, t.reads = time.Now(), readsOnly(h)
	if p.hold > 0 {
		time.Sleep(p.hold)
	}
	t.gave = time.Now()
	err = h.unlock(context.WithoutCancel(ctx))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turns = append(p.turns, t)
	return err
}

func (p *party) end() error {
	p.stop()
	p.wg.Wait()
	var wg sync.WaitGroup
	errs := make([]error, len(p.lockers))
	for i, l := range p.lockers {
		wg.Go(func() { errs[i] = l.close() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// processes measures n independent lockers that want one lock and hold it for that long each.
func processes(n int, hold, lasts time.Duration) runner {
	return func(ctx context.Context, b *bench, c contestant) (values, []float64, error) {
		if err := b.servers.flush(ctx); err != nil {
			return nil, nil, err
		}
		start, err := b.servers.bill(ctx)
		if err != nil {
			return nil, nil, err
		}
		c, done := shared(c)
		defer done()
		p, err := gather(ctx, b.servers.Addrs()[:c.nodes], c, n, 1, hold)
		if err != nil {
			return nil, nil, err
		}
		opened := time.Now()
		time.Sleep(b.lasting(lasts / 4))
		settled, err := b.servers.bill(ctx)
		before, begin := used(), time.Now()
		time.Sleep(b.lasting(lasts))
		over, err2 := b.servers.bill(ctx)
		spent, end := used().minus(before), time.Now()
		if err := errors.Join(err, err2, p.end()); err != nil {
			return nil, nil, err
		}
		turns := p.between(begin, end)
		if len(turns) == 0 {
			return nil, nil, errors.New("nobody got the lock")
		}
		v, waits := judge(turns, n, hold)
		v[rate] = float64(len(turns)) / end.Sub(begin).Seconds()
		all := over.minus(start, 2)
		since := over.minus(settled, 1)
		v[reads] = all.reads / float64(len(p.between(opened.Add(-time.Minute), end)))
		v[readsBare] = since.reads / float64(len(turns))
		v[serverCPU] = since.cpu * 1e6 / float64(len(turns))
		v[clientCPU] = spent.cpu * 1e6 / float64(len(turns))
		v[commands] = since.commands / float64(len(turns))
		v[failures] = float64(p.failed.Load())
		v.share(c, n, hold)
		v.write(turns, n)
		maps.Copy(v, watchers(p.lockers))
		return v, curve(waits), nil
	}
}

// judge computes the metrics of the turns of n lockers, which are in order.
func judge(turns []turn, n int, hold time.Duration) (values, []float64) {
	counts := make([]float64, n)
	var waits, gaps []float64
	overlap := 0.
	for i, t := range turns {
		counts[t.who]++
		waits = append(waits, micros(t.got.Sub(t.asked)))
		if i > 0 {
			gap := t.got.Sub(turns[i-1].gave)
			gaps = append(gaps, micros(gap))
			if gap < 0 {
				overlap++
			}
		}
	}
	slices.Sort(waits)
	slices.Sort(gaps)
	v := values{
		p50: percentile(waits, 50), p99: percentile(waits, 99),
		longest: percentile(waits, 100), gapP50: percentile(gaps, 50), gapP99: percentile(gaps, 99), longestGap: percentile(gaps, 100),
		leastTurns: slices.Min(counts) / median(counts), evenness: slices.Min(counts) / slices.Max(counts), overlaps: overlap,
	}
	v[fairTurn] = float64(n) * (micros(hold) + v[gapP50])
	v[lateness] = v[p99] / v[fairTurn]
	return v, waits
}

// shared makes all lockers of a contestant that starts its own servers use the same ones, and makes
// the members of a ring know of each other.
func shared(c contestant) (contestant, func()) {
	switch c.name {
	case chain:
		c.open = (&ring{}).open
		return c, func() {}
	case etcd, etcdLead:
	default:
		return c, func() {}
	}
	var first *etcdLocker
	c.open = func(ctx context.Context, _ []string) (locker, error) {
		if first == nil {
			l, err := openEtcd(ctx, nil)
			if err != nil {
				return nil, err
			}
			first = l.(*etcdLocker) //nolint:forcetypeassert // it is
		}
		l, err := (&etcdLocker{}).connect(ctx, first.client.Endpoints())
		if err == nil && c.name == etcdLead {
			return etcdCandidate{l}, nil
		}
		return l, err
	}
	return c, func() {
		if first != nil {
			_ = first.close()
		}
	}
}

// A blow is a way to stop a process.
type blow func(*child) error

// stricken measures lockers, one of them in a process of its own: first while all run, and then
// while that process, which waits for the lock, is stopped or dead.
func stricken(n int, lasts time.Duration, strike blow) runner {
	return func(ctx context.Context, b *bench, c contestant) (values, []float64, error) {
		if err := b.servers.flush(ctx); err != nil {
			return nil, nil, err
		}
		victim, err := startVictim(c, b.servers.Addrs()[:c.nodes])
		if err != nil {
			return nil, nil, err
		}
		defer victim.kill() //nolint:errcheck // it may be dead already
		p, err := gather(ctx, b.servers.Addrs()[:c.nodes], c, n-1, 1, hold)
		if err != nil {
			return nil, nil, err
		}
		time.Sleep(b.lasting(lasts / 4))
		begin, had := time.Now(), victim.turns.Load()
		time.Sleep(b.lasting(lasts))
		healthyEnd, has := time.Now(), victim.turns.Load()
		struck, err := victim.strike(strike)
		if err != nil {
			return nil, nil, errors.Join(err, p.end())
		}
		time.Sleep(b.lasting(lasts))
		end := time.Now()
		if err := p.end(); err != nil {
			return nil, nil, err
		}
		healthy, turns := p.between(begin, healthyEnd), p.between(struck, end)
		v, waits := judge(turns, n-1, hold)
		well, _ := judge(healthy, n-1, hold)
		v["healthy "+rate] = (float64(len(healthy)) + float64(has-had)) / healthyEnd.Sub(begin).Seconds()
		v[rate] = float64(len(turns)) / end.Sub(struck).Seconds()
		v["kept"] = v[rate] / v["healthy "+rate]
		v[fairTurn] = float64(n) * 1e6 / v["healthy "+rate]
		v[lateness] = v[p99] / v[fairTurn]
		v["healthy "+p99] = well[p99]
		v[failures] = float64(p.failed.Load())
		return v, curve(waits), nil
	}
}

// A victim is a child that takes part and reports what it does.
type victim struct {
	*child
	state atomic.Value // of string: waits, holds
	turns atomic.Int64
	asks  chan struct{} // gets a value when it begins to wait
}

const (
	waits = "w"
	holds = "h"
)

// victimSetup is the child's task.
type victimSetup struct {
	Contestant string
	Addrs      []string
}

func startVictim(c contestant, addrs []string) (*victim, error) {
	process, err := startChild("waiter", victimSetup{c.name, addrs})
	if err != nil {
		return nil, err
	}
	v := &victim{child: process, asks: make(chan struct{}, 1)}
	v.state.Store("")
	go func() {
		for lines := bufio.NewScanner(process.out); lines.Scan(); {
			v.state.Store(lines.Text())
			switch lines.Text() {
			case holds:
				v.turns.Add(1)
			case waits:
				select {
				case v.asks <- struct{}{}:
				default:
				}
			}
		}
	}()
	return v, nil
}

// strike stops or kills the child while it waits, and returns when that happened.
func (v *victim) strike(blow blow) (time.Time, error) {
	for {
		select {
		case <-v.asks:
		case <-time.After(10 * time.Second):
			return time.Time{}, errors.New("the process of its own does not wait")
		}
		time.Sleep(10 * hold) // it is in the queue by then
		if err := v.freeze(); err != nil {
			return time.Time{}, err
		}
		struck := time.Now()
		time.Sleep(time.Millisecond) // until what it has written has been read
		if v.state.Load() == waits {
			return struck, blow(v.child)
		}
		if err := v.thaw(); err != nil {
			return time.Time{}, err
		}
	}
}

// waiterMain is the main function of that process.
func waiterMain(setup string) error {
	var s victimSetup
	if err := json.Unmarshal([]byte(setup), &s); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		untilParentEnds()
		cancel()
	}()
	l, err := named(s.Contestant)[0].open(ctx, s.Addrs)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		fmt.Fprintln(os.Stdout, waits)
		h, err := l.lock(ctx, "bench")
		if err != nil {
			continue
		}
		fmt.Fprintln(os.Stdout, holds)
		time.Sleep(hold)
		if err := h.unlock(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "waiter:", err)
		}
	}
	return l.close()
}
