// Package election elects a leader among the processes that campaign for one name.
//
//	leading := election.New(locks, "scheduler", redlock.WithTTL(15*time.Second))
//	err := leading.Lead(ctx, func(ctx context.Context, lease *redlock.Lease) error {
//		return schedule(ctx, lease.Fence()) // ctx ends if the leadership is lost
//	})
//
// An election is a lock: who holds it leads, the lease is the term, and the fencing token is the
// term's number. So all that package redlock promises of a lock holds here, and so do its limits: a
// leader that is paused, and wakes up when its term is over, does not know that at once. Send the
// token with all that a leader writes or orders, and have the receiver refuse a smaller one than it
// has seen (package guard).
//
// # Candidates
//
// [Election.Lead] campaigns, calls its function when it is elected, and campaigns again when it has
// lost the lead. The function resigns by returning, and the next candidate leads within
// milliseconds. After a crash the next one leads when the TTL is over. All candidates should have
// the same TTL. A lost lead is logged by the Locker, and so is a campaign without a quorum
// ([redlock.WithLogger]).
//
// # Observers
//
// [Election.Leader] asks who leads, and [Election.Observe] goes on asking. They need no candidate
// in the process. A vacancy is the zero [Leader]. They say that there is one only if the nodes have
// said so: where too few answer they report an error, never a vacancy.
//
// What an observer knows is past. Use it to show who leads, or to send a request there; whether the
// receiver leads is for the receiver to know.
//
// # Time
//
// Pauses between two campaigns and between an observer's questions follow the system's clock, or
// that of a [testing/synctest] bubble, and not [redlock.WithClock].
package election
