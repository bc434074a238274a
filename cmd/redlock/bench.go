package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/go-redlock/redlock"
)

const (
	maxCallers = 10_000
	maxTakers  = 8 // Lockers that take turns
	benchTTL   = 10 * time.Second
)

// A benchCmd is `redlock bench`.
type benchCmd struct {
	connection

	Callers int           `help:"How many goroutines lock at the same time, each its own lock (default ${default})." default:"16" placeholder:"N"`
	For     time.Duration `help:"How long each measurement lasts (default ${default})." default:"3s" placeholder:"TIME"`
	Plain   bool          `help:"Take locks without a fencing token."`
	JSON    bool          `name:"json" help:"Print JSON, one object on each line."`
}

// Help implements kong.HelpProvider.
func (*benchCmd) Help() string {
	return `Measures what locks cost over these nodes, from this machine: one caller that locks and unlocks a
free lock; many callers, each its own lock; and Lockers that take turns at one lock, as processes
would. Then it shows how long each node took to answer.

It loads the nodes as hard as it can: do not run it beside work that matters. Its locks have names
of their own, begin with redlock-bench: and are released at the end; with tokens, each name leaves
a small register for an hour.

Exit codes: 0 measured, 69 if no lock could be taken.`
}

// A measurement is what became of the calls of one kind.
type measurement struct {
	name   string
	took   time.Duration
	calls  []time.Duration // sorted
	failed int
	err    error // of one that failed
}

// Run measures, and prints.
func (c *benchCmd) Run(ctx context.Context, s streams) error {
	if c.Callers < 1 || c.Callers > maxCallers {
		return usageError{fmt.Errorf("--callers=%d: from 1 to %d", c.Callers, maxCallers)}
	}
	if c.For < 10*time.Millisecond || c.For > time.Hour {
		return usageError{fmt.Errorf("--for=%v: from 10ms to 1h", c.For)}
	}
	id := make([]byte, 4)
	rand.Read(id) // never fails
	prefix := "redlock-bench:" + hex.EncodeToString(id) + ":"
	nodes := &answers{byNode: make(map[string]*measurement)}
	lockers, end, err := c.lockers(nodes)
	if err != nil {
		return err
	}
	defer end()
	lone := lockers[:1]
	if err := c.reach(ctx, lone[0], prefix); err != nil {
		return err
	}
	nodes.reset() // without the time that connecting took
	all := []measurement{c.measure(ctx, "1 caller, a free lock", lone, 1, func(int) string { return prefix + "0" })}
	seen := nodes.all()
	all = append(all,
		c.measure(ctx, fmt.Sprintf("%d callers, a free lock each", c.Callers), lone, c.Callers, func(i int) string { return prefix + strconv.Itoa(i) }),
		c.measure(ctx, fmt.Sprintf("%d take turns at one lock", len(lockers)), lockers, 1, func(int) string { return prefix + "turns" }))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(c.print(s, "", all), c.print(s, "NODE", seen))
}

// lockers makes the Lockers, of which the first tells of its nodes.
func (c *benchCmd) lockers(nodes *answers) (all []*redlock.Locker, end func(), _ error) {
	opts := []redlock.Option{redlock.WithTTL(benchTTL)}
	if c.Plain {
		opts = append(opts, redlock.WithoutFencing())
	}
	var ends []func()
	end = func() {
		for _, f := range ends {
			f()
		}
	}
	for i := range min(max(c.Callers, 2), maxTakers) {
		own := opts
		if i == 0 {
			own = append(slices.Clip(opts), redlock.WithObserver(nodes))
		}
		locks, stop, err := c.locker(own...)
		if err != nil {
			end()
			return nil, nil, err
		}
		all, ends = append(all, locks), append(ends, stop)
	}
	return all, end, nil
}

// reach takes one lock, and returns why that cannot be had.
func (c *benchCmd) reach(ctx context.Context, locks *redlock.Locker, prefix string) error {
	lease, err := locks.TryLock(ctx, prefix+"0")
	if err != nil {
		return err
	}
	return lease.Unlock(ctx)
}

