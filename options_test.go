package redlock_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/clustertest"
	"github.com/go-redlock/redlock/pool"
)

// wantOption checks that err is an OptionError which names the option and the value it was given.
func wantOption(t *testing.T, err error, option, value string) {
	t.Helper()
	bad, ok := errors.AsType[*redlock.OptionError](err)
	switch {
	case !ok:
		t.Errorf("error is %v, not an OptionError of %s", err, option)
	case bad.Option != option:
		t.Errorf("the OptionError is about %s, not %s: %v", bad.Option, option, err)
	case !strings.Contains(err.Error(), option) || !strings.Contains(err.Error(), value):
		t.Errorf("error %q does not name %s and %s", err, option, value)
	case bad.Reason == "":
		t.Errorf("error %q gives no reason", err)
	}
}

// Other libraries silently accept zero tries, nil functions and zero TTLs. Here each bad option is
// an error.
func TestNewNamesBadOptionAndValue(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		opts          []redlock.Option
		option, value string
	}{
		{with(redlock.WithTTL(0)), "WithTTL", "0s"},
		{with(redlock.WithTTL(-time.Second)), "WithTTL", "-1s"},
		{with(redlock.WithTTL(redlock.MinTTL - 1)), "WithTTL", "2.999999ms"},
		{with(redlock.WithTTL(redlock.MaxTTL + 1)), "WithTTL", "24h0m0.000000001s"},
		{with(redlock.WithRenewal(-1)), "WithRenewal", "-1ns"},
		{with(redlock.WithWait(0)), "WithWait", "0s"},
		{with(redlock.WithWait(-1)), "WithWait", "-1ns"},
		{with(redlock.WithMinHold(-1)), "WithMinHold", "-1ns"},
		{with(redlock.WithMinHold(redlock.MaxTTL + 1)), "WithMinHold", "24h0m0.000000001s"},
		{with(redlock.WithFenceRetention(0)), "WithFenceRetention", "0s"},
		{with(redlock.WithFenceRetention(time.Hour - 1)), "WithFenceRetention", "59m59.999999999s"},
		{with(redlock.WithFenceRetention(redlock.MaxFenceRetention + 1)), "WithFenceRetention", "87600h0m0.000000001s"},
		{with(redlock.WithTTL(time.Hour), redlock.WithFenceRetention(time.Hour)), "WithFenceRetention", "1h0m0s"},
		{with(redlock.WithHolder(strings.Repeat("x", 257))), "WithHolder", "257 bytes"},
		{with(redlock.WithHolder("new\nline")), "WithHolder", "8 bytes"},
		{with(redlock.WithHolder("\xff")), "WithHolder", "1 bytes"},
		{with(redlock.WithNodeTimeout(0)), "WithNodeTimeout", "0s"},
		{with(redlock.WithNodeTimeout(time.Millisecond - 1)), "WithNodeTimeout", "999.999µs"},
		{with(redlock.WithNodeTimeout(time.Minute + 1)), "WithNodeTimeout", "1m0.000000001s"},
		{with(redlock.WithTTL(time.Second), redlock.WithNodeTimeout(time.Second)), "WithNodeTimeout", "1s"},
		{with(redlock.WithClock(nil)), "WithClock", "nil"},
		{with(redlock.WithLogger(nil)), "WithLogger", "nil"},
		{with(redlock.WithObserver(nil)), "WithObserver", "nil"},
		{with(redlock.WithRestartGuard(0)), "WithRestartGuard", "0s"},
		{with(redlock.WithRestartGuard(redlock.MaxTTL + 1)), "WithRestartGuard", "24h0m0.000000001s"},
		{with(redlock.WithTTL(time.Minute), redlock.WithRestartGuard(time.Second)), "WithTTL", "1m0s"},
		{with(redlock.WithTTL(time.Second), redlock.WithRestartGuard(time.Second), redlock.WithMinHold(time.Minute)), "WithMinHold", "1m0s"},
		{with(redlock.WithTTL(time.Second), nil), "opts[1]", "nil"},
	} {
		t.Run(fmt.Sprintf("%s=%s", test.option, test.value), func(t *testing.T) {
			t.Parallel()
			l, err := redlock.New(clustertest.New(3).Nodes(), test.opts...)
			if l != nil || err == nil {
				t.Fatalf("New returned %v, %v", l, err)
			}
			wantOption(t, err, test.option, test.value)
		})
	}
}

