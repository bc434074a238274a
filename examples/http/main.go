// Command http serves requests on any number of machines. For each invoice one request at a time is
// worked on; the others are told when to try again.
//
//	REDLOCK_NODES=127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003 go run ./examples/http &
//	curl -i -X POST localhost:8080/invoices/42/pay
package main

import (
	"context"
	"errors"
	"log"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/pool"
)

func main() {
	nodes, err := pool.Dial(strings.Split(os.Getenv("REDLOCK_NODES"), ",")...)
	if err != nil {
		log.Fatal(err)
	}
	locks, err := redlock.New(nodes)
	if err != nil {
		log.Fatal(err)
	}
	server := http.Server{Addr: "localhost:8080", Handler: handler(locks, pay), ReadHeaderTimeout: time.Second}
	log.Fatal(server.ListenAndServe())
}

type payment func(ctx context.Context, invoice string, token uint64) error

func handler(locks *redlock.Locker, pay payment) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /invoices/{id}/pay", func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		err := locks.TryDo(r.Context(), "invoice:"+id, func(ctx context.Context, lease *redlock.Lease) error {
			return pay(ctx, id, lease.Fence())
		})
		reply(w, err)
	})
	return mux
}

// reply answers 409 if another request works on the invoice, and 503 if no locks can be taken or
// this one was lost. It says when to try again if the masters have said so.
func reply(w http.ResponseWriter, err error) {
	if refused, ok := errors.AsType[*redlock.QuorumError](err); ok && refused.RetryAfter > 0 {
		seconds := math.Ceil(refused.RetryAfter.Seconds())
		w.Header().Set("Retry-After", strconv.Itoa(int(seconds)))
	}
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.Is(err, redlock.ErrHeld):
		http.Error(w, "somebody else is paying this invoice", http.StatusConflict)
	case errors.Is(err, redlock.ErrNoQuorum), errors.Is(err, redlock.ErrLost), errors.Is(err, redlock.ErrTooLate):
		http.Error(w, "try again later", http.StatusServiceUnavailable)
	default:
		log.Print(err)
		http.Error(w, "internal error", http.StatusInternalServerError)
	}
}

func pay(ctx context.Context, invoice string, token uint64) error {
	log.Printf("paying invoice %s with token %d", invoice, token)
	select {
	case <-time.After(5 * time.Second):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
