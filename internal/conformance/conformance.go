package conformance

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/internal/memnode"
	"github.com/go-redlock/redlock/internal/wire"
	"github.com/go-redlock/redlock/pool"
)

var (
	first = flag.Uint64("conformance.seed", 1, "the first seed")
	count = flag.Int("conformance.count", 60, "how many sequences to run on each server")
)

// A target is a server that is compared with the master in memory.
type target struct {
	node   wire.Node
	client *redis.Client
	guard  bool // it has INFO server, without which there is no restart guard
}

// Compare sends random sequences of requests to a master in memory and to the server at that
// address, which must give the same answers. guard says that the server has what the restart guard
// needs: INFO server.
func Compare(t *testing.T, addr string, guard bool) {
	t.Helper()
	conform(t, newTarget(t, addr, guard))
}

func newTarget(t *testing.T, addr string, guard bool) *target {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = client.Close() })
	// a busy machine must not look like a difference
	nodes, err := pool.Dialer{Timeout: 10 * time.Second}.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	n := wire.NodeOf(nodes[0])
	closeNode := n.Open()
	t.Cleanup(func() { _ = closeNode() })
	return &target{node: n, client: client, guard: guard}
}

func conform(t *testing.T, to *target) {
	t.Helper()
	if difference := to.compare(t, crowd()); difference != "" {
		t.Errorf("%s\nafter:\n%s", difference, strings.Join(texts(crowd()), "\n"))
	}
	t.Logf("seeds %d to %d", *first, *first+uint64(*count)-1)
	for seed := *first; seed < *first+uint64(*count); seed++ {
		steps := sequence(rand.New(rand.NewPCG(seed, 7)), to.guard) //nolint:gosec // a failing seed replays
		difference := to.compare(t, steps)
		if difference == "" {
			continue
		}
		for range 2 { // shorten it
			for i := range slices.Backward(steps) {
				fewer := slices.Delete(slices.Clone(steps), i, i+1)
				if d := to.compare(t, fewer); d != "" {
					steps, difference = fewer, d
				}
			}
		}
		t.Errorf("seed %d: %s\nafter:\n%s", seed, difference, strings.Join(texts(steps), "\n"))
		return
	}
}

func texts(steps []step) (all []string) {
	for _, s := range steps {
		all = append(all, "  "+s.text())
	}
	return all
}

// run numbers the runs: each has keys of its own.
var run struct {
	sync.Mutex
	last int
}

