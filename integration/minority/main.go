// Command minority measures contended locks while a minority of the masters is away, by turns
// frozen (connections stay open) and killed (connections are refused). A frozen minority should
// cost no more than a killed one.
//
//	go run ./minority -for 10s
//
// It starts redis-server or valkey-server processes of its own, prints what it measured, and exits
// with 1 if a mark was missed.
package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/redisserver"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

const (
	name        = "contended"
	nodeTimeout = 250 * time.Millisecond
	work        = time.Millisecond
	processes   = 3
	goroutines  = 2 // of each
	stampede    = 10

	// The marks.
	keeps       = 0.9 // of the locks that are taken with as many masters killed
	longestWait = 750 * time.Millisecond
	longestIdle = 500 * time.Millisecond
	lostRounds  = 1e-4 // in which no TryLock wins
	tryTimeouts = 4    // that TryLock takes at most, except one in a hundred
)

// A mode says how locks are taken.
type mode struct {
	plain bool
	tries int // in a hundred that do not wait
}

func (m mode) String() string {
	kind := "fenced"
	if m.plain {
		kind = "plain"
	}
	return fmt.Sprintf("%s, %d%% TryLock", kind, m.tries)
}

func (m mode) options() []redlock.Option {
	opts := []redlock.Option{redlock.WithNodeTimeout(nodeTimeout)}
	if m.plain {
		opts = append(opts, redlock.WithoutFencing())
	}
	return opts
}

func main() {
	length := flag.Duration("for", 10*time.Second, "how long each turn lasts")
	rounds := flag.Int("rounds", 1000, "how often ten callers try at once")
	only := flag.String("only", "contended,processes,stampedes", "what to measure")
	child := flag.String("child", "", "the masters' addresses: be one of several processes")
	plain := flag.Bool("plain", false, "without fencing, of a child")
	tries := flag.Int("tries", 0, "in a hundred, of a child")
	flag.Parse()
	if *child != "" {
		if err := be(strings.Split(*child, ","), mode{*plain, *tries}, *length); err != nil {
			fmt.Fprintln(os.Stderr, "minority:", err)
			os.Exit(1)
		}
		return
	}
	missed := 0
	for part := range strings.SplitSeq(*only, ",") {
		n, err := map[string]func(time.Duration, int) (int, error){
			"contended": contended, "processes": apart, "stampedes": stampedes,
		}[part](*length, *rounds)
		if err != nil {
			fmt.Fprintln(os.Stderr, "minority:", err)
			os.Exit(1)
		}
		missed += n
	}
	if missed > 0 {
		fmt.Printf("%d marks missed\n", missed)
		os.Exit(1)
	}
}

// away says what happens to the minority of the masters.
var away = []string{"frozen", "killed"}

// begin starts masters, the last few of which go away when settle is called.
func begin(count int) (s *redisserver.Servers, leave func(how string) error, err error) {
	s, err = redisserver.Start(count)
	if err != nil {
		return nil, nil, fmt.Errorf("masters: %w", err)
	}
	leave = func(how string) error {
		sig := map[string]os.Signal{"frozen": syscall.SIGSTOP, "killed": syscall.SIGKILL}[how]
		for i := count/2 + 1; i < count && sig != nil; i++ {
			if err := s.Process(i).Signal(sig); err != nil {
				return fmt.Errorf("master %d: %w", i, err)
			}
		}
		return nil
	}
	return s, leave, nil
}

// lockers makes Lockers with connections of their own, and uses each of them once.
func lockers(addrs []string, count int, opts []redlock.Option, wrap func(wire.Node) wire.Node) (all []*redlock.Locker, err error) {
	for range count {
		nodes, err := pool.Dial(addrs...)
		if err != nil {
			return nil, fmt.Errorf("nodes: %w", err)
		}
		for i := range nodes {
			nodes[i] = wire.Seal(wrap(wire.NodeOf(nodes[i])))
		}
		l, err := redlock.New(nodes, opts...)
		if err != nil {
			return nil, fmt.Errorf("locker: %w", err)
		}
		all = append(all, l)
		le, err := l.Lock(context.Background(), "first")
		if err != nil {
			return nil, fmt.Errorf("the first lock: %w", err)
		}
		if err := le.Unlock(context.Background()); err != nil {
			return nil, fmt.Errorf("the first release: %w", err)
		}
	}
	time.Sleep(50 * time.Millisecond) // all masters have answered
	return all, nil
}

func asItIs(n wire.Node) wire.Node { return n }

func closeAll(all []*redlock.Locker) {
	for _, l := range all {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		_ = l.Close(ctx) // masters are away
		cancel()
	}
}

// A turn is the result of a time under contention.
type turn struct {
	locks   int64
	longest time.Duration // wait
	idle    time.Duration // the longest time nobody had the lock
}

