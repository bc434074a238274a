package main

import (
	"context"
	"time"
)

// ttl is the TTL of every lock; it is redsync's default.
const ttl = 8 * time.Second

// A locker is a lock library as one process uses it.
type locker interface {
	// lock takes the lock of that name. It waits while others have it.
	lock(ctx context.Context, name string) (held, error)
	close() error
}

// held is a lock that is held.
type held interface {
	unlock(ctx context.Context) error
}

// A contestant is a way to lock, with the settings that its documentation shows.
type contestant struct {
	name  string
	about string
	nodes int // how many of the servers it locks on; 0: it starts its own
	open  func(ctx context.Context, addrs []string) (locker, error)
}

// The names of the contestants that marks refer to.
const (
	fenced   = "redlock, fenced"
	plain    = "redlock, plain"
	fenced1  = "redlock on one master, fenced"
	plain1   = "redlock on one master, plain"
	redsync  = "redsync"
	floor    = "raw floor"
	quorum   = "go-redis to the quorum"
	bare     = "bare sockets"
	rueidis  = "rueidislock"
	bsm      = "bsm/redislock"
	etcd     = "etcd concurrency"
	chain    = "ring of bare sockets"
	watched  = "redlock, watched"
	elected  = "redlock election"
	renewed  = "redlock, renewed leases"
	etcdLead = "etcd election"
	pair     = "redlock, two at once"
	eight    = "redlock, eight at once"
	half     = "redlock, a permit of 16, half of them held"
	last     = "redlock, a permit of 16, all others held"
	four     = "redlock, 4 permits"
	reader   = "redlock, shared"
	together = "redlock, one lock shared by all"
	nineTen  = "redlock, shared nine times of ten"
	inTurn   = "redlock, two in turn"
	rsInTurn = "redsync, two in turn"
	allNodes = 5
)

var contestants = []contestant{
	{fenced, "this library with its defaults: a fencing token for every lock", allNodes, openFenced},
	{plain, "this library with WithoutFencing", allNodes, openPlain},
	{redsync, "redsync v4 over go-redis v9, defaults", allNodes, openRedsync},
	{floor, "go-redis, one goroutine for each node: SET NX PX to all nodes, then compare-and-delete to all, each time waiting for all", allNodes, openFloor},
	{quorum, "the same two commands over go-redis, which return at the quorum: what go-redis itself costs a lone caller", allNodes, openQuorum},
	{bare, "the same two commands over plain TCP connections, which return at the quorum: the limit", allNodes, openSockets},
	{fenced1, "this library with a single node", 1, openFenced},
	{plain1, "this library with a single node and WithoutFencing", 1, openPlain},
	{rueidis, "rueidislock, KeyMajority 1 and NoLoopTracking as in its README", 1, openRueidis},
	{bsm, "bsm/redislock over go-redis v9, LinearBackoff of 100 ms as in its README", 1, openBSM},
	{watched, "redlock, fenced, with an observer that counts", allNodes, openWatched},
	{chain, "clients that pass the lock on in a fixed order over plain TCP connections: one notification and one round trip for each turn, the limit of a fair lock", allNodes, nil},
	{renewed, "this library, with a TTL of 10 s and WithRenewal, taken by LockAll", allNodes, openRenewed},
	{elected, "package election of this library", allNodes, openCandidate},
	{pair, "this library's LockAll, two locks", allNodes, openSet(2)},
	{eight, "this library's LockAll, eight locks", allNodes, openSet(8)},
	{half, "this library's Semaphore: half of the permits are held all the time", allNodes, openPermits(manyPermits, manyPermits/2)},
	{last, "the same, but one permit is left", allNodes, openPermits(manyPermits, manyPermits-1)},
	{four, "this library's Semaphore, of which four may hold a permit at a time", allNodes, openPermits(fewPermits, 0)},
	{reader, "this library's Mutex.Shared", allNodes, openReaders("", false)},
	{together, "the same, but all callers share one lock", allNodes, openReaders("bench", false)},
	{nineTen, "the same, but one of ten takes the lock alone", allNodes, openReaders("bench", true)},
	{inTurn, "this library, two locks one after the other", allNodes, openInTurn(openFenced)},
	{rsInTurn, "redsync, two locks one after the other", allNodes, openInTurn(openRedsync)},
	{etcd, "concurrency.Mutex of etcd's client, three members on this machine's disk", 0, openEtcd},
	{etcdLead, "concurrency.Election, over the same", 0, openEtcdCandidate},
}

// named returns the contestants with these names.
func named(names ...string) []contestant {
	var found []contestant
	for _, n := range names {
		for _, c := range contestants {
			if c.name == n {
				found = append(found, c)
			}
		}
	}
	return found
}
