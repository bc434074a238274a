// Package conformance compares the master in memory (internal/memnode) with other servers: random
// sequences of requests must get the same answers from both. It is for tests only.
// REDLOCK_TEST_ADDRS names servers to compare beside those that the machine can start; they are
// test servers, whose restart marker is deleted.
package conformance