// contend makes goroutines want the lock for that long.
func contend(all []*redlock.Locker, m mode, length time.Duration, held func(from, to time.Time)) (t turn) {
	var mu sync.Mutex
	var workers sync.WaitGroup
	var locks atomic.Int64
	end := time.Now().Add(length)
	for _, l := range all {
		for range goroutines {
			workers.Go(func() {
				for time.Now().Before(end) {
					began := time.Now()
					take, waits := l.Lock, true
					if rand.IntN(100) < m.tries {
						take, waits = l.TryLock, false
					}
					le, err := take(context.Background(), name)
					got := time.Now()
					mu.Lock()
					if waits {
						t.longest = max(t.longest, got.Sub(began))
					}
					mu.Unlock()
					if err != nil {
						continue
					}
					locks.Add(1)
					time.Sleep(work)
					held(got, time.Now())
					_ = le.Unlock(context.Background())
				}
			})
		}
	}
	workers.Wait()
	t.locks = locks.Load()
	return t
}

// contended measures several Lockers of one process, with a minority frozen and killed by turns.
func contended(length time.Duration, _ int) (missed int, err error) {
	fmt.Printf("%d Lockers × %d goroutines, %v of work, %v a turn\n", processes, goroutines, work, length)
	for _, masters := range []int{5, 3} {
		for _, m := range modes() {
			got := make(map[string]turn)
			for _, how := range away {
				if got[how], err = contendedTurn(masters, m, how, length); err != nil {
					return missed, err
				}
			}
			f, k := got["frozen"], got["killed"]
			ratio := float64(f.locks) / float64(k.locks)
			fmt.Printf("  %d of %d, %-22v frozen %5d locks, longest wait %4d ms; killed %5d, %4d ms; ratio %.2f\n", (masters-1)/2, masters, m,
				f.locks, f.longest.Milliseconds(), k.locks, k.longest.Milliseconds(), ratio)
			if ratio < keeps || f.longest > longestWait {
				missed++
			}
		}
	}
	return missed, nil
}

func modes() []mode { return []mode{{false, 0}, {false, 25}, {true, 0}, {true, 25}} }

func contendedTurn(masters int, m mode, how string, length time.Duration) (t turn, err error) {
	s, leave, err := begin(masters)
	if err != nil {
		return t, err
	}
	defer s.Stop()
	all, err := lockers(s.Addrs(), processes, m.options(), asItIs)
	if err != nil {
		return t, err
	}
	defer closeAll(all)
	if err := leave(how); err != nil {
		return t, err
	}
	return contend(all, m, length, func(_, _ time.Time) {}), nil
}

// be is the work of one of several processes. It prints when it had the lock.
func be(addrs []string, m mode, length time.Duration) error {
	all, err := lockers(addrs, 1, m.options(), asItIs)
	if err != nil {
		return err
	}
	defer closeAll(all)
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return fmt.Errorf("the start: %w", err)
	}
	var mu sync.Mutex
	var text strings.Builder
	t := contend(all, m, length, func(from, to time.Time) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(&text, "%d %d\n", from.UnixNano(), to.UnixNano())
	})
	fmt.Printf("wait %d\n%s", t.longest, text.String())
	return nil
}

// apart measures processes, and for how long the lock was idle although they wanted it.
func apart(length time.Duration, _ int) (missed int, err error) {
	fmt.Printf("%d processes × %d goroutines, %v of work, %v a turn\n", processes, goroutines, work, length)
	for _, m := range modes() {
		got := make(map[string]int64)
		for _, how := range append([]string{"healthy"}, away...) {
			t, err := apartTurn(m, how, length)
			if err != nil {
				return missed, err
			}
			fmt.Printf("  2 of 5 %s, %-22v %5d locks, longest wait %4d ms, longest idle %4d ms\n", how, m, t.locks, t.longest.Milliseconds(), t.idle.Milliseconds())
			if how == "frozen" && (t.idle > longestIdle || t.longest > longestWait) {
				missed++
			}
			got[how] = t.locks
		}
		ratio := float64(got["frozen"]) / float64(got["killed"])
		fmt.Printf("  2 of 5, %v: frozen to killed %.2f\n", m, ratio)
		if ratio < keeps {
			missed++
		}
	}
	return missed, nil
}

