// Command chaos runs clients of the library over five masters in containers, with random faults.
// The clients take locks, alone and shared, pairs of locks, and permits of a semaphore. It ends
// with a report.
//
//	go run ./chaos -for 2m            # within the library's assumptions: exits with 1 if any promise was broken
//	go run ./chaos -for 1h -wild      # beyond them: counts what happens
//
// Within the assumptions at most one master forgets within the longest TTL, under the restart
// guard, and clocks run at slightly different rates. Beyond them there is no guard, masters forget
// together, and clocks are shifted.
//
// It needs a Docker engine on this machine. REDLOCK_TEST_IMAGES, separated by commas, names the
// images of the masters.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/integration/history"
	"github.com/go-redlock/redlock/pool"
)

const (
	ttl         = 2 * time.Second
	nodeTimeout = ttl / 20

	// longFault is the least time for which two masters are frozen; the greatest is twice that.
	longFault = 20 * nodeTimeout
	// mostIdle is how long a lock or a permit may be idle meanwhile although somebody wants it.
	mostIdle = 6 * nodeTimeout

	// settling is how long after the last client has gone a lock may still appear and expire.
	settling = 20 * time.Second
	// stuck is how late a recovery may be at most, however busy the machine is.
	stuck = 5 * time.Second
)

// A run is one run of chaos.
type run struct {
	wild    bool
	only    []string // the faults that may happen; all if it is empty
	servers *servers
	clients []*process
	prober  *redlock.Locker
	record  *record

	probes     atomic.Int64
	outage     time.Duration         // the longest time without service
	quarantine time.Time             // until then no further server may forget
	recovered  map[string][]recovery // by fault
	orphans    []orphan
	inherited  []recovery            // of the locks of clients that were killed
	long       []span                // the long faults
	idled      map[string][]recovery // how long a lock, or a permit, was idle in each of them
	left       []string              // lock keys
	lasted     time.Duration

	mu      sync.Mutex
	random  *rand.Rand
	started int // clients
}

