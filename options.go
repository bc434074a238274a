package redlock

import (
	"fmt"
	"log/slog"
	"math"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-redlock/redlock/internal/clock"
	"github.com/go-redlock/redlock/internal/wire"
)

// An Option sets up a [Locker]. An Option that is also a [MutexOption] sets the default of all its
// locks.
type Option interface{ applyLocker(*config) error }

// A MutexOption sets up one lock. Given to [New] it is the default for all locks; given to
// [Locker.Mutex], Lock, TryLock, Do or TryDo it applies to that one lock.
type MutexOption interface {
	Option
	applyMutex(*terms) error
}

type option func(*config) error

func (o option) applyLocker(c *config) error { return o(c) }

type mutexOption func(*terms) error

func (o mutexOption) applyLocker(c *config) error { return o(&c.terms) }
func (o mutexOption) applyMutex(t *terms) error   { return o(t) }

// config holds the options of New.
type config struct {
	terms       terms
	clock       clock.Clock
	logger      *slog.Logger
	observers   []Observer
	prefix      string
	nodeTimeout time.Duration // 0: derived from the TTL of each call
	guard       time.Duration // 0: no restart guard
}

// terms are the options under which a lock is taken.
type terms struct {
	ttl       time.Duration
	maxHold   time.Duration // 0: no renewal
	wait      time.Duration
	minHold   time.Duration
	retention time.Duration
	plain     bool // no fencing
	holder    string
}

// The defaults and bounds of the options.
const (
	// DefaultTTL is the TTL of a lock where [WithTTL] does not say otherwise.
	DefaultTTL = 10 * time.Second
	// MinTTL is the least TTL: the smallest whole number of milliseconds that exceeds its own drift
	// allowance.
	MinTTL = 3 * time.Millisecond
	// MaxTTL is the greatest TTL.
	MaxTTL = 24 * time.Hour
	// DefaultFenceRetention is the least time that the nodes keep a fencing register after its last
	// use; see [WithFenceRetention].
	DefaultFenceRetention = time.Hour
	// MaxFenceRetention is the longest retention.
	MaxFenceRetention = 10 * 365 * 24 * time.Hour
	// Forever, given to [WithRenewal], renews until the lease is unlocked or lost.
	Forever time.Duration = math.MaxInt64

	minNodeTimeout, maxNodeTimeout = 20 * time.Millisecond, 250 * time.Millisecond
	maxHolderLen                   = 256
)

func defaults() config {
	return config{
		clock:  clock.System{},
		logger: slog.New(slog.DiscardHandler),
		terms:  terms{ttl: DefaultTTL, wait: Forever},
	}
}

// WithTTL sets how long the nodes keep the lock if nobody extends or releases it, and so how long
// others wait after its holder has crashed. The lease is valid for the TTL less a hundredth of it
// and two milliseconds. From [MinTTL] to [MaxTTL]; fractions of a millisecond are cut off. The
// default is [DefaultTTL].
func WithTTL(ttl time.Duration) MutexOption {
	return mutexOption(func(t *terms) error {
		if ttl < MinTTL || ttl > MaxTTL {
			return &OptionError{"WithTTL", ttl, fmt.Sprintf("a TTL is from %v (above the clock drift allowed for) to %v", MinTTL, MaxTTL)}
		}
		t.ttl = ttl.Truncate(time.Millisecond)
		return nil
	})
}

// WithRenewal makes leases renew themselves until they are unlocked or lost, for at most maxHold
// from the start of the attempt that took the lock: no renewal starts after that, and the lease
// then runs out. [Forever] sets no bound. The default is no renewal, except in Do and TryDo, which
// renew until their function returns; 0 restores the default for one lock.
func WithRenewal(maxHold time.Duration) MutexOption {
	return mutexOption(func(t *terms) error {
		if maxHold < 0 {
			return &OptionError{"WithRenewal", maxHold, "the maximum hold must not be below zero (redlock.Forever sets no bound, 0 renews nothing)"}
		}
		t.maxHold = maxHold
		return nil
	})
}

