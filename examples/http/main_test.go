package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/go-redlock/redlock/redlocktest"
)

func paid(context.Context, string, uint64) error { return nil }

func post(h http.Handler, path string) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, nil))
	return w.Result()
}

func TestTheSecondRequestIsToldWhenToComeBack(t *testing.T) {
	t.Parallel()
	q := redlocktest.New(t, 5)
	h := handler(q.Locker(), paid)
	release := q.Hold("invoice:42")
	busy := post(h, "/invoices/42/pay")
	if busy.StatusCode != http.StatusConflict {
		t.Errorf("status %d while somebody else pays it", busy.StatusCode)
	}
	if s, err := strconv.Atoi(busy.Header.Get("Retry-After")); err != nil || s < 1 || s > 10 {
		t.Errorf("Retry-After is %q, want what is left of a TTL of ten seconds", busy.Header.Get("Retry-After"))
	}
	if other := post(h, "/invoices/43/pay"); other.StatusCode != http.StatusNoContent {
		t.Errorf("status %d for another invoice", other.StatusCode)
	}
	release()
	if again := post(h, "/invoices/42/pay"); again.StatusCode != http.StatusNoContent {
		t.Errorf("status %d after it was paid", again.StatusCode)
	}
}

func TestWithoutAQuorumTheServiceIsUnavailable(t *testing.T) {
	t.Parallel()
	q := redlocktest.New(t, 3)
	h := handler(q.Locker(), paid)
	q.Kill(0)
	q.Kill(1)
	if r := post(h, "/invoices/42/pay"); r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("status %d", r.StatusCode)
	}
}

func TestALockThatIsLostMayBeTriedAgain(t *testing.T) {
	t.Parallel()
	q := redlocktest.New(t, 3)
	h := handler(q.Locker(), func(ctx context.Context, id string, _ uint64) error {
		q.Lose("invoice:" + id)
		return context.Cause(ctx)
	})
	if r := post(h, "/invoices/42/pay"); r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("status %d", r.StatusCode)
	}
}

func TestOtherErrorsAreInternal(t *testing.T) {
	t.Parallel()
	q := redlocktest.New(t, 3)
	h := handler(q.Locker(), func(context.Context, string, uint64) error { return errors.New("no money") })
	if r := post(h, "/invoices/42/pay"); r.StatusCode != http.StatusInternalServerError {
		t.Errorf("status %d", r.StatusCode)
	}
}
