package election_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/election"
	"github.com/go-redlock/redlock/internal/clustertest"
	"github.com/go-redlock/redlock/redlocktest"
)

const name = "leader"

func TestALeaderThatReturnsResignsAndEndsItsCampaign(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, r, enough := redlocktest.New(t, 5), &record{}, make(chan error)
		first := campaign(t.Context(), election.New(q.Locker(), name), r.resign("ann", enough))
		synctest.Wait()
		next := campaign(t.Context(), election.New(q.Locker(), name), r.lead("bob"))
		synctest.Wait()
		wantLeader(t, r, "ann")
		done := errors.New("done")
		enough <- done
		synctest.Wait()
		wantLeader(t, r, "bob")
		if err := first(); err != done { //nolint:errorlint // it is fn's own
			t.Errorf("Lead says %v", err)
		}
		if err := next(); !errors.Is(err, context.Canceled) {
			t.Errorf("Lead says %v", err)
		}
		if q.Held(name) {
			t.Error("the leader that was stopped has left its lock behind")
		}
	})
}

// The loss of another lock is not the loss of the lead.
func TestALeaderResignsWithAnErrorThatIsAnotherLocks(t *testing.T) {
	t.Parallel()
	q := redlocktest.New(t, 5)
	terms, lost := 0, fmt.Errorf("another lock: %w", redlock.ErrLost)
	err := election.New(q.Locker(), name).Lead(t.Context(), func(context.Context, *redlock.Lease) error {
		if terms++; terms > 1 {
			return nil
		}
		return lost
	})
	if err != lost || terms != 1 { //nolint:errorlint // it is fn's own
		t.Errorf("after %d terms Lead says %v", terms, err)
	}
}

// The gap between two terms is the gap between two locks.
func TestAfterAResignationTheNextLeadsAsSoonAsAWaiterLocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := redlocktest.New(t, 5)
		for i := range 5 {
			q.Slow(i, time.Millisecond)
		}
		gap := func(take func(locks *redlock.Locker) (began <-chan time.Time, resign func())) time.Duration {
			_, resign := take(q.Locker())
			time.Sleep(time.Second)
			began, over := take(q.Locker())
			time.Sleep(time.Second)
			at := time.Now()
			go resign()
			defer over()
			return (<-began).Sub(at)
		}
		lock := gap(func(locks *redlock.Locker) (<-chan time.Time, func()) {
			began, leases := make(chan time.Time, 1), make(chan *redlock.Lease, 1)
			go func() {
				le, err := locks.Lock(t.Context(), "lock", redlock.WithRenewal(redlock.Forever))
				if err != nil {
					t.Error(err)
				}
				began <- time.Now()
				leases <- le
			}()
			return began, func() { _ = (<-leases).Unlock(t.Context()) }
		})
		lead := gap(func(locks *redlock.Locker) (<-chan time.Time, func()) {
			began, resign := make(chan time.Time, 1), make(chan struct{})
			stop := campaign(t.Context(), election.New(locks, name), func(context.Context, *redlock.Lease) error {
				began <- time.Now()
				<-resign
				return nil
			})
			return began, func() {
				close(resign)
				_ = stop()
			}
		})
		t.Logf("%v for a lock, %v for an election", lock, lead)
		if lock <= 0 || lead > 2*lock {
			t.Errorf("the next leads after %v; the next has a lock after %v", lead, lock)
		}
	})
}