func TestNewTakesOptionsAtTheirBounds(t *testing.T) {
	t.Parallel()
	for _, opts := range [][]redlock.Option{
		{redlock.WithTTL(redlock.MinTTL)},
		{redlock.WithTTL(redlock.MaxTTL)},
		{redlock.WithTTL(redlock.MaxTTL), redlock.WithFenceRetention(redlock.MaxFenceRetention)},
		{redlock.WithFenceRetention(redlock.DefaultFenceRetention)},
		{redlock.WithRenewal(1), redlock.WithWait(1), redlock.WithMinHold(0)},
		{redlock.WithRenewal(redlock.Forever), redlock.WithWait(redlock.Forever), redlock.WithMinHold(redlock.MaxTTL)},
		{redlock.WithHolder(strings.Repeat("é", 128))},
		{redlock.WithNodeTimeout(time.Millisecond)},
		{redlock.WithTTL(time.Hour), redlock.WithNodeTimeout(time.Minute)},
		{redlock.WithTTL(time.Second), redlock.WithRestartGuard(time.Second)},
		{redlock.WithLogger(slog.Default())},
	} {
		l, err := redlock.New(clustertest.New(3).Nodes(), opts...)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		mustClose(t, l)
	}
}

func TestNewRefusesBadNodes(t *testing.T) {
	t.Parallel()
	nodes := clustertest.New(3).Nodes()
	for _, test := range []struct {
		nodes         []pool.Node
		option, value string
	}{
		{nil, "nodes", "0"},
		{[]pool.Node{}, "nodes", "0"},
		{[]pool.Node{nodes[0], nil}, "nodes[1]", "nil"},
		{[]pool.Node{nodes[0], nodes[1], nodes[0]}, "nodes[2]", nodes[0].Addr()},
		{[]pool.Node{nodes[0], wrapper{nodes[1]}}, "nodes[1]", "redlock_test.wrapper"},
		{[]pool.Node{&wrapper{nodes[0]}}, "nodes[0]", "*redlock_test.wrapper"},
		{[]pool.Node{wrapper{}}, "nodes[0]", "redlock_test.wrapper"},
	} {
		_, err := redlock.New(test.nodes)
		wantOption(t, err, test.option, test.value)
	}
}

// A wrapper is a type with which a program might try to change a node. It does not count as a node,
// because New would bypass the changes.
type wrapper struct{ pool.Node }

func (wrapper) Addr() string { return "wrapper" }

func TestBadArgumentsOfACallAreToldByEachCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, testBadArguments)
}

func testBadArguments(t *testing.T) {
	c := clustertest.New(3)
	l := c.Locker(t, redlock.WithTTL(time.Second), redlock.WithRestartGuard(time.Minute))
	for _, test := range []struct {
		name          string
		opts          []redlock.MutexOption
		option, value string
	}{
		{name: "", option: "name"},
		{name: strings.Repeat("n", 1025), option: "name"},
		{name: "a:redlock:fence", option: "name", value: "a:redlock:fence"},
		{name: "a:redlock:queue", option: "name", value: "a:redlock:queue"},
		{name: "a}b", option: "name", value: "a}b"},
		{name: "redlock:restart", option: "name", value: "redlock:restart"},
		{name: "a", opts: []redlock.MutexOption{nil}, option: "opts[0]", value: "nil"},
		{name: "a", opts: []redlock.MutexOption{redlock.WithTTL(0)}, option: "WithTTL", value: "0s"},
		{name: "a", opts: []redlock.MutexOption{redlock.WithTTL(time.Hour)}, option: "WithTTL", value: "1h0m0s"},
		{name: "a", opts: []redlock.MutexOption{redlock.WithMinHold(time.Hour)}, option: "WithMinHold", value: "1h0m0s"},
	} {
		never := func(context.Context, *redlock.Lease) error {
			t.Errorf("%q: the function was called", test.name)
			return nil
		}
		m := l.Mutex(test.name, test.opts...)
		if m.Name() != test.name {
			t.Errorf("the mutex of %q is called %q", test.name, m.Name())
		}
		le, err := l.Lock(t.Context(), test.name, test.opts...)
		if le != nil {
			t.Errorf("%q: a lease beside an error", test.name)
		}
		wantOption(t, err, test.option, test.value)
		_, err = l.TryLock(t.Context(), test.name, test.opts...)
		wantOption(t, err, test.option, test.value)
		_, err = m.Lock(t.Context())
		wantOption(t, err, test.option, test.value)
		_, err = m.TryLock(t.Context())
		wantOption(t, err, test.option, test.value)
		wantOption(t, l.Do(t.Context(), test.name, never, test.opts...), test.option, test.value)
		wantOption(t, m.TryDo(t.Context(), never), test.option, test.value)
		if len(test.opts) == 0 {
			_, err = l.Inspect(t.Context(), test.name)
			wantOption(t, err, test.option, test.value)
		}
	}
	wantOption(t, l.Do(t.Context(), "a", nil), "fn", "nil")
	wantOption(t, l.TryDo(t.Context(), "a", nil), "fn", "nil")
	if n := c.Sent(); n != 0 {
		t.Errorf("the nodes were asked %d times", n)
	}
}

func TestLongNamesWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := clustertest.New(3).Locker(t)
		for _, name := range []string{"n", strings.Repeat("n", 1024), "{tag}rest", "a{tag}b", "a b\x00\n\xff", "{", "a{b"} {
			mustUnlock(t, mustLock(t, l, name))
		}
	})
}

func TestBootstrapNeedsTheGuard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := clustertest.New(3).Locker(t)
		wantOption(t, l.Bootstrap(t.Context()), "Bootstrap", "no guard")
	})
}

func TestFractionsOfAMillisecondAreCutOffTheTTL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(1)
		l := c.Locker(t)
		le := mustLock(t, l, "a", redlock.WithTTL(1500*time.Millisecond+999*time.Microsecond))
		if ttl := c.Masters[0].TTL("a"); ttl > 1500*time.Millisecond {
			t.Errorf("the key lives for %v", ttl)
		}
		mustUnlock(t, le)
	})
}

func TestForeverNeverOverflows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		if redlock.Forever != math.MaxInt64 {
			t.Fatal("Forever is not the longest duration")
		}
		l := clustertest.New(3).Locker(t, redlock.WithRenewal(redlock.Forever), redlock.WithWait(redlock.Forever))
		le := mustLock(t, l, "a")
		if le.Err() != nil {
			t.Error(le.Err())
		}
		mustUnlock(t, le)
	})
}

func TestWhatNewWasGivenIsUndoneForOneLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := clustertest.New(3).Locker(t, redlock.WithoutFencing(), redlock.WithRenewal(redlock.Forever))
		le, err := l.Lock(t.Context(), "a", redlock.WithFencing(), redlock.WithRenewal(0))
		if err != nil {
			t.Fatal(err)
		}
		if le.Fence() == 0 {
			t.Error("there is no token")
		}
		time.Sleep(redlock.DefaultTTL)
		if !errors.Is(le.Err(), redlock.ErrLost) {
			t.Errorf("it was renewed: %v", le.Err())
		}
		if err := l.Do(t.Context(), "b", func(ctx context.Context, _ *redlock.Lease) error {
			time.Sleep(redlock.DefaultTTL)
			return ctx.Err()
		}, redlock.WithRenewal(0)); err != nil {
			t.Errorf("Do does not renew: %v", err)
		}
	})
}

func TestWhatWasNotMadeByNewReturnsAnError(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]*redlock.Locker{"nil": nil, "zero": new(redlock.Locker)} {
		m := l.Mutex("a")
		nothing := func(context.Context, *redlock.Lease) error { return nil }
		_, inspect := l.Inspect(t.Context(), "a")
		_, lock := l.Lock(t.Context(), "a")
		_, try := m.TryLock(t.Context())
		for what, err := range map[string]error{
			"Lock": lock, "TryLock": try, "Do": l.Do(t.Context(), "a", nothing), "TryDo": m.TryDo(t.Context(), nothing),
			"Inspect": inspect, "Bootstrap": l.Bootstrap(t.Context()), "Check": l.Check(t.Context()), "Close": l.Close(t.Context()),
		} {
			if e, ok := errors.AsType[*redlock.OptionError](err); !ok || e.Option != "Locker" {
				t.Errorf("%s Locker: %s: %v", name, what, err)
			}
		}
		if s := l.Stats(); s != (redlock.Stats{}) {
			t.Errorf("%s Locker: %+v", name, s)
		}
		if got := fmt.Sprint(l, m); got != `redlock.Locker(none) redlock.Mutex("a")` {
			t.Errorf("%s Locker: printed as %s", name, got)
		}
	}
	zero := new(redlock.Mutex)
	if _, err := zero.Lock(t.Context()); err == nil {
		t.Error("a zero Mutex locks")
	}
}
