package redlocktest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/election"
	"github.com/go-redlock/redlock/redlocktest"
)

// A Billing is an example of your service: it needs one method of the Locker, and takes an
// interface with that method.
type Billing struct {
	locks interface {
		TryDo(context.Context, string, func(context.Context, *redlock.Lease) error, ...redlock.MutexOption) error
	}
	pay func(ctx context.Context, invoice string, token uint64) error
}

var errBusy = errors.New("somebody else is at it")

func (b *Billing) Pay(ctx context.Context, invoice string) error {
	err := b.locks.TryDo(ctx, "invoice:"+invoice, func(ctx context.Context, lease *redlock.Lease) error {
		return b.pay(ctx, invoice, lease.Fence())
	})
	if errors.Is(err, redlock.ErrHeld) {
		return errBusy
	}
	return err
}

// With real locks over masters in memory:

func TestAnInvoiceIsPaidByOneAtATime(t *testing.T) {
	t.Parallel()
	q := redlocktest.New(t, 5)
	billing := &Billing{locks: q.Locker(), pay: func(context.Context, string, uint64) error { return nil }}
	release := q.Hold("invoice:42")
	if err := billing.Pay(t.Context(), "42"); !errors.Is(err, errBusy) {
		t.Errorf("while another process pays it, Pay says %v", err)
	}
	release()
	if err := billing.Pay(t.Context(), "42"); err != nil {
		t.Errorf("after that it says %v", err)
	}
	if q.Held("invoice:42") {
		t.Error("Pay has left the lock behind")
	}
}

func TestAPaymentStopsWhenItsLockIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // here an hour takes no time
		q := redlocktest.New(t, 5)
		billing := &Billing{locks: q.Locker(), pay: func(ctx context.Context, _ string, _ uint64) error {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(time.Hour):
				return nil
			}
		}}
		time.AfterFunc(time.Minute, func() {
			for i := range 3 {
				q.Freeze(i) // a majority
			}
		})
		if err := billing.Pay(t.Context(), "42"); !errors.Is(err, redlock.ErrLost) {
			t.Errorf("Pay says %v", err)
		}
	})
}

// An election is a lock too:

func TestTheNextLeadsWhenTheLeaderIsCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := redlocktest.New(t, 5)
		first, second := q.Locker(), q.Locker()
		ctx, stop := context.WithCancel(t.Context())
		err := election.New(first, "scheduler").Lead(ctx, func(ctx context.Context, one *redlock.Lease) error {
			rejoin := q.Isolate(first)
			defer rejoin()
			return election.New(second, "scheduler").Lead(t.Context(), func(_ context.Context, two *redlock.Lease) error {
				if ctx.Err() == nil || two.Fence() <= one.Fence() {
					t.Error("the first does not know, or its token is not the smaller one")
				}
				stop() // otherwise the first would campaign again
				return nil
			})
		})
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// Without locks, through the interface:

type fakeLocks struct {
	lease *redlock.Lease
	err   error
}

func (f fakeLocks) TryDo(ctx context.Context, _ string, fn func(context.Context, *redlock.Lease) error, _ ...redlock.MutexOption) error {
	if f.err != nil {
		return f.err
	}
	ctx, cancel := f.lease.Bind(ctx)
	defer cancel()
	return fn(ctx, f.lease)
}

func TestThePaymentGetsTheToken(t *testing.T) {
	t.Parallel()
	lease, _ := redlocktest.Lease(t, "invoice:42", 7)
	var got uint64
	billing := &Billing{locks: fakeLocks{lease: lease}, pay: func(_ context.Context, _ string, token uint64) error {
		got = token
		return nil
	}}
	if err := billing.Pay(t.Context(), "42"); err != nil || got != 7 {
		t.Errorf("token %d, error %v", got, err)
	}
	billing.locks = fakeLocks{err: redlock.ErrHeld}
	if err := billing.Pay(t.Context(), "42"); !errors.Is(err, errBusy) {
		t.Errorf("Pay says %v", err)
	}
}

func TestAFakesLeaseCanBeLost(t *testing.T) {
	t.Parallel()
	lease, lose := redlocktest.Lease(t, "invoice:42", 7)
	billing := &Billing{locks: fakeLocks{lease: lease}, pay: func(ctx context.Context, _ string, _ uint64) error {
		lose()
		<-ctx.Done()
		return context.Cause(ctx)
	}}
	if err := billing.Pay(t.Context(), "42"); !errors.Is(err, redlock.ErrLost) {
		t.Errorf("Pay says %v", err)
	}
}
