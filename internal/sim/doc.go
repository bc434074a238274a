// Package sim runs the real library over masters in memory, in virtual time and with faults that a
// seed decides on, and judges the result. It holds tests only; see docs/testing.md for how to run
// more of them.
//
// A schedule is one run: a few masters, a few clients with clocks of their own, locks taken in
// every way the library has, and faults. The regime says which faults there are, and so which of
// the oracles must hold:
//
//	orderly   messages are lost or late, and nodes freeze: nothing is left on the nodes when all
//	          is over, although most locks would last for longer
//	steady    also clocks within the drift bound, restarts that keep data, repeated and late
//	          messages, clients that stop, and machines that are suspended
//	guarded   also restarts without data or with older data, failovers that go back before
//	          anybody asks, and clients whose clocks lag, under the restart guard
//	clocks    also clocks that step and run at any rate, with data kept: tokens are still unique
//	          and rise
//	tokens    as clocks, but most messages are late, lost or doubled, and all clients want one
//	          lock of three nodes, which does not expire: this tries what late repairs do to the
//	          registers
//	lagging   also data lost, and clients whose clocks lag, while the nodes' clocks are right:
//	          no token falls by more than the second within which a node trusts a hint
//	losses    also data lost, with clocks in agreement: tokens are still unique and rise
//	addresses as tokens, and an address leads to another node's server for a message now and
//	          then: that server's answers about registers do not count as the node's own
//	moves     the same, but the clients' clocks are steady: no server has two votes
//	hands     one client, whose goroutines hand the lock on while a majority of the nodes loses
//	          it: a loss that is reported during a hand-over ends the next lease
//	sets      as steady, but all clients take several locks at once: nobody waits in a circle
//	permits   as steady or as guarded, but all clients want permits of a semaphore: no slot has
//	          two valid leases, and tokens rise slot by slot
//	readers   as steady or as guarded, but most clients take the locks shared, for TTLs that are not
//	          all alike: no exclusive lease is valid with another lease of the name; a reader's token
//	          is at least each writer's before it, and below each writer's after it
//	elections as steady, but all clients are candidates: no two lead at once, each term's token is
//	          above those of all terms before it, and only a resignation ends a campaign early
//	turns     one client's short turns, hundreds to thousands of them, and then all registers
//	          are lost: another client's token is above all of them. One of its schedules takes
//	          as long as a hundred of the others
//
// Beside the schedules there are scenes about progress (progress_test.go): a minority of the nodes
// is frozen again and again, for many node timeouts, while all processes want one lock. There a
// lock that somebody waits for must not be idle, and one of several TryLocks must win.
package sim