// A leader that was paused past its term finds that its lease is lost when it next looks. Its
// context ends too, and when its function has returned, it campaigns again.
func TestALeaderThatWasPausedHasLostTheLeadAtItsNextLook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, r, clock := redlocktest.New(t, 5), &record{}, &leapingClock{}
		thaw, thawed := make(chan struct{}), make(chan struct{})
		paused := q.Locker(redlock.WithClock(clock))
		first := campaign(t.Context(), election.New(paused, name), func(ctx context.Context, le *redlock.Lease) error {
			s := r.begin(ctx, "ann", le)
			defer r.end(s)
			if len(r.tokens()) > 1 {
				<-ctx.Done()
				return context.Cause(ctx)
			}
			<-thaw
			defer close(thawed)
			if err := le.Err(); !errors.Is(err, redlock.ErrLost) {
				t.Errorf("the lease says %v", err)
			}
			<-ctx.Done()
			if err := context.Cause(ctx); !errors.Is(err, redlock.ErrLost) {
				t.Errorf("the context says %v", err)
			}
			return errors.New("dropped")
		})
		synctest.Wait()
		next := campaign(t.Context(), election.New(q.Locker(), name), r.lead("bob"))
		rejoin := q.Isolate(paused) // so nothing is renewed
		time.Sleep(redlock.DefaultTTL)
		clock.leap(redlock.DefaultTTL)
		rejoin()
		close(thaw)
		<-thawed
		time.Sleep(time.Minute)
		wantLeader(t, r, "bob")
		_ = next()
		time.Sleep(time.Minute)
		wantLeader(t, r, "ann")
		if err := first(); !errors.Is(err, context.Canceled) {
			t.Errorf("Lead says %v", err)
		}
		if tokens := r.tokens(); len(tokens) != 3 || !slices.IsSorted(tokens) {
			t.Errorf("the tokens are %d", tokens)
		}
	})
}

func TestLeadCallsNothingUnderAContextThatHasEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := redlocktest.New(t, 5)
		e := election.New(q.Locker(), name)
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("shutdown")
		cancel(why)
		never := func(context.Context, *redlock.Lease) error {
			t.Error("it leads")
			return nil
		}
		if err := e.Lead(ctx, never); !errors.Is(err, context.Canceled) || !errors.Is(err, why) {
			t.Errorf("Lead says %v", err)
		}
		// nor under one that ends while it waits
		release := q.Hold(name)
		stop := campaign(t.Context(), e, never)
		time.Sleep(time.Hour)
		if err := stop(); !errors.Is(err, context.Canceled) || !errors.Is(err, redlock.ErrHeld) {
			t.Errorf("Lead says %v", err)
		}
		release()
	})
}

// The context may end after the lock was taken and before fn is called: an observer ends it there.
func TestLeadCallsNothingWhenItsContextEndsAtTheMomentOfElection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := redlocktest.New(t, 5)
		ctx, cancel := context.WithCancel(t.Context())
		locks := q.Locker(redlock.WithObserver(observer(func(e redlock.Event) {
			if _, elected := e.(redlock.AcquiredEvent); elected {
				cancel()
			}
		})))
		err := election.New(locks, name).Lead(ctx, func(context.Context, *redlock.Lease) error {
			t.Error("it leads")
			return nil
		})
		if !errors.Is(err, context.Canceled) || q.Held(name) {
			t.Errorf("Lead says %v; the lock is held: %v", err, q.Held(name))
		}
	})
}

// Observers of the Locker are told of each campaign that ends without an election, and of no other.
func TestACampaignWithoutAnElectionIsReportedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := redlocktest.New(t, 5)
		var failed []redlock.FailedEvent
		e := election.New(q.Locker(redlock.WithObserver(observer(func(e redlock.Event) {
			if f, ok := e.(redlock.FailedEvent); ok {
				failed = append(failed, f)
			}
		}))), name)
		want := func(what string, wait time.Duration, errs ...error) {
			t.Helper()
			synctest.Wait()
			if len(failed) != 1 || failed[0].Name != name || failed[0].Wait != wait {
				t.Errorf("%s: reported are %+v", what, failed)
			}
			for _, err := range errs {
				if len(failed) == 1 && !errors.Is(failed[0].Err, err) {
					t.Errorf("%s: the error is %v, not %v", what, failed[0].Err, err)
				}
			}
			failed = nil
		}
		resign := func(context.Context, *redlock.Lease) error { return nil }
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_ = e.Lead(ended, resign)
		want("under a context that has ended", 0, context.Canceled)

		release := q.Hold(name)
		stop := campaign(t.Context(), e, resign)
		time.Sleep(time.Hour)
		_ = stop()
		want("while another leads", time.Hour, context.Canceled, redlock.ErrHeld)
		release()

		_ = e.Lead(t.Context(), resign)
		lost := campaign(t.Context(), e, func(ctx context.Context, _ *redlock.Lease) error {
			q.Lose(name)
			<-ctx.Done()
			return nil
		})
		time.Sleep(time.Minute)
		if failed != nil {
			t.Errorf("of leaders it is reported that %+v", failed)
		}
		_ = lost()
	})
}

