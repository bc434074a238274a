// Package redlock locks names across N independent Redis or Valkey masters, by the algorithm of
// "Distributed Locks with Redis" (Redlock). It stays right, and quick, while some of the masters
// are slow, frozen, restarted or gone.
//
//	nodes, err := pool.Dial("10.0.0.1:6379", "10.0.0.2:6379", "10.0.0.3:6379")
//	locks, err := redlock.New(nodes, redlock.WithTTL(10*time.Second))
//	defer locks.Close(ctx)
//
//	err = locks.Do(ctx, "invoice:42", func(ctx context.Context, lease *redlock.Lease) error {
//		return pay(ctx, lease.Fence()) // ctx ends if the lock is lost
//	})
//
// # How a lock is taken
//
// A [Locker] asks all masters at once and decides as soon as no further answer can change the
// outcome: a majority grants the lock within its validity, or cannot any more. What a failed
// attempt left on the nodes, and grants and replies that come late, are cleaned up in the
// background. A master that does not answer costs its own vote and nothing else.
//
// What is held is a [Lease]. It ends when it is unlocked, or is lost: at its deadline, which counts
// from before the first request was sent, or as soon as a majority of the masters says that the
// lock is gone. [Lease.Context], [Lease.Bind], [Lease.Done] and [Lease.Err] tell. A lease expires
// unless it is extended, by [Lease.Extend] or by itself under [WithRenewal]; [Locker.Do] renews
// until its function returns.
//
// # What it promises, and what not
//
// Two leases of one name do not overlap as long as the clocks of the holders and of every master
// that votes run at rates within a hundredth of each other and do not step, and every such master
// keeps what it was told for a TTL. A majority of such masters is not enough: two majorities of
// five may share one master only. A master that restarts without its data breaks the second
// assumption; [WithRestartGuard] keeps it away from new locks for long enough.
//
// No lock service can stop a process that is paused, by its garbage collector or its host, between
// a look at its lease and the write that follows. [Lease.Fence] is for that: a fencing token,
// unique among all leases of its name and rising, which rests on no clock as long as the masters
// keep their fencing registers. A resource that refuses a token smaller than the greatest it has
// seen is safe from stale writes. docs/safety.md has the assumptions, the proof and the limits.
//
// # Waiting
//
// [Locker.Lock] and [Locker.Do] wait their turn: inside a process in the order of the calls, where
// the lock goes from one to the next without a round trip, and between processes in queues on the
// masters, which tell the next one when its turn has come. A wait ends with its context, or as
// [WithWait] says. [Locker.TryLock] and [Locker.TryDo] do not wait.
//
// # Errors
//
// [ErrHeld], [ErrNoQuorum], [ErrTooLate], [ErrLost], [ErrReleased] and [ErrClosed] are told apart
// by [errors.Is]. A [*QuorumError] has the details: how each node answered, and when to try again.
// Bad arguments are an [*OptionError].
//
// # Around it
//
//   - [github.com/go-redlock/redlock/pool] makes nodes of addresses, or of one's own go-redis
//     clients.
//   - [github.com/go-redlock/redlock/guard] has SQL databases, Redis and files refuse a smaller
//     token.
//   - [github.com/go-redlock/redlock/redlocktest] is for tests of what locks.
//   - redlockprom and redlockotel, modules of their own, make metrics and traces of what an
//     [Observer] is told.
package redlock