// compare sends the steps to both, and returns the first difference, or "".
func (to *target) compare(t *testing.T, steps []step) string {
	t.Helper()
	run.Lock()
	run.last++
	prefix := fmt.Sprintf("conformance:%d:%d:", os.Getpid(), run.last)
	run.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := to.client.Del(ctx, "redlock:restart").Err(); err != nil {
		t.Fatal(err)
	}
	model := memnode.New("model")
	ours, theirs := listen(ctx, t, model, prefix), listen(ctx, t, to.node, prefix)
	defer ours.close()
	defer theirs.close()
	var last [2 * locks][2]uint64 // the tokens before, of each lock and of each slot
	for i := 0; i < len(steps); i++ {
		s := steps[i]
		if s.set {
			key := s.key(prefix)
			model.Set(key, s.value, s.ttl)
			if err := to.client.Set(ctx, key, s.value, s.ttl).Err(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		together := steps[i : i+together(steps[i:])]
		want, got := do(ctx, model, together, prefix), do(ctx, to.node, together, prefix)
		for j, s := range together {
			want, got := want[j].Reply, got[j].Reply
			register := s.register(want)
			if d := differ(s, want, got, last[register]); d != "" {
				return fmt.Sprintf("step %d: %s", i+j, d)
			}
			if want.Token != 0 {
				last[register] = [2]uint64{want.Token, got.Token}
			}
		}
		i += len(together) - 1
		if s.pause > 0 {
			time.Sleep(s.pause) // the comparison is about what both do as time passes
		}
	}
	return theirs.differ(ours)
}

// register returns the number of the fencing register that the answer is about.
func (s step) register(reply wire.Reply) int {
	switch {
	case s.anySlot() && !s.only:
		return locks + int(reply.Slot)
	case s.slot:
		return locks + s.lock
	default:
		return s.lock
	}
}

// do sends the steps to the node in one round trip.
func do(ctx context.Context, n wire.Node, together []step, prefix string) []wire.Call {
	calls := make([]wire.Call, len(together))
	for i, s := range together {
		calls[i].Request = s.request(prefix)
	}
	n.Do(ctx, calls)
	return calls
}

// near is by how much answers may differ that depend on the time of the request.
const near = 2 * time.Second

// differ says how an answer differs from the expected one.
func differ(s step, want, got wire.Reply, last [2]uint64) string {
	switch {
	case want.Verdict != got.Verdict, want.Fingerprint != got.Fingerprint, want.Holder != got.Holder, want.Foreign != got.Foreign, want.Again != got.Again, want.Slot != got.Slot, want.Free != got.Free:
	case (want.Err == nil) != (got.Err == nil):
	case want.TTL < 0 != (got.TTL < 0), want.TTL == 0 != (got.TTL == 0), (want.TTL - got.TTL).Abs() > near:
	case !slices.EqualFunc(want.Readers, got.Readers, sameReader):
	case !sameToken(s, want.Token, got.Token, last):
	default:
		return ""
	}
	return fmt.Sprintf("%s: %+v, want %+v (tokens before: %v)", s.text(), shown(got), shown(want), last)
}

func sameReader(want, got wire.Reader) bool {
	return want.Fingerprint == got.Fingerprint && want.Holder == got.Holder && (want.TTL-got.TTL).Abs() <= near
}

func shown(r wire.Reply) wire.Reply {
	r.Server = ""
	return r
}

// sameToken compares tokens. A token that comes from the server's time can only be nearly the same,
// and later tokens follow it.
func sameToken(s step, want, got uint64, last [2]uint64) bool {
	switch {
	case want == got:
		return true
	case want == s.token || got == s.token, want == 0 || got == 0:
		return false
	case want-last[0] <= 1 && got-last[1] == want-last[0]:
		return true
	case want-last[0] <= 1 && s.token < want+uint64(time.Hour.Microseconds()):
		return false // otherwise the time may not have moved for one of them
	}
	return max(want, got)-min(want, got) < uint64(near.Microseconds())
}

// ears are the subscriptions of all inboxes.
type ears struct {
	close func()
	mu    sync.Mutex
	heard [inboxes][]string
	more  chan struct{} // gets a value with each notice
}

func listen(ctx context.Context, t *testing.T, n wire.Node, prefix string) *ears {
	t.Helper()
	e := &ears{more: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	ready := make(chan struct{}, inboxes)
	for i := range inboxes - 1 { // nobody listens to the last
		work.Go(func() {
			_ = n.Listen(ctx, inbox(prefix, i), func() { ready <- struct{}{} }, func(notice wire.Notice) {
				e.mu.Lock()
				defer e.mu.Unlock()
				e.heard[i] = append(e.heard[i], fmt.Sprintf("%s reader=%v shared=%v next=%v", strings.TrimPrefix(notice.Lock, prefix), notice.Reader, notice.Shared, notice.Next > 0))
				select {
				case e.more <- struct{}{}:
				default:
				}
			})
		})
	}
	for range inboxes - 1 {
		select {
		case <-ready:
		case <-ctx.Done():
			t.Fatal("no subscription")
		}
	}
	e.close = func() { cancel(); work.Wait() }
	return e
}

// lockOf returns the number of the lock that a notice, as text, is about.
func lockOf(notice string) string {
	lock, _, _ := strings.Cut(notice, " ")
	return lock
}

// differ waits until as many notices have arrived as expected, and returns the differences.
func (e *ears) differ(expected *ears) string {
	read := func(e *ears) string {
		e.mu.Lock()
		defer e.mu.Unlock()
		var all [inboxes][]string
		// requests that were sent together may have been carried out in another order, lock by lock
		for i, heard := range e.heard {
			all[i] = slices.Clone(heard)
			slices.SortStableFunc(all[i], func(a, b string) int { return strings.Compare(lockOf(a), lockOf(b)) })
		}
		return fmt.Sprint(all)
	}
	for late := time.After(2 * time.Second); ; {
		if read(e) == read(expected) {
			return ""
		}
		select {
		case <-e.more:
		case <-expected.more:
		case <-late:
			return fmt.Sprintf("the inboxes heard %s, want %s", read(e), read(expected))
		}
	}
}
