// Package cache keeps answers in memory (L1) and in Redis (L2).
//
// A read asks L1, then L2, then the loader; identical reads in flight become
// one. L1 is an otter cache (W-TinyLFU) bounded by bytes. Every value has a time
// to live by its class, checked when it is read, and never by a sweep. L2 is a
// help, never a need: it has a short deadline and a circuit breaker of its own, its
// values are checked before they are believed, and whatever goes wrong with it is a
// miss.
//
// # How long an answer is true
//
// What is Immutable stays true. Its time only says when it is asked for again, and
// when that fails it is served past its time, from memory, from L2 and, after a
// start, from the file of the hottest entries.
//
// What rests on a block carries that block's number and hash, also when the block is
// final: reorganisations have been deeper than that. Each read compares them with the block that stands at
// that height now ([Canonical]), in L1 and in L2, so a reorganisation drops exactly
// the entries of the blocks it replaced, the moment it is known, without a search.
//
// What moves with the head (the newest balance, "not there yet") is over when the
// head moves ([Cache.Moved]), for whoever has seen a block must not be told what
// was true before it.
//
// # Cost
//
// A hit of L1 allocates nothing and copies nothing. More than half of its time are
// two readings of the clock, one of them otter's.
package cache