// measure has each Locker take and release locks, with so many goroutines.
func (c *benchCmd) measure(ctx context.Context, name string, lockers []*redlock.Locker, each int, lock func(int) string) measurement {
	m := measurement{name: name}
	ctx, cancel := context.WithTimeout(ctx, c.For)
	defer cancel()
	began := time.Now()
	var mu sync.Mutex
	var work sync.WaitGroup
	for _, locks := range lockers {
		for i := range each {
			work.Go(func() {
				calls, failed, err := pairs(ctx, locks.Mutex(lock(i)))
				mu.Lock()
				defer mu.Unlock()
				m.calls, m.failed = append(m.calls, calls...), m.failed+failed
				if err != nil {
					m.err = err
				}
			})
		}
	}
	work.Wait()
	m.took = time.Since(began)
	slices.Sort(m.calls)
	return m
}

// pairs locks and unlocks until ctx ends, and returns how long each pair took.
func pairs(ctx context.Context, m *redlock.Mutex) (calls []time.Duration, failed int, why error) {
	for ctx.Err() == nil {
		began := time.Now()
		lease, err := m.Lock(ctx)
		if err == nil {
			err = lease.Unlock(ctx)
		}
		switch {
		case err == nil:
			calls = append(calls, time.Since(began))
		case lease != nil, !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled):
			failed++
			why = err
		}
	}
	return calls, failed, why
}

// answers is an Observer that notes how long each node took to answer.
type answers struct {
	mu     sync.Mutex
	byNode map[string]*measurement
}

// Observe implements redlock.Observer.
func (a *answers) Observe(e redlock.Event) {
	n, ok := e.(redlock.NodeEvent)
	if !ok {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.byNode[n.Node]
	if m == nil {
		m = &measurement{name: n.Node}
		a.byNode[n.Node] = m
	}
	if n.Err != nil {
		m.failed, m.err = m.failed+1, n.Err
	} else {
		m.calls = append(m.calls, n.Latency)
	}
}

// reset forgets what was noted.
func (a *answers) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.byNode)
}

// all returns what was noted of each node, by address.
func (a *answers) all() (all []measurement) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, addr := range slices.Sorted(maps.Keys(a.byNode)) {
		m := *a.byNode[addr]
		m.calls = slices.Sorted(slices.Values(m.calls))
		all = append(all, m)
	}
	return all
}

// at returns a percentile in milliseconds.
func (m *measurement) at(percent int) float64 {
	if len(m.calls) == 0 {
		return 0
	}
	d := m.calls[(len(m.calls)-1)*percent/100]
	return float64(d.Round(time.Microsecond).Microseconds()) / 1e3
}

// rate is how many calls there were in a second.
func (m *measurement) rate() float64 {
	if m.took == 0 {
		return 0
	}
	return math.Round(float64(len(m.calls)) / m.took.Seconds())
}

// A benchJSON is a measurement, for a program. Times are in milliseconds.
type benchJSON struct {
	Measured string  `json:"measured"`
	Node     bool    `json:"node,omitempty"`
	Rate     float64 `json:"per_second,omitempty"`
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
	Longest  float64 `json:"longest_ms"`
	Calls    int     `json:"calls"`
	Failed   int     `json:"failed"`
	Error    string  `json:"error,omitempty"`
}

// print prints measurements: of locks, or of nodes if heading is not empty.
func (c *benchCmd) print(s streams, heading string, all []measurement) error {
	var errs []error
	table := tabwriter.NewWriter(s.out, 0, 0, 3, ' ', 0)
	if !c.JSON && heading == "" {
		fmt.Fprintln(table, "LOCK AND UNLOCK\tA SECOND\tP50 MS\tP99 MS\tLONGEST MS\tFAILED")
	} else if !c.JSON {
		fmt.Fprintf(table, "\n%s\t\tP50 MS\tP99 MS\tLONGEST MS\tFAILED\n", heading)
	}
	for i := range all {
		m := &all[i]
		why, rate := "", ""
		if m.err != nil {
			why, _, _ = strings.Cut(options.Replace(message(m.err)), "\n")
		}
		if c.JSON {
			errs = append(errs, writeJSON(s.out, benchJSON{m.name, heading != "", m.rate(), m.at(50), m.at(99), m.at(100), len(m.calls), m.failed, why}))
			continue
		}
		if heading == "" {
			rate = fmt.Sprintf("%.0f", m.rate())
		}
		times := "-\t-\t-"
		if len(m.calls) > 0 {
			times = fmt.Sprintf("%.2f\t%.2f\t%.2f", m.at(50), m.at(99), m.at(100))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d", shown(m.name), rate, times, m.failed)
		if why != "" {
			fmt.Fprintf(table, "   %s", shown(why))
		}
		fmt.Fprintln(table)
	}
	return errors.Join(append(errs, table.Flush())...)
}
