// Package cache keeps answers in memory (L1) and in Redis (L2).
//
// A read asks L1, then L2, then the loader; identical reads in flight become
// one. L1 is an otter cache bounded by bytes. Every value has a time to live by
// its class, checked when it is read. L2 is a help, never a need: it has a short
// deadline and a circuit breaker of its own, its values are checked before they
// are believed, and whatever goes wrong with it is a miss.
package cache
