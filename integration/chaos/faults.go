package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/integration/clocks"
	"github.com/go-redlock/redlock/integration/history"
)

// A fault is a failure of one server, or of one client process.
type fault struct {
	name    string
	client  bool // its victim is a client
	wild    bool // the library's assumptions do not allow it
	forgets bool // the server loses its data
	refuses bool // the server refuses connections meanwhile
	// it has two servers as victims for many node timeouts, without any other fault: locks must
	// still be handed over
	long bool

	// strike begins the fault, on the victim with that number, and returns the function that ends
	// it, nil if it has no duration.
	strike func(ctx context.Context, r *run, victim int) (end func() error, err error)
}

var faults = []fault{
	{name: "frozen", strike: freeze},
	{name: "two frozen for long", long: true, strike: freeze},
	{name: "cut off", strike: func(ctx context.Context, r *run, victim int) (func() error, error) {
		s := r.servers.all[victim]
		_, err := docker(ctx, "network", "disconnect", "bridge", s.id)
		return func() error {
			_, err := docker(ctx, "network", "connect", "bridge", s.id)
			return errors.Join(err, s.connect(ctx))
		}, err
	}},
	{name: "restarted empty", forgets: true, refuses: true, strike: func(ctx context.Context, r *run, victim int) (func() error, error) {
		s := r.servers.all[victim]
		return func() error { return s.start(ctx) }, errors.Join(s.kill(ctx), s.wipe())
	}},
	{name: "restarted with older data", forgets: true, refuses: true, strike: func(ctx context.Context, r *run, victim int) (func() error, error) {
		s := r.servers.all[victim]
		err := s.ask(ctx, "SAVE")
		sleep(ctx, r.upTo(300*time.Millisecond))
		return func() error { return s.start(ctx) }, errors.Join(err, s.kill(ctx))
	}},
	{name: "flushed", forgets: true, strike: func(ctx context.Context, r *run, victim int) (func() error, error) {
		return nil, r.servers.all[victim].ask(ctx, "FLUSHALL")
	}},
	{name: "scripts flushed", strike: func(ctx context.Context, r *run, victim int) (func() error, error) {
		return nil, r.servers.all[victim].ask(ctx, "SCRIPT", "FLUSH")
	}},
	{name: "connections killed", refuses: true, strike: func(ctx context.Context, r *run, victim int) (func() error, error) {
		s := r.servers.all[victim]
		return nil, errors.Join(s.ask(ctx, "CLIENT", "KILL", "TYPE", "normal"), s.ask(ctx, "CLIENT", "KILL", "TYPE", "pubsub"))
	}},
	{name: "slow network", strike: func(_ context.Context, r *run, victim int) (func() error, error) {
		p := r.servers.all[victim].net
		p.delay.Store(int64(r.upTo(2 * nodeTimeout)))
		return func() error { p.delay.Store(0); return nil }, nil
	}},
	{name: "client frozen", client: true, strike: func(_ context.Context, r *run, victim int) (func() error, error) {
		p := r.clients[victim]
		return func() error { return p.signal(syscall.SIGCONT) }, p.signal(syscall.SIGSTOP)
	}},
	{name: "client killed", client: true, strike: func(ctx context.Context, r *run, victim int) (func() error, error) {
		r.orphan(ctx, r.clients[victim])
		return func() error { return r.startClient(ctx, victim) }, nil
	}},
	{name: "server clock shifted", wild: true, strike: func(_ context.Context, r *run, victim int) (func() error, error) {
		s := r.servers.all[victim]
		return func() error { return s.shift(0) }, s.shift(r.shift())
	}},
	{name: "client clock shifted", client: true, wild: true, strike: func(_ context.Context, r *run, victim int) (func() error, error) {
		p := r.clients[victim]
		return func() error { return p.order("wall 0s") }, p.order("wall " + r.shift().String())
	}},
	{name: "client clock at another rate", client: true, wild: true, strike: func(_ context.Context, r *run, victim int) (func() error, error) {
		p := r.clients[victim]
		return func() error { return p.order("rate 1") }, p.order(fmt.Sprintf("rate %.2f", 0.3+float64(r.upTo(time.Second))/float64(time.Second)))
	}},
}

