package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/go-redlock/redlock/internal/redisserver"
)

// servers are the masters that the contestants lock on. They count what the locks cost them.
type servers struct {
	*redisserver.Servers
	monitors []*redis.Client
}

func startServers() (*servers, error) {
	masters, err := redisserver.Start(allNodes)
	if err != nil {
		return nil, err
	}
	s := &servers{Servers: masters}
	for _, addr := range masters.Addrs() {
		s.monitors = append(s.monitors, redis.NewClient(&redis.Options{
			Addr: addr, PoolSize: 1, DisableIdentity: true, ContextTimeoutEnabled: true,
		}))
	}
	return s, nil
}

func (s *servers) stop() {
	for _, m := range s.monitors {
		_ = m.Close() // it is no longer needed
	}
	s.Stop()
}

// flush empties all servers, so that no contestant finds what another left.
func (s *servers) flush(ctx context.Context) error {
	for _, m := range s.monitors {
		if err := m.FlushAll(ctx).Err(); err != nil {
			return fmt.Errorf("flush: %w", err)
		}
	}
	return nil
}

// A bill is the work that the servers have done so far, all together.
type bill struct {
	reads    float64 // from sockets; a pipeline counts once
	commands float64 // those that scripts call included
	cpu      float64 // in seconds, user and system time
}

// bill reads the counters of the servers that answer. That costs each server one read and one
// command.
func (s *servers) bill(ctx context.Context) (b bill, err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, m := range s.monitors {
		wg.Go(func() {
			text, e := m.Info(ctx, "stats", "cpu").Result()
			mu.Lock()
			defer mu.Unlock()
			if e != nil {
				err = fmt.Errorf("info: %w", e)
				return
			}
			b.reads += field(text, "total_reads_processed")
			b.commands += field(text, "total_commands_processed")
			b.cpu += field(text, "used_cpu_user") + field(text, "used_cpu_sys")
		})
	}
	wg.Wait()
	return b, err
}

// minus returns the work since an earlier bill. n bills have been read meanwhile, this one
// included.
func (b bill) minus(earlier bill, n int) bill {
	own := float64(n * allNodes)
	return bill{b.reads - earlier.reads - own, b.commands - earlier.commands - own, b.cpu - earlier.cpu}
}

// field reads a number of an INFO reply.
func field(info, name string) float64 {
	_, rest, _ := strings.Cut(info, name+":")
	value, _, _ := strings.Cut(rest, "\r\n")
	f, err := strconv.ParseFloat(value, 64)
	if err != nil {
		panic(fmt.Sprintf("INFO has no number %s", name)) // every Redis has
	}
	return f
}