func apartTurn(m mode, how string, length time.Duration) (t turn, err error) {
	s, leave, err := begin(5)
	if err != nil {
		return t, err
	}
	defer s.Stop()
	var children []*exec.Cmd
	var outs []*bufio.Scanner
	var starts []func() error
	for range processes {
		c := exec.Command(os.Args[0], "-child", strings.Join(s.Addrs(), ","), "-for", length.String(), //nolint:noctx,gosec // ourselves
			fmt.Sprintf("-plain=%t", m.plain), "-tries", fmt.Sprint(m.tries))
		c.Stderr = os.Stderr
		in, err := c.StdinPipe()
		if err != nil {
			return t, fmt.Errorf("a child: %w", err)
		}
		out, err := c.StdoutPipe()
		if err != nil {
			return t, fmt.Errorf("a child: %w", err)
		}
		if err := c.Start(); err != nil {
			return t, fmt.Errorf("a child: %w", err)
		}
		children, outs = append(children, c), append(outs, bufio.NewScanner(out))
		starts = append(starts, func() error { _, err := fmt.Fprintln(in); return err })
	}
	for _, o := range outs {
		o.Scan()
	}
	if err := leave(how); err != nil {
		return t, err
	}
	for _, start := range starts {
		if err := start(); err != nil {
			return t, fmt.Errorf("a child: %w", err)
		}
	}
	type span struct{ from, to int64 }
	var spans []span
	for i, o := range outs {
		for o.Scan() {
			var one span
			var wait int64
			if n, _ := fmt.Sscanf(o.Text(), "wait %d", &wait); n == 1 {
				t.longest = max(t.longest, time.Duration(wait))
			} else if n, _ := fmt.Sscanf(o.Text(), "%d %d", &one.from, &one.to); n == 2 {
				spans = append(spans, one)
			}
		}
		if err := children[i].Wait(); err != nil {
			return t, fmt.Errorf("a child: %w", err)
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	for i := 1; i < len(spans); i++ {
		t.idle = max(t.idle, time.Duration(spans[i].from-spans[i-1].to))
	}
	t.locks = int64(len(spans))
	return t, nil
}

// A late node takes up to d longer, half of it each way.
type late struct {
	wire.Node
	d time.Duration
}

// Do implements wire.Node.
func (n late) Do(ctx context.Context, calls []wire.Call) {
	time.Sleep(rand.N(n.d / 2))
	n.Node.Do(ctx, calls)
	time.Sleep(rand.N(n.d / 2))
}

// stampedes measures callers that try at once.
func stampedes(_ time.Duration, rounds int) (missed int, err error) {
	for _, s := range []struct {
		how    string
		jitter time.Duration
		rounds int
	}{
		{"frozen", 0, rounds}, {"frozen", 30 * time.Millisecond, rounds / 10}, {"killed", 0, rounds / 10}, {"healthy", 0, rounds / 10},
	} {
		got, err := stampedeTurn(s.how, s.jitter, s.rounds)
		if err != nil {
			return missed, err
		}
		slices.Sort(got.took)
		p99 := got.took[len(got.took)*99/100]
		fmt.Printf("%d × %d TryLocks at once, 2 of 5 %s, jitter %v: without a winner %d, two winners %d, of the losers %d saw no owner on a majority; p50 %v p99 %v max %v\n",
			s.rounds, stampede, s.how, s.jitter, got.none, got.two, got.unsure,
			got.took[len(got.took)/2].Round(time.Millisecond), p99.Round(time.Millisecond), got.took[len(got.took)-1].Round(time.Millisecond))
		if most := lostRounds * float64(s.rounds); float64(got.none) > most || got.two > 0 || got.wrong > 0 || p99 > tryTimeouts*nodeTimeout {
			missed++
		}
	}
	return missed, nil
}

// outcomes counts the outcomes of stampedes.
type outcomes struct {
	// wrong: it was reported as held although no majority said so
	none, two, unsure, wrong int
	took                     []time.Duration
}

func stampedeTurn(how string, jitter time.Duration, rounds int) (o outcomes, err error) {
	s, leave, err := begin(5)
	if err != nil {
		return o, err
	}
	defer s.Stop()
	wrap := asItIs
	if jitter > 0 {
		wrap = func(n wire.Node) wire.Node { return late{n, jitter} }
	}
	all, err := lockers(s.Addrs(), stampede, mode{}.options(), wrap)
	if err != nil {
		return o, err
	}
	defer closeAll(all)
	if err := leave(how); err != nil {
		return o, err
	}
	for i := range rounds {
		o.rush(all, fmt.Sprint("job", i))
	}
	return o, nil
}

// rush makes all try at once.
func (o *outcomes) rush(all []*redlock.Locker, name string) {
	var mu sync.Mutex
	var callers sync.WaitGroup
	var leases []*redlock.Lease
	start := make(chan struct{})
	for _, l := range all {
		callers.Go(func() {
			<-start
			began := time.Now()
			le, err := l.TryLock(context.Background(), name, redlock.WithTTL(time.Minute))
			d := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			o.took = append(o.took, d)
			q, _ := errors.AsType[*redlock.QuorumError](err)
			switch {
			case err == nil:
				leases = append(leases, le)
			case errors.Is(err, redlock.ErrNoQuorum):
				o.unsure++
			case q == nil || q.Held < q.Needed:
				o.wrong++
			}
		})
	}
	close(start)
	callers.Wait()
	switch len(leases) {
	case 0:
		o.none++
	case 1:
	default:
		o.two++
	}
	for _, le := range leases {
		_ = le.Unlock(context.Background())
	}
}
