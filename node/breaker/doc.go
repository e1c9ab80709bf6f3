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
// A call that goes well costs two atomic additions to one word, some loads, and
// no allocation. The first counts it in, the second counts it out and into the
// window, unless it lasted so long that this takes two. It takes no lock and
// reads no clock. An addition is 3 ns where a reading of the clock is
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
// What remains between this and the limit, which is one addition, is the other
// one, by which calls under way are known, and four loads to see that nothing has
// changed. Under contention all processors add to one cache line; counters for
// each processor would help on many cores, but Go does not tell on which one a
// goroutine runs. A window of calls costs one more addition, to claim a place.
//
// # What is exact and what is not
//
// Ratios are compared in whole numbers. The totals equal what was reported once
// the writers are quiet, those of a window of calls also bit by bit, and no result
// of an earlier generation counts in a window that was emptied after it. A success
// that makes up minimum_calls opens the breaker by itself if it is the only call
// under way, and otherwise at the latest with the next beat. Settings changed
// while the breaker is in use are in force at the next beat or the next failure,
// whichever is first; so is a threshold that is reached because old successes
// leave the window. A time window moves in tenths. A call under way is known to be
// slow at most a 64th of slow_after and a beat too late. One success is lost if its
// goroutine stands still for a tenth of a second between the instruction that
// looks where to count and the one that counts.
//
// # Memory
//
// A breaker with the largest window, 100,000 calls at two bits each, and a
// provider on which everything hangs takes less than 150 KB, and an ordinary one
// less than 10 KB. At most 1,024 groups of calls under way are told apart; beyond
// that the oldest count no longer until they end.
package breaker