func freeze(ctx context.Context, r *run, victim int) (func() error, error) {
	s := r.servers.all[victim]
	return func() error { _, err := docker(ctx, "unpause", s.id); return err }, s.pause(ctx)
}

// A blow is a fault and its victim.
type blow struct {
	*fault
	victim int
	end    func() error
}

// blows chooses faults that happen at the same time: a few faults, each with one victim, or with
// most of the servers, or a long one. Within the assumptions at most one server forgets, and the
// next one only when the restart guard has let the first serve again.
func (r *run) blows() []*blow {
	r.mu.Lock()
	defer r.mu.Unlock()
	var chosen []*blow
	struck := make(map[string]bool)
	forgot := time.Now().Before(r.quarantine)
	for range 1 + r.random.IntN(5) {
		f := &faults[r.random.IntN(len(faults))]
		if len(r.only) > 0 && !slices.Contains(r.only, f.name) || !r.wild && (f.wild || f.forgets && forgot) {
			continue // a round with fewer faults is good too
		}
		if f.long {
			pair := r.random.Perm(size)
			return []*blow{{fault: f, victim: pair[0]}, {fault: f, victim: pair[1]}}
		}
		forgot = forgot || f.forgets
		for _, victim := range r.victims(f) {
			if key := fmt.Sprint(f.client, victim); !struck[key] {
				struck[key] = true
				chosen = append(chosen, &blow{fault: f, victim: victim})
			}
		}
	}
	return chosen
}

// victims chooses the victims of a fault. mu is held.
func (r *run) victims(f *fault) []int {
	if f.client {
		return r.random.Perm(len(r.clients))[:1]
	}
	all := r.random.Perm(size)
	if (r.wild || !f.forgets) && r.random.IntN(4) == 0 {
		return all[:3+r.random.IntN(3)]
	}
	return all[:1]
}

// round begins some faults at once, ends them, and measures the time until a new name can be
// locked.
func (r *run) round(ctx context.Context) error {
	blows := r.blows()
	if len(blows) == 0 {
		return nil
	}
	errs, lasts := make([]error, len(blows)), 100*time.Millisecond+r.upTo(2500*time.Millisecond)
	if blows[0].long {
		// what is left of earlier faults has expired
		sleep(ctx, max(2*ttl, time.Until(r.quarantine)))
		lasts = longFault + r.upTo(longFault)
	}
	together(blows, func(i int, b *blow) { b.end, errs[i] = b.strike(ctx, r, b.victim) })
	if blows[0].long {
		errs = append(errs, r.contend(ctx, lasts))
	} else {
		sleep(ctx, lasts)
	}
	together(blows, func(i int, b *blow) {
		if b.end != nil {
			errs[i] = errors.Join(errs[i], b.end())
		}
	})
	mended := time.Now()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	took, err := r.recover(ctx, mended)
	if err != nil {
		return err
	}
	bound := 2 * nodeTimeout
	if slices.ContainsFunc(blows, func(b *blow) bool { return b.refuses }) {
		// the clients' pools look once a second whether a server that refused connections is back
		bound += time.Second
	}
	for _, b := range blows {
		r.recovered[b.name] = append(r.recovered[b.name], recovery{took, bound})
		if b.forgets {
			r.quarantine = mended.Add(ttl + ttl/50 + time.Second)
		}
	}
	if err := r.inherit(ctx, mended, bound); err != nil {
		return err
	}
	sleep(ctx, r.upTo(300*time.Millisecond))
	return nil
}

// An orphan is a lock whose holder was killed.
type orphan struct {
	name string
	died time.Time
}

// orphan makes a client take a lock that nobody else wants, and kills the client. If the lock
// cannot be taken at that moment, the client is only killed.
func (r *run) orphan(ctx context.Context, p *process) {
	name := r.fresh()
	if p.order("hold "+name) == nil {
		for asked := time.Now(); !r.record.holds(p.id, name) && time.Since(asked) < ttl/2; {
			sleep(ctx, time.Millisecond)
		}
	}
	held, died := r.record.holds(p.id, name), time.Now()
	p.crash(r.record)
	if held {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.orphans = append(r.orphans, orphan{name, died})
	}
}

