// Package pool makes the nodes of a quorum. A [Node] is one of its masters.
//
//	nodes, err := pool.Dial("10.0.0.1:6379", "rediss://user:password@10.0.0.2:6380", "10.0.0.3")
//
// [Dial] makes nodes from addresses. A [Dialer] does so with your own credentials, TLS and
// timeouts. [New] makes a node from an existing go-redis client: of a server, of the master that a
// sentinel names, or of a whole cluster as one node. [ParseList] splits a list of addresses from a
// flag or the environment. None of them connects: each call finds out anew which nodes are
// reachable.
//
// # What a node does
//
// Each [Verb] is one Lua script, and so one atomic step on the server; the scripts are in the
// folder lua. A request for a lock without a token first uses SET NX PX, which takes half the
// server's time, and uses the script only if the key is taken. Several requests may share a round
// trip, and a run of a script. A request is carried out at most once. Its outcome is a [Verdict].
// An error of the network is [Unavailable]. So is an error of a server or a proxy (it is loading,
// full, failing over, a replica), except for errors that are known to be permanent: these are
// [Refused]. An Unavailable request may have been executed. No error holds a password or an owner
// id.
//
// # What servers need
//
// Servers must be Redis 7.0 or Valkey 7.2 at least. The server's user must be allowed EVAL, EVALSHA
// and the commands in the scripts, on three keys for each lock: the prefix with the name; and
// {key}:redlock:fence and {key}:redlock:queue, or key::redlock:fence and key::redlock:queue if the
// key has a hash tag. The restart guard needs the key redlock:restart. With PUBLISH and SUBSCRIBE
// on the channels redlock:inbox:* waiters need not poll. INFO is for the restart guard, and for
// noticing that two addresses lead to one server.
package pool
