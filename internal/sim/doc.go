// Package sim runs the real library over masters in memory in virtual time, through faults that a
// seed decides on, and judges what it did. It holds tests only; see docs/testing.md for how to run
// more of them.
//
// A schedule is one run: a few masters, a few clients with clocks of their own, locks taken in
// every way the library has, and faults. The regime says what may go wrong, and so which of the
// oracles must hold:
//
//	orderly   messages are lost or late, nodes freeze: nothing is left on the nodes once all is over, though most locks
//	          would last for longer
//	steady    also clocks within the drift bound, restarts that keep data, repeated and late messages, clients that stop, and
//	          machines that are suspended
//	guarded   also restarts without data or with older data, failovers that go back before anybody asks, and clients whose
//	          clocks lag, under the restart guard
//	clocks    also clocks that step and run as they like, data kept: tokens are still unique and rise
//	tokens    as clocks, but most messages are late, lost or doubled, and everybody wants one lock of three nodes, which does not
//	          expire: what late repairs do to the registers
//	lagging   also data lost, and clients whose clocks lag, while the nodes' are right: no token falls by
//	          more than the second within which a node trusts a hint
//	losses    also data lost, clocks in agreement: tokens are still unique and rise
//	addresses as tokens, and an address leads to another node's server for a message now and then:
//	          what that server says of registers is not taken for what the node's own would
//	moves     the same, but the clients' clocks are steady: no server has two votes
//	hands     one client, whose goroutines hand the lock on while a majority of the nodes loses it:
//	          a loss that was told during a hand-over ends the lease that comes of it
//	sets      as steady, but everybody takes several locks at once: nobody waits in a circle
//	permits   as steady or as guarded, but everybody wants permits of a semaphore: no slot has two
//	          valid leases, and tokens rise slot by slot
//	turns     one client's short turns, hundreds to thousands of them, and then all registers are
//	          lost: another client's token is above all of them. One schedule of it comes to a
//	          hundred of the others
//
// Beside the schedules there are scenes of progress (progress_test.go): a minority of the nodes
// frozen again and again, for many node timeouts, while everybody wants one lock. There a lock that
// somebody waits for must not be idle, and one of several TryLocks wins.
package sim
