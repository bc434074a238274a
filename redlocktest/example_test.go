package redlocktest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/redlocktest"
)

// Real locks, with somebody else at it. A Billing locks the invoice that it pays, by the TryDo of whatever Locker it was given.
func ExampleNew() {
	_ = func(t *testing.T) { //nolint:thelper // it is the test itself: func TestAnInvoiceIsPaidByOneAtATime(t *testing.T)
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
	}
}

// Time passes in no time inside a bubble of testing/synctest.
func ExampleQuorum_Freeze() {
	_ = func(t *testing.T) { //nolint:thelper // it is the test itself: synctest.Test(t, func(t *testing.T)
		q := redlocktest.New(t, 5)
		time.AfterFunc(time.Minute, func() {
			for i := range 3 {
				q.Freeze(i) // a majority
			}
		})
		err := q.Locker().Do(t.Context(), "job", func(ctx context.Context, _ *redlock.Lease) error {
			<-ctx.Done() // at the end of the last renewal's TTL
			return nil
		})
		if !errors.Is(err, redlock.ErrLost) {
			t.Errorf("Do says %v", err)
		}
	}
}

// No locks at all: a Billing asks for an interface with one method, and a fake has it. What the fake needs is a lease.
func ExampleLease() {
	_ = func(t *testing.T) { //nolint:thelper // it is the test itself: func TestThePaymentGetsTheToken(t *testing.T)
		lease, lose := redlocktest.Lease(t, "invoice:42", 7)
		billing := &Billing{
			locks: fakeLocks{lease: lease},
			pay: func(ctx context.Context, _ string, token uint64) error {
				if token != 7 {
					t.Errorf("token %d", token)
				}
				lose()
				return context.Cause(ctx)
			},
		}
		if err := billing.Pay(t.Context(), "42"); !errors.Is(err, redlock.ErrLost) {
			t.Errorf("Pay says %v", err)
		}
	}
}
