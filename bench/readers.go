package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/go-redlock/redlock"
)

// oneIn is how rarely a process that mostly reads takes the lock alone.
const oneIn = 10

// A readerLocker is this library, with the shared lock of each name that is asked for.
type readerLocker struct {
	ourLocker
	name   string // of all locks; "": as asked for
	writes bool   // one in oneIn is for the exclusive lock
}

func openReaders(name string, writes bool) func(context.Context, []string) (locker, error) {
	return func(_ context.Context, addrs []string) (locker, error) {
		l, err := openOurs(addrs)
		if err != nil {
			return nil, err
		}
		return &readerLocker{l.(ourLocker), name, writes}, nil //nolint:forcetypeassert // it is
	}
}

func (l *readerLocker) lock(ctx context.Context, name string) (held, error) {
	if l.name != "" {
		name = l.name
	}
	m := l.Mutex(name)
	if !l.writes || rand.IntN(oneIn) > 0 { //nolint:gosec // a benchmark's
		m = m.Shared()
	}
	lease, err := m.Lock(ctx)
	return (*ourLease)(lease), err
}

// readsOnly reports whether what is held is shared.
func readsOnly(h held) bool {
	lease, ours := h.(*ourLease)
	return ours && (*redlock.Lease)(lease).Shared()
}

const (
	writersP99     = "p99 of writers"
	writersInTurns = "p99 of writers in fair turns"
	clashes        = "overlaps with a writer"
)

// write adds what n processes made of it that mostly read: how long writers waited, in times that
// it takes until everybody has had a turn; and how often a writer was not alone.
func (v values) write(turns []turn, n int) {
	v[clashes] = 0
	var waits []float64
	var reads, writes time.Time // until when
	for _, t := range turns {
		if t.got.Before(writes) || !t.reads && t.got.Before(reads) {
			v[clashes]++
		}
		if t.reads {
			reads = later(reads, t.gave)
			continue
		}
		writes = later(writes, t.gave)
		waits = append(waits, micros(t.got.Sub(t.asked)))
	}
	if slices.Sort(waits); len(waits) > 0 {
		v[writersP99] = percentile(waits, 99)
		v[writersInTurns] = v[writersP99] * v[rate] / 1e6 / float64(n)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