// WithWait bounds how long Lock and Do wait for the lock, in addition to their context. When the
// time is over the error wraps the last verdict and [context.DeadlineExceeded]. The default is
// [Forever]: the context alone bounds the wait.
func WithWait(d time.Duration) MutexOption {
	return mutexOption(func(t *terms) error {
		if d <= 0 {
			return &OptionError{"WithWait", d, "the wait must be above zero (TryLock does not wait)"}
		}
		t.wait = d
		return nil
	})
}

// WithMinHold keeps the lock in place until at least d after the attempt that took it began: an
// earlier release does not delete the key but lets it expire at that time. So a short job does not
// run twice on machines whose schedules differ a little. From 0 to [MaxTTL]; the default is 0.
func WithMinHold(d time.Duration) MutexOption {
	return mutexOption(func(t *terms) error {
		if d < 0 || d > MaxTTL {
			return &OptionError{"WithMinHold", d, fmt.Sprintf("a minimum hold is from 0 to %v", MaxTTL)}
		}
		t.minHold = d
		return nil
	})
}

// WithoutFencing takes locks without a fencing token. It is for locks that only save work. All
// users of a name should agree: an owner without a token does not raise the tokens of the owners
// with one.
func WithoutFencing() MutexOption {
	return mutexOption(func(t *terms) error {
		t.plain = true
		return nil
	})
}

// WithFencing takes locks with a fencing token, which is the default. It is for a single lock where
// New was given [WithoutFencing].
func WithFencing() MutexOption {
	return mutexOption(func(t *terms) error {
		t.plain = false
		return nil
	})
}

// WithFenceRetention sets how long the nodes keep a name's fencing register after its last use. A
// lease that is extended uses it again after a 32nd part of that. Once it is gone the next token
// comes from the clocks. At least an hour and twice the TTL, which is also the default; at most
// [MaxFenceRetention].
func WithFenceRetention(d time.Duration) MutexOption {
	return mutexOption(func(t *terms) error {
		if d < DefaultFenceRetention || d > MaxFenceRetention {
			return &OptionError{"WithFenceRetention", d, fmt.Sprintf("a retention is from %v to %v", DefaultFenceRetention, MaxFenceRetention)}
		}
		t.retention = d.Truncate(time.Millisecond)
		return nil
	})
}

// WithHolder sets a label, such as "host/pid", that shows others in their errors and in Inspect who
// has the lock. It is stored on the nodes as plain text. At most 256 bytes of printable text; the
// default is none.
func WithHolder(label string) MutexOption {
	return mutexOption(func(t *terms) error {
		if len(label) > maxHolderLen || !printable(label) {
			return &OptionError{"WithHolder", fmt.Sprintf("%d bytes", len(label)), fmt.Sprintf("a label is at most %d bytes of printable text", maxHolderLen)}
		}
		t.holder = label
		return nil
	})
}

// WithNodeTimeout sets how long one node may take over one request before it counts as unavailable.
// It bounds how long TryLock takes to report failure, how long Unlock waits for confirmation, and
// how soon an unreachable node is noticed.
//
// The default is a twentieth of the TTL of each call, within 20 and 250 milliseconds. It rises
// where a node is too far away for that: to several measured round trips of the node (about three
// where they vary little), but to a quarter of the validity at most. A node timeout that is set
// here does not rise.
//
// From a millisecond to a minute, and below the validity of the TTL.
func WithNodeTimeout(d time.Duration) Option {
	return option(func(c *config) error {
		if d < time.Millisecond || d > time.Minute {
			return &OptionError{"WithNodeTimeout", d, "a node timeout is from 1ms to 1m"}
		}
		c.nodeTimeout = d
		return nil
	})
}

// WithKeyPrefix puts prefix before each name to make its key. All users of a lock must use the
// same. The default is none.
func WithKeyPrefix(prefix string) Option {
	return option(func(c *config) error {
		c.prefix = prefix
		return nil
	})
}

// WithClock sets the clock, for tests and simulations. The time that a node has to answer is
// nevertheless measured by the system's clock.
func WithClock(clock Clock) Option {
	return option(func(c *config) error {
		if clock == nil {
			return &OptionError{"WithClock", clock, "the clock is nil"}
		}
		c.clock = givenClock{clock}
		return nil
	})
}

