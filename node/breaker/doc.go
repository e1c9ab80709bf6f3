// Package breaker is a circuit breaker whose thresholds, window and state can
// be changed while it is in use.
//
// A [Breaker] measures outcomes over a window, of time by default or of a
// number of calls. When enough calls were made and the share of failed or slow
// ones reaches its threshold it opens and refuses calls at once. A call that is
// still under way counts as slow from slow_after on, so that a provider that
// hangs opens its breaker before its calls end; when such a call ends it counts
// as what it was, once. Recovery is found by probes: the owner of the breaker
// asks for a probe permit when the wait is over, so that no client's request is
// spent to find out. A breaker without such a prober lets a bounded number of
// ordinary calls be the probes.
//
// Every permit carries the generation it was issued in. A result that comes
// back after the breaker has moved on does not count, and a probe whose result
// never comes is given up at its deadline, so half-open cannot latch.
//
// The states closed, open and half-open are Nygard's ("Release It!", 2007). The
// operator's states are those of resilience4j: forced-open, forced-closed
// (allow all, still measure) and metrics-only (allow all, report what would have
// been done).
//
// # Cost
//
// A call that goes well costs three atomic additions, some loads, and no
// allocation: one addition counts it in, one out, one into the window. It takes
// no lock and reads no clock. An addition is 3 ns where a reading of the clock is
// 40 (time.Since) or 80 (time.Now), so a breaker that read the clock twice a call
// could not be cheaper than 80 ns. Instead each breaker in use has a timer whose
// beats write down the time, 100 of them in slow_after but none shorter than 5 ms
// or longer than 50. It starts with a call and stops after two beats without one;
// a beat is about a microsecond of work, and a wake-up of the process if that has
// nothing else to do. All that a successful call measures is good to one beat, a
// hundredth of slow_after: when slow_after is less than 500 ms, the clock is read
// twice a call after all. Failures, slow calls, probes and changes of state take
// the lock and read the clock, 0.4 microseconds in all.
//
// What remains between this and the limit, which is one addition, is the two that
// know calls under way. Under contention all
// processors add to the same two cache lines; counters for each processor would
// help on many cores, and cost what they cost to sum up at each judgement.
//
// # What is exact and what is not
//
// Ratios are compared in whole numbers. The totals of a window of calls equal its
// bits once its writers are quiet, and no result of an earlier generation is ever
// counted in the window of a later one that was emptied. Settings changed while
// the breaker is in use are in force at the next beat or the next failure,
// whichever is first; so is a threshold reached by nothing but old successes
// leaving the window. A success that makes up minimum_calls opens the breaker by
// itself if it is the only call under way, and otherwise at the latest with the
// next beat. A call under way is known to be slow at most a 64th of slow_after
// and a beat too late. A time window moves in tenths.
//
// # Memory
//
// A breaker with the largest window, 100,000 calls at two bits each, and a
// provider on which everything hangs takes less than 150 KB, and an ordinary one
// less than 10 KB. At most 1,024 groups of calls under way are told apart; beyond
// that the oldest count no longer until they end.
package breaker
