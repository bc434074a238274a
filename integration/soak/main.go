// Command soak keeps one process of the library busy for a long time, on many names, and shows that
// it does not grow: at the end it has as many goroutines and connections and as much memory as at
// the beginning. Then many goroutines wait for one name, and each gets its turn.
//
//	go run ./soak -for 1h
//
// It starts five redis-server or valkey-server processes of its own, and exits with 1 if something
// grew.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/redisserver"
	"github.com/go-redlock/redlock/pool"
)

const (
	masters = 5
	workers = 64
	samples = 20
	growth  = 1.3 // by which a figure may differ by chance
	spare   = 200 // goroutines and connections that may be there by chance
)

func main() {
	length := flag.Duration("for", time.Hour, "how long")
	names := flag.Int("names", 100_000, "names to lock")
	waiters := flag.Int("waiters", 10_000, "goroutines that wait for one name in the end")
	flag.Parse()
	if err := soak(*length, *names, *waiters); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func soak(length time.Duration, names, waiters int) error {
	servers, err := redisserver.Start(masters)
	if err != nil {
		return err
	}
	defer servers.Stop()
	nodes, err := pool.Dial(servers.Addrs()...)
	if err != nil {
		return err
	}
	locks, err := redlock.New(nodes)
	if err != nil {
		return err
	}
	watch := redis.NewClient(&redis.Options{Addr: servers.Addrs()[0]})
	defer watch.Close()

	ctx, stop := context.WithTimeout(context.Background(), length)
	defer stop()
	var done atomic.Int64
	var all sync.WaitGroup
	for range workers {
		all.Go(func() { work(ctx, locks, names, &done) })
	}
	var seen []figures
	for range samples {
		pause(ctx, length/(samples+1))
		f, err := measure(watch)
		if err != nil {
			return err
		}
		seen = append(seen, f)
		fmt.Printf("%9d locks: %v\n", done.Load(), f)
	}
	all.Wait()
	errs := []error{grown(seen), queue(locks, waiters), locks.Close(context.Background())}
	fmt.Printf("%d locks of %d names in %v; then %d waiters, each with its turn\n", done.Load(), names, length, waiters)
	return errors.Join(errs...)
}

// work locks names at random, one after the other; some of the leases are renewed.
func work(ctx context.Context, locks *redlock.Locker, names int, done *atomic.Int64) {
	for ctx.Err() == nil {
		name := fmt.Sprintf("name-%d", rand.IntN(names))
		err := locks.Do(ctx, name, func(context.Context, *redlock.Lease) error { return nil })
		if err == nil {
			done.Add(1)
		}
	}
}

// queue makes many goroutines wait for one name, and returns an error if one does not get it.
func queue(locks *redlock.Locker, waiters int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	var all sync.WaitGroup
	var failed atomic.Pointer[error]
	for range waiters {
		all.Go(func() {
			lease, err := locks.Lock(ctx, "one")
			if err == nil {
				err = lease.Unlock(ctx)
			}
			if err != nil {
				failed.Store(&err)
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return fmt.Errorf("a waiter: %w", *err)
	}
	return nil
}

// figures are the figures that must not grow.
type figures struct {
	goroutines, connections int
	memory                  uint64 // bytes on the heap, in use
}

func (f figures) String() string {
	return fmt.Sprintf("%d goroutines, %d connections to a master, %d KiB in use", f.goroutines, f.connections, f.memory>>10)
}

func measure(watch *redis.Client) (figures, error) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	info, err := watch.InfoMap(context.Background(), "clients").Result()
	if err != nil {
		return figures{}, err
	}
	f := figures{goroutines: runtime.NumGoroutine(), memory: m.HeapInuse}
	_, err = fmt.Sscan(info["Clients"]["connected_clients"], &f.connections)
	return f, err
}

// grown compares the end of the run with its first third, in which the process reaches its size.
func grown(seen []figures) error {
	early, late := most(seen[:samples/3]), most(seen[samples-samples/3:])
	switch {
	case late.goroutines > early.goroutines+spare, late.connections > early.connections+spare:
	case float64(late.memory) > growth*float64(early.memory)+8<<20:
	default:
		return nil
	}
	return fmt.Errorf("it grew from %v to %v", early, late)
}

// most returns the greatest value of each figure.
func most(seen []figures) (m figures) {
	for _, f := range seen {
		m.goroutines, m.connections, m.memory = max(m.goroutines, f.goroutines), max(m.connections, f.connections), max(m.memory, f.memory)
	}
	return m
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