// WithLogger sets the logger; the default discards everything. The Locker warns of a lease that is
// lost or in danger; of a node that ceases to serve, once, with the cause; and of a Lock that has
// found no quorum for a second and still waits, with each node's reason, once for all waiting
// calls. It logs at level Info that a node or a quorum serves again. The more often a node or a
// quorum fails and recovers, the less often that is logged: in the end every ten minutes.
// Background work is logged at level Debug. The Locker calls the logger from its own goroutines and
// from its callers', with no mutex held, and never logs an owner id.
func WithLogger(logger *slog.Logger) Option {
	return option(func(c *config) error {
		if logger == nil {
			return &OptionError{"WithLogger", nil, "the logger is nil"}
		}
		c.logger = logger
		return nil
	})
}

// WithObserver makes the Locker report events to o; see [Event]. If the option is given more than
// once, each observer gets all events, in the order of the options.
func WithObserver(o Observer) Option {
	return option(func(c *config) error {
		if o == nil {
			return &OptionError{"WithObserver", nil, "the observer is nil"}
		}
		c.observers = append(c.observers, o)
		return nil
	})
}

// WithRestartGuard keeps a node that has restarted out of the quorum for maxTTL and a little more,
// because it may have forgotten a lock that it had granted ("Distributed Locks with Redis",
// "Performance, crash recovery and fsync"). The same holds for a node that has followed another
// server and is a master again, as after a failover and failback. maxTTL is the longest TTL and
// minimum hold that any user of the nodes sets; a Locker refuses longer ones. All users of the
// nodes must set the same maxTTL. The guard cannot distinguish a new node from one that has lost
// all its data, so a new node waits too; [Locker.Bootstrap] ends that wait. From [MinTTL] to
// [MaxTTL]; the default is no guard. A node that is a cluster cannot be guarded.
func WithRestartGuard(maxTTL time.Duration) Option {
	return option(func(c *config) error {
		if maxTTL < MinTTL || maxTTL > MaxTTL {
			return &OptionError{"WithRestartGuard", maxTTL, fmt.Sprintf("the longest TTL is from %v to %v", MinTTL, MaxTTL)}
		}
		c.guard = maxTTL.Truncate(time.Millisecond)
		return nil
	})
}

// check is what no option can see by itself.
func (t *terms) check(c *config) error {
	switch {
	case t.retention != 0 && t.retention < 2*t.ttl:
		return &OptionError{"WithFenceRetention", t.retention, fmt.Sprintf("the retention is below twice the TTL of %v", t.ttl)}
	case c.guard != 0 && t.ttl > c.guard:
		return &OptionError{"WithTTL", t.ttl, fmt.Sprintf("the TTL is above the longest of WithRestartGuard, %v", c.guard)}
	case c.guard != 0 && t.minHold > c.guard:
		return &OptionError{"WithMinHold", t.minHold, fmt.Sprintf("the minimum hold is above the longest TTL of WithRestartGuard, %v", c.guard)}
	case c.nodeTimeout >= validity(t.ttl):
		return &OptionError{"WithNodeTimeout", c.nodeTimeout, fmt.Sprintf("the node timeout is not below the validity of a TTL of %v", t.ttl)}
	}
	return nil
}

// check looks for options that do not fit together or do not fit the nodes. The restart guard can
// notice the restart of one server, not of a server in a cluster.
func (c *config) check(nodes []wire.Node) error {
	if err := c.terms.check(c); err != nil {
		return err
	}
	for i, n := range nodes {
		if many, ok := n.(interface{ Cluster() bool }); ok && c.guard != 0 && many.Cluster() {
			return &OptionError{"WithRestartGuard", c.guard, fmt.Sprintf("nodes[%d] is a cluster, which the guard cannot keep", i)}
		}
	}
	return nil
}

// fenceRetention is how long the nodes must keep the fencing register.
func (t *terms) fenceRetention() time.Duration {
	if t.retention != 0 {
		return t.retention
	}
	return max(DefaultFenceRetention, 2*t.ttl)
}

// usualTimeout is how long a node may take over a request where none is far away.
func (c *config) usualTimeout(t *terms) time.Duration {
	if c.nodeTimeout != 0 {
		return c.nodeTimeout
	}
	return min(max(t.ttl/20, minNodeTimeout), maxNodeTimeout, validity(t.ttl))
}

func printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
