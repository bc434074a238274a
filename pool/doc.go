// Package pool makes the nodes of a quorum: a [Node] is one of its masters.
//
//	nodes, err := pool.Dial("10.0.0.1:6379", "rediss://user:password@10.0.0.2:6380", "10.0.0.3")
//
// [Dial] makes nodes of addresses, [Dialer] of addresses with credentials, TLS or timeouts of one's
// own, and [New] of what a go-redis client that one has already leads to: a server, the master that
// a sentinel names, or a whole cluster as one node. [ParseList] splits a list as flags and the
// environment hold it. None of them connects: a node that is away is found out, and forgiven, at
// every call.
//
// # What a node does
//
// Each [Verb] is one Lua script, so one atomic step on the server; the scripts are in the folder
// lua. A lock without a token is first asked for by SET NX PX, which takes half the server's time,
// and by the script where somebody has it. Several requests may share a round trip, and a run of a
// script. A request is carried out at most once, and what became of it is a [Verdict]: an error of
// the network is [Unavailable], and so is what a server or a proxy says (it is loading, full,
// failing over, a replica), unless it is known to stay: that is [Refused]. What is unavailable may
// have been executed. No error holds a password or an owner id.
//
// # What servers need
//
// Redis 7.0 or Valkey 7.2 at least. A user needs EVAL, EVALSHA and what the scripts call, on the
// lock's key, its name behind the prefix, and on those beside it: {key}:redlock:fence and
// {key}:redlock:queue, or key::redlock:fence and key::redlock:queue where the key has a hash tag.
// The restart guard needs the key redlock:restart. PUBLISH and SUBSCRIBE on the channels
// redlock:inbox:* save waiters from polling; INFO is for the restart guard, and to see that two
// addresses lead to one server.
package pool
