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
// background. A master that does not answer costs only its own vote.
//
// A lock that is held is a [Lease]. A lease ends when it is unlocked, or when it is lost: at its
// deadline, which counts from before the first request was sent, or as soon as a majority of the
// masters says that the lock is gone. [Lease.Context], [Lease.Bind], [Lease.Done] and [Lease.Err]
// show that it has ended. A lease expires unless it is extended: by [Lease.Extend], or
// automatically under [WithRenewal]. [Locker.Do] renews it until its function returns.
//
// # What it promises, and what not
//
// Two leases of one name do not overlap under two assumptions: the clocks of the holders and of
// every master that votes run at rates within a hundredth of each other and do not step; and every
// such master keeps what it was told for a TTL. It is not enough that a majority of the masters
// meets them: two majorities of five may share a single master. A master that restarts without its
// data breaks the second assumption; [WithRestartGuard] keeps it away from new locks for long
// enough.
//
// No lock service can stop a process that is paused, by its garbage collector or its host, between
// a look at its lease and the write that follows. [Lease.Fence] is for that: it is a fencing token,
// unique among all leases of its name and rising. It depends on no clock as long as the masters
// keep their fencing registers. A resource that refuses a token smaller than the greatest it has
// seen is safe from stale writes. docs/safety.md has the assumptions, the proof and the limits.
//
// # Waiting
//
// [Locker.Lock] and [Locker.Do] wait their turn. Inside a process that is the order of the calls,
// and the lock passes from one to the next without a round trip. Between processes the masters keep
// queues, and tell the next waiter when its turn has come. A wait ends with its context, or as
// [WithWait] says. [Locker.TryLock] and [Locker.TryDo] do not wait.
//
// # Several locks
//
// [LockAll] and [DoAll] take the locks of several mutexes together, in one round trip if they are
// free. Callers whose sets overlap never wait for one another in a circle. Each lock keeps its own
// options and its own fencing token.
//
// # Semaphores
//
// [Locker.Semaphore] is for names that several may hold at a time. A permit is a [Lease] of one of
// its slots, and each slot is a lock of its own. All that is said of locks holds for slots.
//
// # Readers and writers
//
// [Mutex.Shared] is for names that several may read under at a time. Readers hold the lock
// together, and whoever takes the name otherwise holds it alone. A writer gets its turn however
// many readers come and go.
//
// # Errors
//
// Use [errors.Is] to tell [ErrHeld], [ErrNoQuorum], [ErrTooLate], [ErrLost], [ErrReleased] and
// [ErrClosed] apart. A [*QuorumError] has the details: how each node answered, and when to try
// again. Bad arguments give an [*OptionError].
//
// # Around it
//
//   - [github.com/go-redlock/redlock/pool] makes nodes from addresses, or from your own go-redis
//     clients.
//   - [github.com/go-redlock/redlock/guard] makes SQL databases, Redis and files refuse a smaller
//     token.
//   - [github.com/go-redlock/redlock/election] makes one process at a time the leader.
//   - [github.com/go-redlock/redlock/redlocktest] is for testing programs that lock.
//   - redlockprom and redlockotel, which are separate modules, make metrics and traces from the
//     events of an [Observer].
package redlock