type observer func(redlock.Event)

func (o observer) Observe(e redlock.Event) { o(e) }

func TestLeadJoinsTheContextsErrorWithThatOfItsFunction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := redlocktest.New(t, 5)
		unfinished := errors.New("unfinished")
		for _, want := range []error{unfinished, nil} {
			stop := campaign(t.Context(), election.New(q.Locker(), name), func(ctx context.Context, _ *redlock.Lease) error {
				<-ctx.Done()
				return want
			})
			synctest.Wait()
			if err := stop(); !errors.Is(err, context.Canceled) || want != nil && !errors.Is(err, want) {
				t.Errorf("Lead says %v", err)
			}
		}
	})
}

func TestAPanicResignsAndGoesOn(t *testing.T) {
	t.Parallel()
	q := redlocktest.New(t, 5)
	defer func() {
		if recover() != "no more" {
			t.Error("the panic was swallowed")
		}
		if q.Held(name) {
			t.Error("the lock was left behind")
		}
	}()
	_ = election.New(q.Locker(), name).Lead(t.Context(), func(context.Context, *redlock.Lease) error { panic("no more") })
}

// If the lead is lost at once, again and again, the pauses before the next campaign grow to five
// seconds. After a longer term they begin anew.
func TestTheLeadIsNotTakenWithoutAPauseWhereItIsLostAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := redlocktest.New(t, 5)
		var lost time.Time
		var pauses []time.Duration
		long := 12 // this term lasts
		stop := campaign(t.Context(), election.New(q.Locker(), name), func(ctx context.Context, _ *redlock.Lease) error {
			if !lost.IsZero() {
				pauses = append(pauses, time.Since(lost))
			}
			if len(pauses) == long {
				time.Sleep(time.Minute)
			}
			if len(pauses) <= long+1 {
				q.Lose(name)
				lost = time.Now()
			}
			<-ctx.Done()
			return nil
		})
		time.Sleep(5 * time.Minute)
		_ = stop()
		if len(pauses) < long+2 {
			t.Fatalf("only %d campaigns: %v", len(pauses), pauses)
		}
		most := 100 * time.Millisecond
		for i, p := range pauses[:long] {
			if p < most/2 || p > most {
				t.Errorf("pause %d is %v, not within %v and %v", i, p, most/2, most)
			}
			most = min(2*most, 5*time.Second)
		}
		if p := pauses[long]; p > 100*time.Millisecond {
			t.Errorf("after a term of a minute the pause is %v", p)
		}
	})
}

func TestOptionsBoundTerms(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, r := redlocktest.New(t, 5), &record{}
		first := campaign(t.Context(), election.New(q.Locker(), name, redlock.WithRenewal(time.Minute)), r.lead("ann"))
		time.Sleep(time.Minute - time.Second)
		if n := len(r.tokens()); n != 1 {
			t.Errorf("%d terms within the maximum of one", n)
		}
		time.Sleep(10 * time.Minute)
		if n := len(r.tokens()); n < 9 || n > 11 {
			t.Errorf("%d terms of a minute within eleven", n)
		}
		_ = first()
		hold := election.New(q.Locker(), "hold", redlock.WithMinHold(time.Hour))
		began := time.Now()
		for range 2 {
			if err := hold.Lead(t.Context(), func(context.Context, *redlock.Lease) error { return nil }); err != nil {
				t.Error(err)
			}
		}
		if d := time.Since(began); d < time.Hour || d > time.Hour+time.Minute {
			t.Errorf("the second term began after %v", d)
		}
	})
}