// inherit measures the time until the locks of killed clients can be taken. Allowed are their TTL,
// or the time until the faults ended, and what a new name may take. One server fewer grants locks
// while it is in quarantine, and requests that waited in the sockets of frozen servers take the
// lock there for another TTL.
func (r *run) inherit(ctx context.Context, mended time.Time, bound time.Duration) error {
	for _, o := range r.orphans {
		lease, err := r.prober.Lock(ctx, o.name, redlock.WithWait(time.Minute))
		if err != nil {
			return fmt.Errorf("the lock of a client that was killed: %w", err)
		}
		took := time.Since(o.died)
		_ = lease.Unlock(ctx)
		most := max(ttl, mended.Sub(o.died)) + bound
		if time.Now().Before(r.quarantine) {
			most += ttl
		}
		r.inherited = append(r.inherited, recovery{took, most})
	}
	r.orphans = nil
	return nil
}

// contend makes all clients want one lock, and the permits of one semaphore, for that long.
func (r *run) contend(ctx context.Context, lasts time.Duration) error {
	s := span{name: r.fresh(), from: clocks.Monotonic()}
	order := fmt.Sprintf("contend %s %v", s.name, lasts)
	for _, p := range r.clients {
		if err := p.order(order); err != nil {
			return err
		}
	}
	sleep(ctx, lasts)
	s.to = clocks.Monotonic()
	r.long = append(r.long, s)
	return nil
}

// A span is the time of a long fault, by the machine's monotonic clock, and what was contended for.
type span struct {
	name     string
	from, to int64
}

// idle computes, for each of the long faults, the longest time for which what clients contended for
// was free: the lock, or one of so many permits. A majority serves all the time. Of other locks
// this is not known: a call that waits for a pair may have one of the two.
func (r *run) idle(leases []history.Lease, permits int) (longest []recovery) {
	for _, s := range r.long {
		had := slices.DeleteFunc(slices.Clone(leases), func(l history.Lease) bool { return l.Name != s.name || l.Permits != permits })
		wanted := slices.DeleteFunc(slices.Clone(r.record.wants), func(w history.Want) bool { return w.Name != s.name || w.Permits != permits })
		longest = append(longest, recovery{history.Idle(had, wanted, ttl, s.from, s.to), mostIdle})
	}
	return longest
}

// A recovery is the time until a new name could be locked, and the time that it may take.
type recovery struct{ took, bound time.Duration }

// recover measures how long after a moment a new name could be locked.
func (r *run) recover(ctx context.Context, since time.Time) (time.Duration, error) {
	for {
		lease, err := r.prober.TryLock(ctx, r.fresh())
		if err == nil {
			took := time.Since(since)
			_ = lease.Unlock(ctx)
			return took, nil
		}
		if time.Since(since) > time.Minute {
			return 0, fmt.Errorf("no lock can be taken a minute after all faults have ended: %w", err)
		}
		if !errors.Is(err, redlock.ErrNoQuorum) && !errors.Is(err, redlock.ErrTooLate) && !r.wild {
			return 0, fmt.Errorf("a name that nobody else uses: %w", err)
		}
	}
}

func together(blows []*blow, f func(int, *blow)) {
	var all sync.WaitGroup
	for i, b := range blows {
		all.Go(func() { f(i, b) })
	}
	all.Wait()
}

// upTo returns a random duration below d.
func (r *run) upTo(d time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Duration(r.random.Int64N(int64(d)))
}

// shift returns by how much a clock is shifted: hours or seconds, forward or back.
func (r *run) shift() time.Duration {
	d := r.upTo(10 * time.Second).Round(time.Second)
	if r.upTo(2) == 0 {
		d = r.upTo(3 * time.Hour).Round(time.Second)
	}
	if r.upTo(2) == 0 {
		d = -d
	}
	return d
}
