package main

import (
	"context"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/go-redlock/redlock"
	"github.com/go-redlock/redlock/internal/wire"
)

const slotSuffix = ":redlock:slot:"

// slotOf returns the semaphore and the slot whose lock has that key; false if it is no slot's. The
// key is {S}:redlock:slot:i, or S::redlock:slot:i if S has a hash tag.
func (c *search) slotOf(lock string) (semaphore string, slot int, ok bool) {
	common, ok := wire.SemaphoreOf(lock)
	if slot = wire.SlotNumber(lock); !ok || slot >= wire.MaxSlots {
		return "", 0, false
	}
	key, tagged := strings.CutSuffix(strings.TrimSuffix(common, slotSuffix), ":")
	if !tagged {
		key = strings.TrimSuffix(strings.TrimPrefix(key, "{"), "}")
	}
	semaphore, ok = strings.CutPrefix(key, c.KeyPrefix)
	return semaphore, slot, ok && semaphore != "" && strings.HasPrefix(semaphore, c.Prefix)
}

// inspectSlots inspects the slots that are among the names, and all slots below them.
func (c *search) inspectSlots(ctx context.Context, locks *redlock.Locker, names []string) (map[string][]redlock.Inspection, error) {
	permits := make(map[string]int)
	for _, name := range names {
		if semaphore, slot, ok := c.slotOf(name); ok {
			permits[semaphore] = max(permits[semaphore], slot+1)
		}
	}
	found := make(map[string][]redlock.Inspection, len(permits))
	var mu sync.Mutex
	var looking errgroup.Group
	looking.SetLimit(inspectLimit)
	for semaphore, count := range permits {
		looking.Go(func() error {
			slots, err := locks.InspectSemaphore(ctx, semaphore, count)
			mu.Lock()
			defer mu.Unlock()
			found[semaphore] = slots
			return err
		})
	}
	return found, looking.Wait() //nolint:wrapcheck // it says all
}