// Lead waits for a function that ignores its context.
func TestANewTermBeginsOnlyAfterTheLastOnesFunctionHasReturned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := redlocktest.New(t, 5)
		var running atomic.Bool
		var terms atomic.Int32
		stop := campaign(t.Context(), election.New(q.Locker(), name), func(ctx context.Context, _ *redlock.Lease) error {
			if running.Swap(true) {
				t.Error("two terms at once")
			}
			defer running.Store(false)
			if terms.Add(1) == 1 {
				q.Lose(name)
				time.Sleep(time.Hour)
				return nil
			}
			<-ctx.Done()
			return nil
		})
		time.Sleep(30 * time.Minute)
		if n := terms.Load(); n != 1 {
			t.Errorf("%d terms while the first one's function runs", n)
		}
		time.Sleep(time.Hour)
		if n := terms.Load(); n != 2 {
			t.Errorf("%d terms after that", n)
		}
		_ = stop()
	})
}

func TestARefusalForGoodEndsACampaignAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.New(5)
		for _, m := range c.Masters[:3] {
			m.Set("{"+name+"}:redlock:fence", "another program's", time.Hour)
		}
		began := time.Now()
		err := election.New(c.Locker(t), name).Lead(t.Context(), func(context.Context, *redlock.Lease) error { return nil })
		if q, ok := errors.AsType[*redlock.QuorumError](err); !ok || q.Failed < 3 || time.Since(began) > time.Second {
			t.Errorf("after %v Lead says %v", time.Since(began), err)
		}
	})
}

func TestACampaignEndsWithItsLocker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, r := redlocktest.New(t, 5), &record{}
		one, two := q.Locker(), q.Locker()
		leader := campaign(context.WithoutCancel(t.Context()), election.New(one, name), r.lead("ann"))
		synctest.Wait()
		waiter := campaign(context.WithoutCancel(t.Context()), election.New(two, name), r.lead("bob"))
		synctest.Wait()
		for locks, stop := range map[*redlock.Locker]func() error{one: leader, two: waiter} {
			_ = locks.Close(t.Context())
			synctest.Wait()
			if err := stop(); !errors.Is(err, redlock.ErrClosed) {
				t.Errorf("Lead says %v", err)
			}
		}
	})
}

func TestBadArgumentsAreNamed(t *testing.T) {
	t.Parallel()
	q := redlocktest.New(t, 3)
	locks := q.Locker()
	lead := func(context.Context, *redlock.Lease) error {
		t.Error("it leads")
		return nil
	}
	for option, e := range map[string]*election.Election{
		"Election": {},
		"Locker":   election.New(nil, name),
		"name":     election.New(locks, ""),
		"WithTTL":  election.New(locks, name, redlock.WithTTL(-1)),
		"opts[1]":  election.New(locks, name, redlock.WithTTL(time.Second), nil),
	} {
		_, asked := e.Leader(t.Context())
		errs := []error{e.Lead(t.Context(), lead), asked}
		for _, err := range e.Observe(t.Context()) {
			errs = append(errs, err)
		}
		if len(errs) != 3 {
			t.Errorf("%s: Observe has yielded %d errors, not one", option, len(errs)-2)
		}
		for _, err := range errs {
			if o, ok := errors.AsType[*redlock.OptionError](err); !ok || o.Option != option {
				t.Errorf("%s: %v", option, err)
			}
		}
	}
	if o, ok := errors.AsType[*redlock.OptionError](election.New(locks, name).Lead(t.Context(), nil)); !ok || o.Option != "fn" {
		t.Errorf("without a function: %v", o)
	}
	if got := fmt.Sprint(election.New(locks, name), (*election.Election)(nil)); got != `election.Election("leader") election.Election(none)` {
		t.Error(got)
	}
}

func TestALeaderIsKnownByItsHostAndProcessUnlessItHasALabel(t *testing.T) {
	t.Parallel()
	q := redlocktest.New(t, 3)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for want, e := range map[string]*election.Election{
		fmt.Sprintf("%s/%d", host, os.Getpid()): election.New(q.Locker(), "one"),
		"the Locker's":                          election.New(q.Locker(redlock.WithHolder("the Locker's")), "two"),
		"its own":                               election.New(q.Locker(redlock.WithHolder("the Locker's")), "three", redlock.WithHolder("its own")),
	} {
		err := e.Lead(t.Context(), func(ctx context.Context, _ *redlock.Lease) error {
			if leader, err := e.Leader(ctx); err != nil || leader.Holder != want {
				t.Errorf("%+v leads, not %s: %v", leader, want, err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}