func main() {
	redis.SetLogger(silence{}) // it would report each connection that fails
	if text := os.Getenv(environment); text != "" {
		if err := work(text); err != nil {
			fmt.Fprintln(os.Stderr, "client:", err)
			os.Exit(1)
		}
		return
	}
	if err := command(); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func command() error {
	length := flag.Duration("for", 2*time.Minute, "how long")
	wild := flag.Bool("wild", false, "go beyond the library's assumptions")
	clients := flag.Int("clients", 4, "client processes")
	only := flag.String("faults", "", "the faults that may happen, separated by commas (default all)")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the choice of faults")
	drawing := flag.String("drawing", "history.html", "where to draw a history that no single lock could have had")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	fmt.Printf("seed %d\n", *seed)
	r := &run{
		wild: *wild, clients: make([]*process, *clients), record: newRecord(), random: rand.New(rand.NewPCG(*seed, 0)),
		recovered: make(map[string][]recovery),
	}
	if *only != "" {
		r.only = strings.Split(*only, ",")
	}
	if err := r.live(ctx, *length); err != nil {
		return err
	}
	leases := r.record.history()
	v := history.Check(leases)
	r.idled = map[string][]recovery{"lock": r.idle(leases, 0), "permit": r.idle(leases, permits)}
	r.report(&v)
	if err := v.Draw(*drawing); err != nil {
		return err
	}
	return r.judge(&v)
}

// silence is a logger that says nothing.
type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// images returns the images of the servers, which are used in turn.
func images() []string {
	if list := os.Getenv("REDLOCK_TEST_IMAGES"); list != "" {
		return strings.Split(list, ",")
	}
	return []string{"redis:8", "valkey/valkey:9"}
}

// live starts everything, makes faults for that long, and ends everything.
func (r *run) live(ctx context.Context, length time.Duration) (err error) {
	if r.servers, err = startServers(ctx, images(), r.wild); err != nil {
		return err
	}
	defer r.servers.stop()
	if err := r.openProber(ctx); err != nil {
		return err
	}
	defer r.prober.Close(context.Background())
	for i := range r.clients {
		if err := r.startClient(ctx, i); err != nil {
			return err
		}
	}
	probing, quit := context.WithCancel(ctx)
	var probe sync.WaitGroup
	probe.Go(func() { r.watch(probing) })
	for end := time.Now().Add(length); err == nil && ctx.Err() == nil && time.Now().Before(end); {
		err = r.round(ctx)
	}
	quit()
	probe.Wait()
	for _, p := range r.clients {
		err = errors.Join(err, p.stop())
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = r.leftovers(ctx)
	}
	return err
}

func (r *run) openProber(ctx context.Context) error {
	nodes, err := pool.Dial(r.servers.addrs()...)
	if err != nil {
		return err
	}
	opts := []redlock.Option{redlock.WithTTL(ttl)}
	if !r.wild {
		opts = append(opts, redlock.WithRestartGuard(ttl))
	}
	if r.prober, err = redlock.New(nodes, opts...); err != nil || r.wild {
		return err
	}
	return r.prober.Bootstrap(ctx)
}

// fresh returns a name that nobody has used.
func (r *run) fresh() string { return fmt.Sprintf("fresh-%d", r.probes.Add(1)) }

// watch measures the longest time for which no lock could be taken.
func (r *run) watch(ctx context.Context) {
	last := time.Now()
	for ctx.Err() == nil {
		lease, err := r.prober.TryLock(ctx, r.fresh())
		if err == nil {
			r.outage, last = max(r.outage, time.Since(last)), time.Now()
			_ = lease.Unlock(ctx)
		}
		sleep(ctx, 20*time.Millisecond)
	}
}

// leftovers finds the lock keys that are left after all clients have ended. A server that was
// frozen or cut off may carry out a request long after its client has ended, when TCP sends it
// again; the key that it sets then lasts for its TTL.
func (r *run) leftovers(ctx context.Context) error {
	if err := r.prober.Close(ctx); err != nil {
		return err
	}
	clients := make([]*redis.Client, size)
	for i, s := range r.servers.all {
		s.net.mu.Lock()
		clients[i] = redis.NewClient(&redis.Options{Addr: s.net.server})
		s.net.mu.Unlock()
		defer clients[i].Close()
	}
	began := time.Now()
	for sleep(ctx, ttl); ctx.Err() == nil; sleep(ctx, ttl/10) {
		r.left = nil
		for i, s := range r.servers.all {
			keys, err := locks(ctx, clients[i])
			if err != nil {
				return err
			}
			for key, life := range keys {
				r.left = append(r.left, fmt.Sprintf("%s: %s is left for another %v", s.image, key, life))
				if life < 0 || life > ttl {
					return nil
				}
			}
		}
		if r.lasted = time.Since(began); len(r.left) == 0 || r.lasted > settling {
			return nil
		}
	}
	return ctx.Err()
}

// locks returns the locks on a server and how long they will last.
func locks(ctx context.Context, c *redis.Client) (map[string]time.Duration, error) {
	found := make(map[string]time.Duration)
	keys := c.Scan(ctx, 0, "*", 1000).Iterator()
	for keys.Next(ctx) {
		k := keys.Val()
		if !lockKey(k) {
			continue
		}
		life, err := c.PTTL(ctx, k).Result()
		if err != nil {
			return nil, err
		}
		if life != -2 { // it has expired meanwhile
			found[k] = life
		}
	}
	return found, keys.Err()
}

// slotKey is how the key of a lock on a slot of a semaphore ends.
var slotKey = regexp.MustCompile(`:redlock:slot:[0-9]+$`)

// lockKey reports whether that is the key of a lock, or of a lock on a slot.
func lockKey(key string) bool { return !strings.Contains(key, "redlock:") || slotKey.MatchString(key) }

// report prints what happened.
func (r *run) report(v *history.Verdict) {
	fmt.Printf("operations: %d leases, %d writes", len(r.record.over), r.record.writes)
	for _, kind := range sorted(r.record.kinds) {
		fmt.Printf(", %d of a %s", r.record.kinds[kind], kind)
	}
	for _, why := range sorted(r.record.failures) {
		fmt.Printf(", %d %s", r.record.failures[why], why)
	}
	fmt.Println("\nfaults, and how soon a fresh name could be locked after their end (median, longest):")
	for _, name := range sorted(r.recovered) {
		took, _ := median(r.recovered[name])
		fmt.Printf("%6d  %-30s %8v %8v\n", len(r.recovered[name]), name, took.Round(time.Millisecond), longest(r.recovered[name]).Round(time.Millisecond))
	}
	if len(r.inherited) > 0 {
		took, _ := median(r.inherited)
		fmt.Printf("locks of killed clients: %d, had by another %v (median), %v (longest) after the kill, with a TTL of %v\n",
			len(r.inherited), took.Round(time.Millisecond), longest(r.inherited).Round(time.Millisecond), ttl)
	}
	for _, what := range sorted(r.idled) {
		if len(r.idled[what]) > 0 {
			idle, _ := median(r.idled[what])
			fmt.Printf("longest idle of a %s that was wanted, with two of five masters frozen: %v (median of %d), %v (longest)\n",
				what, idle.Round(time.Millisecond), len(r.idled[what]), longest(r.idled[what]).Round(time.Millisecond))
		}
	}
	fmt.Printf("longest time without service: %v\n", r.outage.Round(time.Millisecond))
	fmt.Printf("overlaps: %d; permits too many: %d; tokens out of order: %d; histories that no single lock could have had: %d\n",
		len(v.Overlaps), len(v.Crowds), len(v.Tokens), len(v.Illegal))
	fmt.Printf("stale writes: %d stopped by the resource that checks tokens, %d let in by the one that does not\n", r.record.guarded.refused, r.record.open.let)
	fmt.Printf("lock keys left: %d, %v after the last client had gone\n", len(r.left), r.lasted.Round(time.Millisecond))
}

// judge returns the promises of the library that were broken. Beyond the assumptions little is
// promised.
func (r *run) judge(v *history.Verdict) error {
	wrong := r.record.broken
	if !r.wild {
		wrong = slices.Concat(wrong, v.Wrong(), r.left, r.late())
		if len(r.record.kinds) < len(wants) {
			wrong = append(wrong, fmt.Sprintf("only these were had at all: %q", sorted(r.record.kinds)))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return errors.New("broken promises:\n" + strings.Join(wrong[:min(len(wrong), 20)], "\n"))
}

// late returns the faults after which service was not back in time. A machine that does other work
// too is late now and then, so the median counts, and that nothing got stuck.
func (r *run) late() (wrong []string) {
	for _, name := range sorted(r.recovered) {
		took, bound := median(r.recovered[name])
		if took > bound || longest(r.recovered[name]) > bound+stuck {
			wrong = append(wrong, fmt.Sprintf("a fresh name could be locked only %v (median), %v (longest) after %q", took, longest(r.recovered[name]), name))
		}
	}
	if len(r.inherited) > 0 {
		if took, bound := median(r.inherited); took > bound || slices.ContainsFunc(r.inherited, func(i recovery) bool { return i.took > i.bound+stuck }) {
			wrong = append(wrong, fmt.Sprintf("the lock of a killed client could be had only %v (median), %v (longest) after", took, longest(r.inherited)))
		}
	}
	for _, what := range sorted(r.idled) {
		if len(r.idled[what]) == 0 {
			continue
		}
		if idle, bound := median(r.idled[what]); idle > bound || longest(r.idled[what]) > bound+stuck {
			wrong = append(wrong, fmt.Sprintf("with two of five masters frozen a %s that was wanted was idle for %v (median), %v (longest)", what, idle, longest(r.idled[what])))
		}
	}
	return wrong
}

// median returns the median time and the median bound.
func median(all []recovery) (took, bound time.Duration) {
	sorted := slices.SortedFunc(slices.Values(all), func(a, b recovery) int { return cmp.Compare(a.took-a.bound, b.took-b.bound) })
	m := sorted[len(sorted)/2]
	return m.took, m.bound
}

func longest(all []recovery) time.Duration {
	return slices.MaxFunc(all, func(a, b recovery) int { return cmp.Compare(a.took, b.took) }).took
}

func sorted[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
